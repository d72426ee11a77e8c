#!/bin/sh
# Makes the root file system of a small image, as a tar, from Debian's busybox-static: no internet needed.
#
#   tests/busybox-rootfs.sh OUT.tar
set -eu
usage() { echo "usage: tests/busybox-rootfs.sh OUT.tar (a name with a dash at its front: ./-OUT.tar)" >&2; exit 2; }
[ $# -eq 1 ] || usage
case $1 in -* | '') usage ;; esac
out=$1
busybox=$(command -v busybox) || { echo "busybox is missing: apt-get install busybox-static" >&2; exit 1; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
umask 022
mkdir "$dir/rootfs"
cd "$dir/rootfs"
mkdir -p bin etc home/web root tmp usr/bin var/tmp www dev proc sys
chmod 1777 tmp var/tmp
chmod 700 root
chown 1000:1000 home/web
cp "$busybox" bin/busybox
chmod 755 bin/busybox
for applet in $("$busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "bin/$applet"
done
ln -s /bin/env usr/bin/env
cat >etc/passwd <<'END'
root:x:0:0:root:/root:/bin/sh
web:x:1000:1000:web:/home/web:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
END
cat >etc/group <<'END'
root:x:0:
web:x:1000:
media:x:2000:web
nogroup:x:65534:
END
cat >www/index.html <<'END'
<!doctype html>
<title>kube</title>
<h1>Hello from a pod</h1>
<p>This page is served by busybox httpd, in a container, in a pod, with no cluster behind it.</p>
END
tar --sort=name --mtime=@0 --numeric-owner -cf "$dir/rootfs.tar" .
case $out in /*) ;; *) out=$OLDPWD/$out ;; esac
mv "$dir/rootfs.tar" "$out"
