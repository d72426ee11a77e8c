#!/bin/bash
# Runs the end-to-end suite in a throwaway Debian 12 virtual machine: systemd, cgroup v2 with every controller,
# all capabilities, crun and runc. That is the host that users have.
#
#   tests/vm.sh [FILTER...]       only tests whose names hold one of these
#   tests/vm.sh -- ARGUMENT...    any arguments of the test binary: --nocapture, ...
#   tests/vm.sh --shell SCRIPT    runs a script of yours there instead (the payload is in /payload)
#
# The base system is built once for a list of packages and kept in target/vm. What runs is copied there on
# a drive of its own; the system's disk is a snapshot, so every run begins with the same one.
#
#   VM_TIME_LIMIT   seconds until the machine is switched off (3300)
#   VM_MEMORY       its memory in MiB (3072)
set -euo pipefail
usage() { echo "usage: tests/vm.sh [FILTER... | -- ARGUMENT... | --shell SCRIPT]" >&2; exit 2; }
case ${1:-} in
    --shell)
        [ $# -eq 2 ] || usage
        case $2 in -* | '') usage ;; esac
        ;;
    --) ;;
    *)
        for argument in "$@"; do
            case $argument in -*) usage ;; esac
        done
        ;;
esac
cd "$(dirname "$0")/.."

packages=(
    systemd systemd-sysv dbus udev kmod linux-image-cloud-amd64
    iproute2 nftables busybox-static docker-registry crun runc libseccomp2 libelf1 zlib1g ca-certificates
    apparmor nfs-kernel-server procps
)
time_limit=${VM_TIME_LIMIT:-3300}
memory=${VM_MEMORY:-3072}
dir=$PWD/target/vm
mkdir -p "$dir"

note() { printf 'vm: %s\n' "$*" >&2; }
fail() { note "$*"; exit 1; }

# One line a repository of Debian's that this host's apt uses, so that mirrors set up for it are used.
sources() {
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN) $(SIGNED_BY)' 'Created-By: Packages' |
        awk '$4 == "Debian" && $2 ~ /^bookworm/ && !seen[$1 $2 $3]++ { print "deb " $1 " " $2 " " $3 }'
}

# Builds the base system unless it is there.
base() {
    local key list options=() line
    key=$({ printf '%s\n' "${packages[@]}"; declare -f build; } | sha256sum | cut -c1-16)
    base=$dir/base-$key
    [ -e "$base/done" ] && return
    rm -rf "$dir"/base-*
    mkdir -p "$base"
    list=$base/sources.list
    sources >"$list"
    [ -s "$list" ] || fail "apt of this host knows no repository of Debian 12; run apt-get update"
    while read -r line; do options+=(--aptopt="$line"); done < <(apt-config dump | grep -iE '^Acquire::https?::Proxy' || true)
    note "building the base system (once, about a minute)"
    build "$base" "$list" "${options[@]}" >"$base/log" 2>&1 || { tail -30 "$base/log" >&2; fail "the base system could not be built"; }
    rm -rf "$base/rootfs"
    touch "$base/done"
}

build() {
    local base=$1 list=$2 root=$1/rootfs
    shift 2
    mmdebstrap --mode=root --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' "$@" bookworm "$root" - <"$list" || return
    cp -L "$root"/vmlinuz "$base/vmlinuz" && cp -L "$root"/initrd.img "$base/initrd" || return
    rm -rf "$root"/boot/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
    echo kube-vm >"$root/etc/hostname"
    printf '127.0.0.1\tlocalhost kube-vm\n' >"$root/etc/hosts"
    echo 'nameserver 127.0.0.1' >"$root/etc/resolv.conf"
    cat >"$root/etc/systemd/system/payload.service" <<'UNIT'
[Unit]
Description=The payload
After=multi-user.target dbus.service
SuccessAction=poweroff-force
FailureAction=poweroff-force

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'mkdir -p /payload && tar -xf /dev/vdb -C /payload && exec /bin/sh /payload/run'
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
Delegate=yes

[Install]
WantedBy=basic.target
UNIT
    sed -i 's/^After=multi-user.target /After=basic.target /' "$root/etc/systemd/system/payload.service"
    chroot "$root" systemctl enable payload.service || return
    chroot "$root" systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer \
        dpkg-db-backup.timer getty.target serial-getty@ttyS0.service docker-registry.service systemd-logind.service \
        nfs-server.service nfs-client.target rpcbind.service rpcbind.socket rpc-statd.service nfs-idmapd.service \
        nfs-blkmap.service nfsdcld.service || return
    mke2fs -q -t ext4 -O ^has_journal -d "$root" "$base/disk" 4G
}

