#!/usr/bin/env bash
# Packs the stripped binary with licence and README: dist.sh BINARY OUTPUT_DIRECTORY
set -euo pipefail
binary=$1
out=$2
root=$(cd "$(dirname "$0")/.." && pwd)

version=$("$binary" --version | cut -d' ' -f2)
platform=$(rustc -vV | sed -n 's/^host: //p')
name=ferromq-$version-$platform

rm -rf "${out:?}/$name"
mkdir -p "$out/$name"
strip -o "$out/$name/ferromq" "$binary"
cp "$root/LICENSE" "$root/README.md" "$out/$name/"
cd "$out"
tar -czf "$name.tar.gz" "$name"
rm -r "$name"
if command -v sha256sum >/dev/null; then
  sha256sum "$name.tar.gz" >"$name.tar.gz.sha256"
else
  shasum -a 256 "$name.tar.gz" >"$name.tar.gz.sha256"
fi
echo "$out/$name.tar.gz"
cat "$name.tar.gz.sha256"
