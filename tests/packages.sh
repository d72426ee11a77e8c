#!/bin/bash
# Installs the Debian packages that something needs, unless they are there.
#
#   tests/packages.sh build|fuzz|run|test|bench|vm...
set -euo pipefail

wanted=()
for what in "$@"; do
    case $what in
        # protoc for netavark's build; the libraries for seccomp filters and, by libbpf, device rules on cgroup v2.
        build) wanted+=(gcc libc6-dev make pkg-config protobuf-compiler libseccomp-dev libelf-dev zlib1g-dev) ;;
        # libFuzzer is C++.
        fuzz) wanted+=(g++) ;;
        # nft for the network; busybox for the image of the examples.
        run) wanted+=(nftables busybox-static) ;;
        test)
            wanted+=(nftables iptables busybox-static docker-registry runc iproute2 gzip zstd)
            # For tests/kubernetes-validate.sh.
            python3 -m pip --version >/dev/null 2>&1 || wanted+=(python3 python3-pip)
            ;;
        # podman with what it needs to run pods without systemd; nginx as a proxy beside ours, and what asks both.
        bench) wanted+=(podman netavark aardvark-dns conmon catatonit runc nftables iptables busybox-static \
            docker-registry iproute2 gzip nginx-light wrk) ;;
        vm) wanted+=(qemu-system-x86 mmdebstrap e2fsprogs binutils) ;;
        *) echo "usage: tests/packages.sh build|fuzz|run|test|bench|vm...: there is no $what" >&2; exit 2 ;;
    esac
done

missing=()
for package in "${wanted[@]}"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit

if [ "$(id -u)" != 0 ]; then
    echo "These packages are missing; as root: apt-get install ${missing[*]}" >&2
    exit 1
fi
echo "Installing ${missing[*]}"
# Services of these packages (a registry on port 5000) are not to be started.
if [ ! -e /usr/sbin/policy-rc.d ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
fi
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null; }
# The lists may be missing or out of date.
install 2>/dev/null || { apt-get update -qq; install; }
