#!/bin/bash
# Format check, clippy with warnings denied, unit, property and end-to-end tests.
#
#   tests/test.sh [FILTER]      only tests whose name holds FILTER (and neither format check nor clippy)
set -euo pipefail
usage() { echo "usage: tests/test.sh [FILTER]" >&2; exit 2; }
[ $# -le 1 ] || usage
case ${1:-} in -*) usage ;; esac
cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ]; then
    echo "The end-to-end tests make containers and networks: run them as root." >&2
    exit 1
fi
tests/packages.sh build test
if [ $# = 0 ]; then
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
fi
# Each test that is skipped appends a line with its reason.
export KUBE_TEST_SKIPS
KUBE_TEST_SKIPS=$(mktemp)
trap 'sort -u "$KUBE_TEST_SKIPS"; rm -f "$KUBE_TEST_SKIPS"' EXIT
# The end-to-end tests run this binary.
cargo build --locked --package kube-play
if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace --locked --no-fail-fast "$@"
else
    cargo test --workspace --locked --no-fail-fast --lib --bins --tests -- "$@"
fi
