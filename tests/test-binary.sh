#!/bin/sh
# Prints the path of a test binary, building it if need be.
#
#   tests/test-binary.sh PACKAGE TEST
set -eu
usage() { echo "usage: tests/test-binary.sh PACKAGE TEST" >&2; exit 2; }
[ $# -eq 2 ] || usage
for argument in "$@"; do
    case $argument in -* | '' | */*) usage ;; esac
done
cd "$(dirname "$0")/.."
cargo test --quiet --locked --package "$1" --test "$2" --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\/'"$2"'-[^"]*\)".*/\1/p' | tail -1
