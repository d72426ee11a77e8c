#!/bin/bash
# Builds kube, makes a small image without the internet, runs manifests/hello.yaml and fetches its page.
set -euo pipefail
[ $# -eq 0 ] || { echo "usage: tests/demo.sh (no arguments)" >&2; exit 2; }
cd "$(dirname "$0")/.."

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }

if [ "$(id -u)" != 0 ]; then
    echo "The demo makes containers and a network: run it as root." >&2
    exit 1
fi

say "1. Building"
tests/packages.sh build run
cargo build --release --locked --package kube-play
kube=target/release/kube

say "2. An image, from Debian's busybox"
rootfs=$(mktemp --suffix=.tar)
trap 'rm -f "$rootfs"' EXIT
tests/busybox-rootfs.sh "$rootfs"
run "$kube" image import "$rootfs" localhost/busybox:1 --cmd sh

say "3. A pod, until it is Ready"
run "$kube" play manifests/hello.yaml --wait=ready --timeout 60s

say "4. Its page, through the port of this machine"
run busybox wget -q -O - http://127.0.0.1:8080/

say "5. What runs"
run "$kube" ps

say "It runs on. To look at it, and to stop it:"
cat <<END
  $kube logs hello
  $kube exec -it hello -- sh
  $kube down manifests/hello.yaml
END
