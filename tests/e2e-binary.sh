#!/bin/sh
# Prints the path of the end-to-end test binary, building it if need be.
set -eu
[ $# -eq 0 ] || { echo "usage: tests/e2e-binary.sh (no arguments)" >&2; exit 2; }
cd "$(dirname "$0")/.."
cargo test --quiet --package tests --test e2e --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\/e2e-[^"]*\)".*/\1/p' | tail -1
