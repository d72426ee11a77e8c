#!/bin/sh
# Fuzzes what reads other people's bytes, one target after another; installs cargo-fuzz when it is missing.
#   tests/fuzz.sh [SECONDS [TARGET...]]      SECONDS for each target, 600 unless told
# Seeds are in tests/fuzz/corpus (which plain tests run too); what is found on the way goes to tests/fuzz/work, a
# crashing input to tests/fuzz/artifacts: put it into the corpus when it is mended.
set -eu
for argument in "$@"; do
    case $argument in -* | '' | */*) echo "usage: tests/fuzz.sh [SECONDS [TARGET...]]" >&2; exit 2 ;; esac
done
case ${1:-600} in *[!0-9]*) echo "usage: tests/fuzz.sh [SECONDS [TARGET...]]: $1 is no number" >&2; exit 2 ;; esac
cd "$(dirname "$0")/.."
seconds=${1:-600}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- manifest reference layer auth_file cri_log dns_message
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --version 0.13.2 --locked
# The coverage that guides libFuzzer is a flag of unstable compilers.
export RUSTC_BOOTSTRAP=1
# Layers are unpacked into temporary folders: files are made and removed far faster where no disk is below them.
[ ! -d /dev/shm ] || export TMPDIR=/dev/shm
for target in "$@"; do
    mkdir -p "tests/fuzz/work/$target"
    echo "== $target, $seconds s"
    cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none "$target" \
        "tests/fuzz/work/$target" "tests/fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0
done
