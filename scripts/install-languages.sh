#!/bin/sh
# Installs what the tests need and the machine lacks: C++, pkg-config, CMake and SQLite, Python with venv, Node.js with npm; strace.
# Does nothing if all is there.
set -eu

missing=""
command -v g++ >/dev/null 2>&1 || missing="$missing g++"
command -v clang >/dev/null 2>&1 || missing="$missing clang"
command -v make >/dev/null 2>&1 || missing="$missing make"
command -v cmake >/dev/null 2>&1 || missing="$missing cmake"
command -v pkg-config >/dev/null 2>&1 || missing="$missing pkg-config"
[ -f /usr/include/sqlite3.h ] || missing="$missing libsqlite3-dev"
python3 -c 'import ensurepip' >/dev/null 2>&1 || missing="$missing python3 python3-venv"
command -v strace >/dev/null 2>&1 || missing="$missing strace"
command -v npm >/dev/null 2>&1 || missing="$missing nodejs npm"
# shellcheck disable=SC2086 # one word a package
"$(dirname "$0")/apt-install.sh" scripts/install-languages.sh $missing

if ! node -e 'const [major, minor] = process.versions.node.split(".").map(Number)
    process.exit(major > 20 || (major === 20 && minor >= 4) ? 0 : 1)'; then
  echo "scripts/install-languages.sh: Node.js $(node --version) is too old, 20.4 or later is needed: https://nodejs.org" >&2
  exit 1
fi
