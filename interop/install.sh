#!/bin/sh
# Installs what the interop tests need and the machine lacks: a JDK (17 or later), Maven and Go. Does nothing if all is there.
set -eu

missing=""
command -v javac >/dev/null 2>&1 || missing="$missing openjdk-17-jdk-headless"
command -v mvn >/dev/null 2>&1 || missing="$missing maven"
command -v go >/dev/null 2>&1 || missing="$missing golang-go"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "interop/install.sh: please install:$missing (no apt-get here to do it with)" >&2
  exit 1
fi
root=""
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null 2>&1; then
    echo "interop/install.sh: please install as root:$missing" >&2
    exit 1
  fi
  root="sudo"
fi
echo "interop/install.sh: installing$missing"
$root apt-get update -q
# shellcheck disable=SC2086 # one word a package
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
