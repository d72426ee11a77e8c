#!/bin/sh
# Makes the image of an application here, localhost/NAME:1, from Debian's busybox and the files in the folder NAME. It needs
# no internet.
#
#   manifests/apps/image.sh guestbook|vote|shop [KUBE]
set -eu
[ $# -ge 1 ] && [ $# -le 2 ] || { echo "usage: manifests/apps/image.sh guestbook|vote|shop [KUBE]" >&2; exit 2; }
apps=$(cd "$(dirname "$0")" && pwd)
name=$1 kube=${2:-kube}
[ -d "$apps/$name" ] || { echo "there is no application $name: guestbook, vote, shop" >&2; exit 2; }
rootfs=$(mktemp --suffix=.tar)
trap 'rm -f "$rootfs"' EXIT
"$apps/../../tests/busybox-rootfs.sh" "$rootfs"
tar -rf "$rootfs" --owner=0 --group=0 -C "$apps/$name" .
"$kube" image import "$rootfs" "localhost/$name:1" --cmd sh
