#!/bin/sh
# wheel.sh FOLDER [TARGET...]: builds the wheels to hand out. Without targets one for this machine, whose name says the
# oldest Linux that has what it needs of the system (manylinux_2_34 here). With targets (such as x86_64-unknown-linux-gnu or
# aarch64-unknown-linux-gnu; Rust's standard library for them is needed) one for each, linked by Zig, which pip brings,
# against the oldest C library that Rust supports: manylinux2014 (glibc 2.17), musllinux_1_2.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
wheels=$(cd "$1" && pwd)
shift
target=$(cd "$here/../.." && mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
# maturin is called elsewhere, where a relative one would be another.
export CARGO_TARGET_DIR="$target"
venv=$target/python-wheel-venv
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
[ -x "$venv/bin/maturin" ] || "$venv/bin/pip" install --quiet 'maturin>=1.9.4,<2'
host=$(rustc -vV | sed -n 's/^host: //p')
cd "$here"
if [ $# -eq 0 ]; then
    exec "$venv/bin/maturin" build --release --locked --interpreter "$venv/bin/python" --out "$wheels"
fi
"$venv/bin/python" -c 'import ziglang' 2> /dev/null || "$venv/bin/pip" install --quiet ziglang
for one; do
    case $one in
    *-linux-gnu) linked="--zig --compatibility manylinux2014" ;;
    *-linux-musl) linked="--zig --compatibility musllinux_1_2" ;;
    *) linked="" ;;
    esac
    # Another machine's interpreter cannot be asked, and need not: the stable interface is the same.
    [ "$one" != "$host" ] || linked="$linked --interpreter $venv/bin/python"
    # shellcheck disable=SC2086 # these are words
    PATH="$venv/bin:$PATH" "$venv/bin/maturin" build --release --locked --target "$one" $linked --out "$wheels"
done
