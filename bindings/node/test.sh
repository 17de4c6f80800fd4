#!/bin/sh
# Builds the native part as `make test` builds everything else, and runs the package's tests and examples.
set -eu
cd "$(dirname "$0")"
for folder in . ../../examples/node; do
    if [ ! -d "$folder/node_modules" ] || [ "$folder/package-lock.json" -nt "$folder/node_modules/.package-lock.json" ]; then
        (cd "$folder" && npm ci --no-audit --no-fund)
    fi
done
before=$(cat generated.js generated.d.ts | cksum)
./build.sh dev
if [ "$before" != "$(cat generated.js generated.d.ts | cksum)" ]; then
    echo "generated.js or generated.d.ts was not fresh: commit what build.sh has made of it" >&2
    exit 1
fi
npm run --silent types
node --test --test-timeout=600000 test/*.test.mjs
