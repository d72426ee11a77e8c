#!/bin/bash
# Judges manifests by the strict JSON schema of Kubernetes, with PyPI's kubernetes-validate (the newest at the time
# that it is installed, into target/).
#
#   tests/kubernetes-validate.sh FILE...
set -euo pipefail
usage() { echo "usage: tests/kubernetes-validate.sh FILE... (a name with a dash at its front: ./-FILE)" >&2; exit 2; }
[ $# -gt 0 ] || usage
for file in "$@"; do
    case $file in -* | '') usage ;; esac
done
dir=$(cd "$(dirname "$0")/.." && pwd)/target/kubernetes-validate
mkdir -p "$(dirname "$dir")"
(
    flock 9
    [ -e "$dir/done" ] && exit
    rm -rf "$dir"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$dir" kubernetes-validate >&2
    touch "$dir/done"
) 9>"$dir.lock"
PYTHONPATH=$dir exec python3 -m kubernetes_validate --strict --quiet "$@"