# Puts what is to run on the second drive.
payload() {
    local payload=$dir/payload
    rm -rf "$payload" && mkdir -p "$payload"
    [ "${1:-}" != -- ] || shift
    if [ "${1:-}" = --shell ]; then
        cp "$2" "$payload/script"
        set --
        printf 'exec sh /payload/script\n' >"$payload/main"
    else
        printf 'set -- %s\n' "$(printf '%q ' "$@")" >"$payload/main"
        cat >>"$payload/main" <<'MAIN'
[ -n "$*" ] || set --
export KUBE_TEST_SKIPS=/tmp/skips
{
    code=0
    /payload/e2e "$@" || code=1
    # Other OCI runtimes: the host may have cgroups that crun refuses.
    [ $# -gt 0 ] || set -- external::
    /payload/runtime "$@" || code=1
    echo $code >/tmp/code
} 2>&1 | tee /tmp/said
code=$(cat /tmp/code)
# The speed of emulation varies: a test that failed is run again, alone, and only the second run counts.
failed=$(sed -n 's/^test \([a-z0-9_:]*\) \.\.\. FAILED.*/\1/p' /tmp/said | sort -u)
count=$(echo $failed | wc -w)
if [ "$count" -gt 0 ] && [ "$count" -le 15 ]; then
    echo "vm: $count failed tests run again, alone:" $failed
    code=0
    for name in $failed; do
        case $name in external::*) binary=runtime ;; *) binary=e2e ;; esac
        if /payload/$binary --exact "$name"; then echo "FLAKY $name"; else code=1; fi
    done
fi
[ ! -e "$KUBE_TEST_SKIPS" ] || sort -u "$KUBE_TEST_SKIPS"
exit "$code"
MAIN
    fi
    local file
    [ -e target/debug/kube ] || fail "target/debug/kube is missing: cargo build --package kube-play"
    strip -g -o "$payload/kube" target/debug/kube
    file=$(tests/test-binary.sh tests e2e) && strip -g -o "$payload/e2e" "$file" || fail "the end-to-end tests do not build"
    file=$(tests/test-binary.sh pod-core runtime) && strip -g -o "$payload/runtime" "$file" ||
        fail "the tests of runtimes do not build"
    cp -r manifests "$payload/" 2>/dev/null || true
    cat >"$payload/run" <<'RUN'
stty -F /dev/ttyS1 -onlcr 2>/dev/null
# An address and a way out, as a machine has; nothing is behind them.
ip link add lan0 type dummy && ip addr add 192.0.2.10/24 dev lan0 && ip link set lan0 up
ip route add default via 192.0.2.1 dev lan0
export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export KUBE_BIN=/payload/kube KUBE_MANIFESTS=/payload/manifests KUBE_TEST_SLOWNESS=10 KUBE_TEST_VM=1
cd /payload
echo "vm: $(uname -r), up $(cut -d' ' -f1 /proc/uptime) s"
sh /payload/main
echo "vm: exit $?"
RUN
    tar -cf "$dir/payload.tar" -C "$payload" .
    rm -rf "$payload"
}

# Boots, shows what the payload says, gives its exit code.
run() {
    local output=$dir/output code
    note "starting (at most $time_limit s)"
    timeout --kill-after=10 "$time_limit" qemu-system-x86_64 \
        -accel tcg,thread=multi -cpu max -smp "$(nproc)" -m "$memory" -nic none -no-reboot \
        -display none -monitor none -serial "file:$dir/console.log" -serial stdio \
        -kernel "$base/vmlinuz" -initrd "$base/initrd" \
        -append 'root=/dev/vda rw console=ttyS0 panic=-1 mitigations=off systemd.show_status=false net.ifnames=0' \
        -drive "file=$base/disk,format=raw,if=virtio,snapshot=on" \
        -drive "file=$dir/payload.tar,format=raw,if=virtio,readonly=on" </dev/null |
        stdbuf -oL tr -d '\r' | tee "$output" | sed -u '/^vm: exit /d' || code=$?
    code=$(sed -n 's/^vm: exit //p' "$output" | tail -1)
    if [ -z "$code" ]; then
        note "the machine ended, or was switched off after $time_limit s, before the tests had; its console said last:"
        tail -40 "$dir/console.log" >&2
        exit 1
    fi
    return "$code"
}

base
payload "$@"
run
