#!/bin/sh
# check-linked.sh TARGET FILE: fails unless FILE, a library for Linux, is for the machine of TARGET (as Rust names it, with the
# oldest glibc behind it: aarch64-unknown-linux-gnu.2.28) and needs nothing of a system but its C library, of that version or
# an older one. For what is built here and runs elsewhere.
set -eu
target=$1 file=$2
fail() {
    echo "$file, built for $target, $*" >&2
    exit 1
}
case $target in
x86_64-*) machine='X86-64' ;;
aarch64-*) machine='AArch64' ;;
*) fail "is for a machine that is not known here" ;;
esac
readelf -hW "$file" | grep -q "Machine:.*$machine" || fail "is for another machine: $(readelf -hW "$file" | grep Machine:)"
needed=$(readelf -dW "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
versions=$(readelf -VW "$file" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -uV)
case $target in
*-musl)
    own='libc.so|libc.musl-.*'
    [ -z "$versions" ] || fail "needs glibc"
    ;;
*)
    own='libc.so.6|libm.so.6|libdl.so.2|libpthread.so.0|librt.so.1|libgcc_s.so.1|ld-linux-.*'
    oldest=$(echo "$target" | sed -n 's/.*-gnu\.\([0-9.]*\)$/\1/p')
    newest=$(echo "$versions" | tail -n 1)
    if [ -n "$oldest" ] && [ "$(printf '%s\n%s\n' "$newest" "$oldest" | sort -V | tail -n 1)" != "$oldest" ]; then
        fail "needs glibc $newest"
    fi
    ;;
esac
others=$(echo "$needed" | grep -vxE "$own" || true)
[ -z "$others" ] || fail "needs $others"
