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
"$cargo" bench -q -p ferromq --bench appender --no-run > /dev/null
run rust "$cargo" bench -q -p ferromq --bench appender -- "$seconds" append

if command -v cc > /dev/null; then
    "$cargo" build -q --release -p ferromq-ffi
    ffi/install.sh "$target/release" "$out/prefix" > "$out/install.log"
    cc -O2 "-I$out/prefix/include" ffi/bench/appender.c -o "$out/appender-c" "-L$out/prefix/lib" -lferromq \
        "-Wl,-rpath,$out/prefix/lib"
    run c "$out/appender-c" "$scratch/store" "$seconds"
else
    printf 'c\tfailed\tno C compiler\n'
fi

if command -v mvn > /dev/null && command -v javac > /dev/null; then
    if [ ! -d "$out/chronicle/lib" ]; then
        mvn -q -B -f bench/chronicle/pom.xml dependency:copy-dependencies "-DoutputDirectory=$out/chronicle/lib" >&2
    fi
    javac --release 17 -cp "$out/chronicle/lib/*" -d "$out/chronicle/classes" bench/chronicle/src/main/java/Bench.java
    opens=""
    for package in java.lang java.lang.reflect java.io java.nio java.util sun.nio.ch jdk.internal.ref; do
        opens="$opens --add-opens=java.base/$package=ALL-UNNAMED --add-exports=java.base/$package=ALL-UNNAMED"
    done
    # shellcheck disable=SC2086
    run chronicle java $opens --add-exports=jdk.unsupported/sun.misc=ALL-UNNAMED \
        --add-opens=jdk.compiler/com.sun.tools.javac=ALL-UNNAMED -Dchronicle.analytics.disable=true \
        -cp "$out/chronicle/classes:$out/chronicle/lib/*" Bench "$scratch" "$seconds"
else
    printf 'chronicle\tfailed\tno Maven or no JDK\n'
fi
