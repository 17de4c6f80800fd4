#!/bin/sh
# Builds a fuzz target as cargo-fuzz does and runs it: fuzz/run.sh TARGET [libFuzzer's options, such as
# -max_total_time=300]. Needs a nightly toolchain and a C++ compiler.
set -eu

cd "$(dirname "$0")"
name="$1"
shift
host="$(rustc -vV | sed -n 's/^host: //p')"
target="${CARGO_TARGET_DIR:-target}"
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Zsanitizer=address" \
  cargo +nightly build --release --target "$host" --bin "$name"
mkdir -p "corpus/$name"
exec "$target/$host/release/$name" "$@" "corpus/$name" "seeds/$name"
