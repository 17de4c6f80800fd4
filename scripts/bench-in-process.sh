#!/bin/sh
# Appends and reads within a process, of Rust, of C and of Chronicle Queue: scripts/bench-in-process.sh TARGET [SECONDS].
# Builds what it runs in release mode. Prints a line a case: program, case, messages a second and what else it tells,
# separated by tabs; or program, "failed", and why. ferromq-bench runs it and makes rows of them.
set -eu
cd "$(dirname "$0")/.."
target="$1"
seconds="${2:-3}"
out="$target/bench/in-process"
scratch="$out/data"
mkdir -p "$out"
out="$(cd "$out" && pwd)"
scratch="$out/data"
trap 'rm -rf "$scratch"' EXIT

# run NAME COMMAND...: with an empty directory for its data; what it says goes behind its name.
run() {
    name="$1"
    shift
    rm -rf "$scratch"
    mkdir -p "$scratch"
    # What was written before is the disk's work meanwhile otherwise.
    sync
    if TMPDIR="$scratch" "$@" > "$out/one.tsv" 2> "$out/$name.log"; then
        sed "s/^/$name	/" "$out/one.tsv"
    else
        printf '%s\tfailed\t%s\n' "$name" "$(tail -n 1 "$out/$name.log")"
    fi
}

cargo="${CARGO:-cargo}"
if "$cargo" bench -q -p ferromq --bench appender --no-run > /dev/null; then
    run rust "$cargo" bench -q -p ferromq --bench appender -- "$seconds" append
else
    printf 'rust\tfailed\tit could not be built\n'
fi

# What one of them lacks costs the others nothing.
build_c() {
    ffi/build.sh -q > /dev/null &&
        ffi/install.sh "$target/release" "$out/prefix" > "$out/install.log" &&
        cc -O2 "-I$out/prefix/include" ffi/bench/appender.c -o "$out/appender-c" "-L$out/prefix/lib" -lferromq \
            "-Wl,-rpath,$out/prefix/lib"
}

# A copy that breaks off leaves no lib, so that the next run fetches all.
build_chronicle() {
    if [ ! -d "$out/chronicle/lib" ]; then
        rm -rf "$out/chronicle/lib.new"
        mvn -q -B -f bench/chronicle/pom.xml dependency:copy-dependencies \
            "-DoutputDirectory=$out/chronicle/lib.new" >&2 &&
            mv "$out/chronicle/lib.new" "$out/chronicle/lib" || return 1
    fi
    javac --release 17 -cp "$out/chronicle/lib/*" -d "$out/chronicle/classes" bench/chronicle/src/main/java/Bench.java
}

if ! command -v cc > /dev/null; then
    printf 'c\tfailed\tno C compiler\n'
elif ! build_c; then
    printf 'c\tfailed\tit could not be built\n'
else
    run c "$out/appender-c" "$scratch/store" "$seconds"
fi

if ! command -v mvn > /dev/null || ! command -v javac > /dev/null; then
    printf 'chronicle\tfailed\tno Maven or no JDK\n'
elif ! build_chronicle; then
    printf 'chronicle\tfailed\tit could not be fetched or built\n'
else
    opens=""
    for package in java.lang java.lang.reflect java.io java.nio java.util sun.nio.ch jdk.internal.ref; do
        opens="$opens --add-opens=java.base/$package=ALL-UNNAMED --add-exports=java.base/$package=ALL-UNNAMED"
    done
    # shellcheck disable=SC2086
    run chronicle java $opens --add-exports=jdk.unsupported/sun.misc=ALL-UNNAMED \
        --add-opens=jdk.compiler/com.sun.tools.javac=ALL-UNNAMED -Dchronicle.analytics.disable=true \
        -cp "$out/chronicle/classes:$out/chronicle/lib/*" Bench "$scratch" "$seconds"
fi
