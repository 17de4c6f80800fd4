#!/usr/bin/env bash
# The embedded quick start, without any server: in C, and in Python and Node where they are installed. demo-embedded.sh TARGET
# is called after ffi/build.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(cd "$1" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Runs a program, whose last argument is the directory of its messages, and looks whether its ten messages came back.
show() {
  "$@" "$dir/data" >"$dir/out" 2>&1 || { cat "$dir/out" >&2; exit 1; }
  # Listeners run in several threads, so two may end up in one line.
  received=$(grep -o 'received: hello' "$dir/out" | wc -l)
  if [ "$received" -ne 10 ]; then
    cat "$dir/out" >&2
    echo "demo: $received of 10 messages came back" >&2
    exit 1
  fi
  sed -n '1p;$p' "$dir/out"
  rm -rf "$dir/data"
}

echo
echo "Embedded, in C: examples/c/quickstart.c, no server, no socket"
ffi/install.sh "$target/release" "$dir/prefix" >"$dir/log"
${CC:-cc} -std=c11 -D_GNU_SOURCE "-I$dir/prefix/include" -Iexamples/c examples/c/quickstart.c -o "$dir/quickstart" \
  "-L$dir/prefix/lib" -lferromq "-Wl,-rpath,$dir/prefix/lib" -lpthread
show "$dir/quickstart"

if command -v python3 >/dev/null && python3 -c 'import ensurepip' 2>/dev/null; then
  echo
  echo "In Python: pip install of a wheel, examples/python/quickstart.py"
  if bindings/python/wheel.sh "$dir/wheels" >"$dir/log" 2>&1 && python3 -m venv "$dir/venv" &&
    "$dir/venv/bin/pip" install -q --no-index "$dir"/wheels/*.whl >>"$dir/log" 2>&1; then
    show "$dir/venv/bin/python" examples/python/quickstart.py
  else
    tail -3 "$dir/log"
    echo "demo: the wheel could not be built (it needs maturin from PyPI); going on without Python"
  fi
fi

if command -v npm >/dev/null; then
  echo
  echo "In Node.js: examples/node/quickstart.mjs"
  if bindings/node/build.sh release >"$dir/log" 2>&1 && (cd examples/node && npm ci --no-audit --no-fund) >>"$dir/log" 2>&1; then
    show node examples/node/quickstart.mjs
  else
    tail -3 "$dir/log"
    echo "demo: the npm package could not be built (it needs napi's tools from npm); going on without Node.js"
  fi
fi

cat <<END

Ten messages each way, kept in a directory by a broker within the process. Next: README.md, docs/embed.md, and a page for each
language: docs/c.md, docs/cpp.md, docs/python.md, docs/node.md.
END
