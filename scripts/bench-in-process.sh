#!/bin/sh
# Appends and reads within a process, of Rust, of C and of Chronicle Queue: scripts/bench-in-process.sh TARGET [SECONDS].
# Builds what it runs in release mode. Prints a line a case: program, case, messages a second and what else it tells,
# separated by tabs; or program, "failed", and why. "kept" is Rust with 256 MiB of the log kept in memory; "bare" is what the
# machine takes to copy as many bytes into new files. ferromq-bench runs it and makes rows of them.
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
    run kept "$cargo" bench -q -p ferromq --bench appender -- "$seconds" append commitLogKeptInMemory=268435456
    run bare "$cargo" bench -q -p ferromq --bench appender -- "$seconds" bare
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

if ! command -v cc > /dev/null; then
    printf 'c\tfailed\tno C compiler\n'
elif ! build_c; then
    printf 'c\tfailed\tit could not be built\n'
else
    run c "$out/appender-c" "$scratch/store" "$seconds"
fi

run chronicle scripts/bench-chronicle.sh "$out/chronicle" "$scratch" "$seconds"
