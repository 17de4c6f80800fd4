#!/usr/bin/env bash
# Starts a server on free ports, sends a few messages through it, receives them, and cleans up: demo.sh BINARY
set -euo pipefail
ferromq=$1
dir=$(mktemp -d)
server=

cleanup() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$dir"
}
trap cleanup EXIT

echo "\$ ferromq server --namesrv-port 0 --broker-port 0 --data $dir/data"
mkfifo "$dir/ready"
"$ferromq" server --namesrv-port 0 --broker-port 0 --data "$dir/data" >"$dir/ready" 2>"$dir/log" &
server=$!
read -r ready <"$dir/ready" || { cat "$dir/log" >&2; exit 1; }
echo "$ready"
namesrv=$(sed -n 's/.*name server \([^,]*\),.*/\1/p' <<<"$ready")

messages=5
echo
echo "\$ ferromq produce -n $namesrv -t Greetings   # $messages lines, a message each"
for number in $(seq "$messages"); do
  echo "hello $number"
done | "$ferromq" produce -n "$namesrv" -t Greetings

echo
echo "\$ ferromq consume -n $namesrv -t Greetings -g demo --from first --count $messages"
"$ferromq" consume -n "$namesrv" -t Greetings -g demo --from first --count "$messages" | tee "$dir/received"

received=$(grep -c '^hello [1-5]$' "$dir/received" || true)
if [ "$received" -ne "$messages" ]; then
  echo "demo: $received of $messages messages came back" >&2
  cat "$dir/log" >&2
  exit 1
fi

kill "$server"
wait "$server"
server=
cat <<END

$received messages went through a running server and came back; it has been stopped and its directory removed.

Next:
  $ferromq server
      keeps its data in ./ferromq-data; any client of Apache RocketMQ finds it at 127.0.0.1:9876
  echo hello | $ferromq produce -n 127.0.0.1:9876 -t Greetings
  $ferromq consume -n 127.0.0.1:9876 -t Greetings -g me --from first
  $ferromq --help, and README.md
END
