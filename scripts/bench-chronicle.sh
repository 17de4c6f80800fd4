#!/bin/sh
# Chronicle Queue's cases: scripts/bench-chronicle.sh OUT DIRECTORY SECONDS. Fetches it with Maven into OUT the first time, builds
# bench/chronicle there and runs it on the directory. Prints a case, its messages a second and its megabytes per line.
set -eu
cd "$(dirname "$0")/.."
out="$1"
shift
if ! command -v mvn > /dev/null || ! command -v javac > /dev/null; then
    echo "no Maven or no JDK" >&2
    exit 1
fi
mkdir -p "$out"
out="$(cd "$out" && pwd)"

# A copy that breaks off leaves no lib, so that the next run fetches all.
build() {
    if [ ! -d "$out/lib" ]; then
        rm -rf "$out/lib.new"
        mvn -q -B -f bench/chronicle/pom.xml dependency:copy-dependencies "-DoutputDirectory=$out/lib.new" >&2 &&
            mv "$out/lib.new" "$out/lib" || return 1
    fi
    javac --release 17 -cp "$out/lib/*" -d "$out/classes" bench/chronicle/src/main/java/Bench.java >&2
}

if ! build; then
    echo "it could not be fetched or built" >&2
    exit 1
fi
opens=""
for package in java.lang java.lang.reflect java.io java.nio java.util sun.nio.ch jdk.internal.ref; do
    opens="$opens --add-opens=java.base/$package=ALL-UNNAMED --add-exports=java.base/$package=ALL-UNNAMED"
done
# shellcheck disable=SC2086
exec java $opens --add-exports=jdk.unsupported/sun.misc=ALL-UNNAMED \
    --add-opens=jdk.compiler/com.sun.tools.javac=ALL-UNNAMED -Dchronicle.analytics.disable=true \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=off -cp "$out/classes:$out/lib/*" Bench "$@"
