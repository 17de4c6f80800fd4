#!/bin/sh
# A flame graph of the broker under load: scripts/profile.sh TARGET [SECONDS] [ARGUMENTS of `ferromq bench send`...]. Needs
# perf and inferno, and says so where they are missing. Writes TARGET/profile/flamegraph.svg.
set -eu
cd "$(dirname "$0")/.."
target="$1"
seconds="${2:-10}"
shift
[ $# -eq 0 ] || shift
out="$target/profile"
ferromq="$target/release/ferromq"

missing=""
command -v perf > /dev/null || missing="$missing
  perf: apt-get install linux-perf (Debian), linux-tools-generic (Ubuntu)"
if ! command -v inferno-collapse-perf > /dev/null || ! command -v inferno-flamegraph > /dev/null; then
    missing="$missing
  inferno: cargo install inferno --locked"
fi
if [ -n "$missing" ]; then
    printf 'make profile needs tools that are not here:%s\n' "$missing" >&2
    exit 1
fi

mkdir -p "$out"
rm -rf "$out/data"
"$ferromq" --log-level warn server --namesrv-port 0 --broker-port 0 --data "$out/data" > "$out/ready.txt" &
server=$!
load=""
trap '[ -z "$load" ] || kill "$load" 2> /dev/null || true; kill "$server" 2> /dev/null || true; wait "$server" 2> /dev/null || true; rm -rf "$out/data" "$out/ready.txt"' EXIT
tries=0
while ! grep -q ready "$out/ready.txt"; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { echo "the server did not start" >&2; exit 1; }
    sleep 0.1
done
# The name server's port is the first that the line tells.
namesrv="127.0.0.1$(grep -o ':[0-9][0-9]*' "$out/ready.txt" | head -n 1)"

"$ferromq" bench send -n "$namesrv" -d "$((seconds + 2))" -w 1 "$@" &
load=$!
sleep 1
perf record -q -F 997 -g --call-graph dwarf,16384 -p "$server" -o "$out/perf.data" -- sleep "$seconds"
wait "$load"
perf script -i "$out/perf.data" 2> /dev/null | inferno-collapse-perf > "$out/stacks.txt"
inferno-flamegraph --title "ferromq server, $seconds s of sends" < "$out/stacks.txt" > "$out/flamegraph.svg"
rm -f "$out/perf.data" "$out/perf.data.old"
echo "written: $out/flamegraph.svg, stacks in $out/stacks.txt"
