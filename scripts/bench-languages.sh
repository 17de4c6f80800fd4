#!/bin/sh
# Messages a second through each language, embedded, and through in-process queues that others made:
# scripts/bench-languages.sh TARGET [SECONDS [ROUNDS]]. Builds what it runs in release mode; a language that is not
# installed is left out, and said so. Each program prints a case and its figure per line (core/benches/embedded.rs says which
# cases). Ours run in turn, ROUNDS times, and the median counts: one run may differ from the next by a third.
set -eu
cd "$(dirname "$0")/.."
target="$1"
seconds="${2:-3}"
rounds="${3:-3}"
out="$target/bench"
scratch="$out/embedded"
figures="$out/languages.tsv"
mkdir -p "$out"
: > "$figures"
trap 'rm -rf "$scratch"' EXIT

pwd_of() { (cd "$1" && pwd); }
say() { printf '%s\n' "$*" >&2; }

# run NAME COMMAND...: the command gets a directory and the seconds of a case as its last arguments.
run() {
    name="$1"
    shift
    say "bench: $name"
    rm -rf "$scratch"
    mkdir -p "$scratch"
    # What was written before is the disk's work meanwhile otherwise.
    sync
    if "$@" "$scratch/data" "$seconds" > "$out/one.tsv"; then
        sed "s/^/$name	/" "$out/one.tsv" >> "$figures"
    else
        say "bench: $name failed; its figures are left out"
    fi
}

cargo="${CARGO:-cargo}"
ffi/build.sh -q
"$cargo" bench -q -p ferromq --bench embedded --no-run
ours="rust"
run_rust() { run rust "$cargo" bench -q -p ferromq --bench embedded --; }

if command -v cc > /dev/null; then
    ffi/install.sh "$target/release" "$(pwd_of "$out")/prefix" > "$out/install.log"
    cc -O2 -D_GNU_SOURCE "-I$out/prefix/include" ffi/bench/bench.c -o "$out/bench-c" "-L$out/prefix/lib" -lferromq \
        "-Wl,-rpath,$(pwd_of "$out")/prefix/lib" -lpthread
    ours="$ours c"
    run_c() { run c "$out/bench-c"; }
fi
if command -v python3 > /dev/null; then
    say "bench: building the wheel"
    [ -x "$out/venv/bin/python" ] || python3 -m venv "$out/venv"
    "$out/venv/bin/pip" install -q maturin litequeue persist-queue
    rm -rf "$out/wheels"
    "$out/venv/bin/maturin" build -q --release -m bindings/python/Cargo.toml -o "$out/wheels" --target-dir "$target"
    "$out/venv/bin/pip" install -q --force-reinstall "$out"/wheels/*.whl
    ours="$ours python"
    run_python() { run python "$out/venv/bin/python" bindings/python/bench/bench.py; }
else
    say "bench: no python3, so neither its figures nor those of its queues"
fi
if command -v npm > /dev/null; then
    say "bench: building the npm package"
    bindings/node/build.sh release > "$out/node.log" 2>&1 || { cat "$out/node.log" >&2; exit 1; }
    ours="$ours node"
    run_node() { run node node bindings/node/bench/bench.mjs; }
else
    say "bench: no npm, so no figures of Node"
fi
round=0
while [ "$round" -lt "$rounds" ]; do
    for language in $ours; do
        "run_$language"
    done
    round=$((round + 1))
done
case $ours in
*python*)
    for queue in litequeue persist-queue; do
        run "$queue" "$out/venv/bin/python" bindings/python/bench/queues.py "$queue"
    done
    ;;
esac
run chronicle scripts/bench-chronicle.sh "$out/chronicle"

# A row a case, a column a program, and how many times Rust's figure is each.
sort -s -t '	' -k 3,3n "$figures" | awk -F '\t' '
    FNR == NR {
        if (!($1 in column)) { column[$1] = ++columns; name[columns] = $1 }
        if (!($2 in row)) { row[$2] = ++rows; of[rows] = $2 }
        next
    }
    { figures[$2, $1, ++count[$2, $1]] = $3 }
    END {
        for (one in count) { split(one, part, SUBSEP); value[one] = figures[part[1], part[2], int((count[one] + 1) / 2)] }
        printf "%-14s", "messages/s"
        for (c = 1; c <= columns; c++) printf "%22s", name[c]
        printf "\n"
        for (r = 1; r <= rows; r++) {
            printf "%-14s", of[r]
            for (c = 1; c <= columns; c++) {
                figure = value[of[r], name[c]]
                if (figure == "") printf "%22s", "-"
                else if (value[of[r], "rust"] > 0) printf "%12d (%6.2fx)", figure, figure / value[of[r], "rust"]
                else printf "%22d", figure
            }
            printf "\n"
        }
        print "(in brackets: how many times the figure of Rust)"
    }' "$figures" -
say "bench: as lines: $figures"
