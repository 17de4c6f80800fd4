#!/bin/sh
# The C tests under valgrind and sanitizers: scripts/sanitize.sh [valgrind] [address] [instrumented_address] [thread].
# Without words the first two. What this machine has no tools for is said and left out. `make soak` calls it.
#
# address: the C side is compiled with AddressSanitizer and UndefinedBehaviorSanitizer; the library's allocations go through the
# same allocator, so leaks, double frees and accesses of C to what was freed are seen. The other two compile the library and
# Rust's own with the sanitizer, which takes a nightly Rust, clang, and long.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
target=${CARGO_TARGET_DIR:-target}
cargo=${CARGO:-cargo}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
host=$(rustc -vV | sed -n 's/^host: //p')

# What is run: the programs of ffi/tests/c with their arguments.
all_programs="basics|features|lifecycle|scenarios embedded|scenarios served|forks"

# compile COMPILER LIBRARY NAME FLAGS...: the program NAME against a library.
compile() {
  compiler=$1 library=$2 name=$3
  shift 3
  "$compiler" -std=c11 -D_GNU_SOURCE -g -O1 -Iinclude -Iffi/tests/c "ffi/tests/c/$name.c" -o "$work/$name" "$@" "$library" \
    -lgcc_s -lutil -lrt -lpthread -lm -ldl
}

# each NAME-PREFIX COMMAND...: runs COMMAND with every program; the first that fails ends it.
each() {
  what=$1
  shift
  echo "$programs" | tr '|' '\n' | while read -r name arguments; do
    # shellcheck disable=SC2086 # the arguments are words
    if timeout 1800 "$@" "$work/$name" $arguments > "$work/log" 2>&1; then
      echo "$what: $name $arguments: clean"
    else
      cat "$work/log"
      echo "$what: $name $arguments: failed" >&2
      exit 1
    fi
  done
}

all() {
  echo "$all_programs" | tr '|' '\n' | sed 's/ .*//' | sort -u
}

run_valgrind() {
  if ! command -v valgrind > /dev/null; then
    echo "valgrind: not here, left out"
    return
  fi
  "$cargo" build -p ferromq-ffi
  for name in $(all); do
    compile cc "$target/debug/libferromq_ffi.a" "$name"
  done
  # Its scheduler runs one thread at a time: a fair one, or waiting threads starve those they wait for.
  programs=$(echo "$all_programs" | sed 's/|forks//')
  each valgrind valgrind --quiet --fair-sched=yes --error-exitcode=9 --leak-check=full --show-leak-kinds=definite,indirect \
    --errors-for-leak-kinds=definite,indirect
  # What the parent's threads held nobody holds in a child: only accesses are looked at there.
  programs=forks
  each valgrind valgrind --quiet --fair-sched=yes --error-exitcode=9 --leak-check=no
}

# The library itself is compiled with the sanitizer, by a nightly Rust; the C side by clang, whose runtime it uses.
instrumented() {
  kind=$1
  shift
  if ! command -v clang > /dev/null || ! rustc +nightly --version > /dev/null 2>&1; then
    echo "$kind: needs clang and a nightly Rust, left out"
    return 1
  fi
  RUSTFLAGS="-Zsanitizer=$kind ${EXTRA_RUSTFLAGS:-}" "$cargo" +nightly build -p ferromq-ffi --target "$host" \
    --target-dir "$target/$kind" "$@"
  # The runtime that belongs to the Rust compiler: an older clang's has not all that its code calls.
  runtime=$(rustc +nightly --print sysroot)/lib/rustlib/$host/lib/librustc-nightly_rt.tsan.a
  for name in $(all); do
    if [ "$kind" = thread ]; then
      clang -std=c11 -D_GNU_SOURCE -g -O1 -Iinclude -Iffi/tests/c -fsanitize=thread -c "ffi/tests/c/$name.c" \
        -o "$work/$name.o"
      clang -rdynamic "$work/$name.o" -o "$work/$name" "$target/$kind/$host/debug/libferromq_ffi.a" \
        -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive -lgcc_s -lutil -lrt -lpthread -lm -ldl
    else
      compile clang "$target/$kind/$host/debug/libferromq_ffi.a" "$name" -fsanitize="$kind"
    fi
  done
}

run_address() {
  "$cargo" build -p ferromq-ffi
  for name in $(all); do
    compile cc "$target/debug/libferromq_ffi.a" "$name" -fsanitize=address,undefined
  done
  programs=$all_programs
  ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1 each address env
}

run_instrumented_address() {
  if instrumented address; then
    programs=$all_programs
    ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1 each instrumented_address env
  fi
}

# A program that has a race fails, or nothing is shown by those that pass.
sees_races() {
  cat > "$work/race.c" << 'END'
#include <pthread.h>
static int shared;
static void *change(void *how) { shared = how != 0; return how; }
int main(void) {
  pthread_t other;
  pthread_create(&other, 0, change, 0);
  change(&other);
  return pthread_join(other, 0);
}
END
  clang -g -fsanitize=thread -c "$work/race.c" -o "$work/race.o"
  clang -rdynamic "$work/race.o" -o "$work/race" -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive -lgcc_s -lutil -lrt \
    -lpthread -lm -ldl
  if TSAN_OPTIONS=exitcode=9 "$work/race" > "$work/log" 2>&1; then
    echo "thread: a race was not seen" >&2
    exit 1
  fi
  grep -q 'data race' "$work/log"
}

run_thread() {
  # All code has to be instrumented, the standard library too, or its locks would not be seen.
  if ! [ -d "$(rustc +nightly --print sysroot 2> /dev/null)/lib/rustlib/src/rust/library" ]; then
    echo "thread: needs a nightly Rust with rust-src, left out"
    return
  fi
  if instrumented thread -Zbuild-std; then
    sees_races
    # Forks with threads are beyond it.
    programs=$(echo "$all_programs" | sed 's/|forks//')
    TSAN_OPTIONS=halt_on_error=0:exitcode=9:second_deadlock_stack=1 each thread env
  fi
}

for one in ${*:-valgrind address}; do
  "run_$one"
done
