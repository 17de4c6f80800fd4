#!/bin/sh
# Builds the wheel to hand out into the directory $1. maturin looks at what the library needs of the system and names the
# oldest Linux that has it (manylinux_2_34 here); for older ones build where they are, or with `maturin build --zig`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
wheels=$(cd "$1" && pwd)
target=$(cd "$here/../.." && mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
# maturin is called elsewhere, where a relative one would be another.
export CARGO_TARGET_DIR="$target"
venv=$target/python-wheel-venv
[ -x "$venv/bin/maturin" ] || { "${PYTHON:-python3}" -m venv "$venv" && "$venv/bin/pip" install --quiet 'maturin>=1.9.4,<2'; }
cd "$here"
"$venv/bin/maturin" build --release --locked --interpreter "$venv/bin/python" --out "$wheels"
