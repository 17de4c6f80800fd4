# What can be done here. `make` alone lists it.

TARGET := $(or $(CARGO_TARGET_DIR),target)
CARGO ?= cargo
# The crates that need nothing but Rust and a C compiler.
OWN := -p ferromq -p ferromq-cli -p ferromq-bench -p ferromq-examples -p ferromq-ffi

.PHONY: help demo test test-node test-python npm quick check soak bench bench-store bench-languages performance profile install \
	dist wheel

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## */\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do \
		printf '  make %-15s %s\n' "$$target" "$$text"; done

demo: ## build; messages through a server, and embedded in C, Python and Node; clean up
	$(CARGO) build --release -p ferromq-cli
	ffi/build.sh
	scripts/demo.sh "$(TARGET)/release/ferromq"
	scripts/demo-embedded.sh "$(TARGET)"

test: ## everything: unit, integration and command tests, the packages, then Apache's clients and brokers against ours
	scripts/install-languages.sh
	$(CARGO) test $(OWN)
	$(CARGO) test -p ferromq --features wasm-filter function
	$(CARGO) test -p ferromq-ffi --features test-panic --test panics
	$(MAKE) test-node
	$(MAKE) test-python
	interop/install.sh
	FERROMQ_BIN="$(abspath $(TARGET))/debug/ferromq" $(CARGO) test -p ferromq-interop

test-node: ## the npm package: build, types, tests and examples
	bindings/node/test.sh

test-python: ## the Python package: built, installed into an environment of its own, tested with its stubs and examples
	bindings/python/test.sh

npm: ## the npm packages to hand out: target/npm/*.tgz, tried in an empty folder; TARGETS="..." builds for others too
	rm -f bindings/node/*.node
	bindings/node/build.sh release
	for target in $(TARGETS); do bindings/node/build.sh release $$target || exit 1; done
	node bindings/node/scripts/pack.mjs "$(TARGET)/npm"
	bindings/node/scripts/try-packed.sh "$(TARGET)/npm"

quick: ## the library's own tests; under two minutes once built
	$(CARGO) test -p ferromq

check: ## formatting, lints, documentation, and the arrows between the rooms
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy -p ferromq -- -D warnings
	$(CARGO) clippy -p ferromq --all-targets --features wasm-filter -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps
	$(CARGO) test -p ferromq --test it rooms
	$(CARGO) test -p ferromq-ffi --test header

soak: ## the tests with long counts: hours
	FERROMQ_SOAK=1 $(CARGO) test $(OWN)
	scripts/sanitize.sh
	$(MAKE) test-node
	$(MAKE) test-python
	interop/install.sh
	FERROMQ_SOAK=1 FERROMQ_BIN="$(abspath $(TARGET))/debug/ferromq" $(CARGO) test -p ferromq-interop

bench: ## the scoreboard: ours, Apache's and a do-nothing server under the same load; ARGS="--quick" for a first look
	$(CARGO) build --release -p ferromq-cli -p ferromq-bench
	ffi/build.sh
	"$(TARGET)/release/ferromq-bench" $(ARGS)

bench-store: ## the store in process when it is big; ARGS="--quick" for a tenth
	$(CARGO) build --release -p ferromq-bench
	"$(TARGET)/release/ferromq-bench-store" --dir "$(TARGET)/bench" $(ARGS)

bench-languages: ## messages a second through each language, and through queues that others made
	scripts/bench-languages.sh "$(TARGET)"

performance: ## docs/performance.md and its chart, from the last run of make bench
	"$(TARGET)/release/ferromq-bench" --report docs

profile: ## a flame graph of the broker under load: target/profile/flamegraph.svg; needs perf and inferno
	$(CARGO) build --release -p ferromq-cli
	scripts/profile.sh "$(TARGET)" $(or $(SECONDS),10) $(ARGS)

install: ## the C and C++ library: PREFIX=/usr/local (and DESTDIR): headers, libferromq, pkg-config and CMake files
	ffi/build.sh
	ffi/install.sh "$(TARGET)/release" "$(or $(PREFIX),/usr/local)"

dist: ## the binary to hand out: target/dist/ferromq-VERSION-PLATFORM.tar.gz and its checksum
	$(CARGO) build --release --locked -p ferromq-cli
	scripts/dist.sh "$(TARGET)/release/ferromq" "$(TARGET)/dist"

wheel: ## the Python package to hand out: target/wheels/ferromq-VERSION-cp39-abi3-PLATFORM.whl; TARGETS="..." for others
	bindings/python/wheel.sh "$(TARGET)/wheels" $(TARGETS)
