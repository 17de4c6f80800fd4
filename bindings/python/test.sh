#!/bin/sh
# Builds the wheel as the tests want it (a debug build), installs it into an environment of its own, and runs the tests.
# Arguments go to pytest.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=$(cd "$here/../.." && mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
# maturin is called elsewhere, where a relative one would be another.
export CARGO_TARGET_DIR="$target"
python=${PYTHON:-python3}
venv=$target/python-venv

if [ ! -x "$venv/bin/python" ] || [ "$here/requirements-test.txt" -nt "$venv/installed" ]; then
    "$python" -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --requirement "$here/requirements-test.txt"
    touch "$venv/installed"
fi

wheels=$target/python-wheels
rm -rf "$wheels"
(cd "$here" && "$venv/bin/maturin" build --profile dev --interpreter "$venv/bin/python" --out "$wheels" --quiet)
"$venv/bin/pip" install --quiet --force-reinstall --no-deps "$wheels"/ferromq-*.whl

# Not in this directory: the package that is tested is the installed one.
cd "$target"
"$venv/bin/python" -m mypy.stubtest --allowlist "$here/stubtest-allow.txt" ferromq
"$venv/bin/python" -m mypy --strict --no-incremental -p ferromq
(cd "$here/../../examples/python" && "$venv/bin/python" -m mypy --strict --no-incremental ./*.py)
exec "$venv/bin/python" -m pytest -c "$here/pyproject.toml" --rootdir "$here" -p no:cacheprovider "$here/tests" "$@"
