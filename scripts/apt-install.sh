#!/bin/sh
# Installs packages of Debian's for the script that asks: apt-install.sh ASKING PACKAGE... Does nothing without packages.
set -eu
asking="$1"
shift
[ $# -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "$asking: please install: $* (no apt-get here to do it with)" >&2
  exit 1
fi
root=""
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null 2>&1; then
    echo "$asking: please install as root: $*" >&2
    exit 1
  fi
  root="sudo"
fi
echo "$asking: installing $*"
$root apt-get update -q
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
