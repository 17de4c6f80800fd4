#!/bin/sh
# build.sh dev|release [TARGET]: builds the native part and puts it where the package looks first, beside index.cjs; and makes
# generated.js and generated.d.ts. TARGET is another platform, or this with the oldest C library that is to do
# (x86_64-unknown-linux-gnu.2.28), and is built by what CARGO_CROSS says, such as 'cargo zigbuild'.
set -eu
cd "$(dirname "$0")"
here=$(rustc -vV | sed -n 's/^host: //p')
profile=${1:-dev}
target=${2:-$here}
plain=$(echo "$target" | sed 's/\.[0-9.]*$//')
case $profile in
dev) folder=debug flags= ;;
release) folder=release flags=--release ;;
*)
    echo "build.sh dev|release [TARGET]" >&2
    exit 2
    ;;
esac
output=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
types=$output/node-types/$profile-$target
mkdir -p "$types"
case $plain in
*-musl)
    # A library that Node loads shares its C library.
    export RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=-crt-static"
    ;;
esac
# The macros write the types while they are compiled: without them, compile again.
[ -s "$types/ferromq-node" ] || export NAPI_FORCE_BUILD_FERROMQ_NODE="$(date +%s)"
export NAPI_TYPE_DEF_TMP_FOLDER="$types"
if [ "$target" = "$here" ]; then
    cargo build -p ferromq-node $flags
else
    ${CARGO_CROSS:-cargo build} -p ferromq-node $flags --target "$target"
    folder=$plain/$folder
fi
name=$(node --input-type=module -e "import { PLATFORMS } from './scripts/platforms.mjs'
    console.log(PLATFORMS.find(({ target }) => target === '$plain').name)")
for library in libferromq_node.so libferromq_node.dylib ferromq_node.dll; do
    if [ -f "$output/$folder/$library" ]; then
        case $target in
        "$here") ;;
        *linux*) scripts/check-linked.sh "$target" "$output/$folder/$library" ;;
        esac
        # Beside and then over: a process may have the old one loaded.
        cp "$output/$folder/$library" "ferromq.$name.node.new"
        mv "ferromq.$name.node.new" "ferromq.$name.node"
    fi
done
[ "$target" != "$here" ] || node scripts/generate.mjs "$types/ferromq-node"
