#!/bin/sh
# try-packed.sh FOLDER: installs the tarballs of FOLDER that fit this platform in an empty folder, as `npm install ferromq`
# would from a registry, and runs the README's lines there, as ESM and as CommonJS, without the sources in reach.
set -eu
folder=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
platform=$(node -e "process.report.excludeNetwork = true
    const libc = process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl'
    console.log(process.platform === 'linux' ? 'linux-' + process.arch + '-' + libc : process.platform + '-' + process.arch)")
cd "$work"
npm init -y >/dev/null
# The other platforms' packages are optional, and are not there.
npm install --offline --no-audit --no-fund "$folder"/ferromq-"$platform"-[0-9]*.tgz "$folder"/ferromq-[0-9]*.tgz
if grep -q '"hasInstallScript": true' node_modules/.package-lock.json; then
    echo "a package has an install script" >&2
    exit 1
fi
# The interpreter and the packages are all there is: no Java, no Rust, no compiler.
node=$(command -v node)
alone() { env -i PATH=/nonexistent "$node" "$@"; }
awk '/^```js$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$here/README.md" >readme.mjs
alone readme.mjs | tee printed
grep -q '^SEND_OK msgId=' printed
grep -q ': two apples$' printed
# The directory keeps what was sent; the group goes on where it stopped.
{
    echo "const { open } = require('ferromq')"
    echo "async function main() {"
    sed -e '/^import/d' readme.mjs
    echo "}"
    echo "main()"
} >readme.cjs
alone readme.cjs | tee printed
grep -q ': two apples$' printed
node -e "console.log('ferromq', require('ferromq').version, 'from', require.resolve('ferromq-$platform').replace(process.cwd(), '.'))"
