#!/bin/sh
# Builds the C and C++ library to hand out; arguments go to cargo. Without the form of it that the tests link, beside which
# cargo would not optimise across crates.
set -eu
cd "$(dirname "$0")/.."
exec "${CARGO:-cargo}" rustc --release -p ferromq-ffi --lib --crate-type cdylib,staticlib "$@"
