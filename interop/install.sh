#!/bin/sh
# Installs what the interop tests need and the machine lacks: a JDK (17 or later), Maven and Go. Does nothing if all is there.
set -eu

missing=""
command -v javac >/dev/null 2>&1 || missing="$missing openjdk-17-jdk-headless"
command -v mvn >/dev/null 2>&1 || missing="$missing maven"
command -v go >/dev/null 2>&1 || missing="$missing golang-go"
# shellcheck disable=SC2086 # one word a package
exec "$(dirname "$0")/../scripts/apt-install.sh" interop/install.sh $missing
