#!/bin/bash
# Licences, duplicates and sources of the dependencies, by cargo-deny and deny.toml.
set -euo pipefail
[ $# -eq 0 ] || { echo "usage: tests/deny.sh (no arguments)" >&2; exit 2; }
cd "$(dirname "$0")/.."

if ! cargo deny --version >/dev/null 2>&1; then
    echo "cargo-deny is not installed (cargo install --locked cargo-deny): nothing was checked" >&2
    exit 0
fi
cargo deny --offline check bans licenses sources
