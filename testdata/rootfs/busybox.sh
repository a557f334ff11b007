#!/bin/sh
# busybox.sh OUT: the smallest root file system a RUN step works in: Debian's
# static busybox and its applets as links. Needs no network and no root.
#
# OUT ending in .tar.gz becomes an archive, anything else a directory, new or
# empty. The archive depends on the busybox binary alone: same busybox, same
# bytes.
set -eu

out=${1:?usage: busybox.sh OUT_DIR|OUT.tar.gz}
busybox=${BUSYBOX:-/bin/busybox}
epoch=${SOURCE_DATE_EPOCH:-315532800} # 1980-01-01

if [ ! -x "$busybox" ]; then
    echo "busybox.sh: $busybox is not there: apt-get install busybox-static" >&2
    exit 1
fi

case $out in
*.tar.gz)
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    root=$scratch/root
    ;;
*) root=$out ;;
esac

umask 022
mkdir -p "$(dirname "$out")"
mkdir -p "$root"
cd "$root"
mkdir -p bin dev etc proc root sys tmp usr/bin usr/local/bin var/tmp
chmod 0700 root
chmod 1777 tmp var/tmp
cp "$busybox" bin/busybox
chmod 0755 bin/busybox
for applet in $(bin/busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "bin/$applet"
done
ln -s /bin/env usr/bin/env
echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
echo 'root:x:0:' >etc/group
cd "$OLDPWD"

case $out in
*.tar.gz)
    tar --create --directory="$root" --format=gnu --sort=name --mtime="@$epoch" \
        --owner=0 --group=0 --numeric-owner . | gzip -n >"$scratch/tar.gz"
    mv "$scratch/tar.gz" "$out"
    ;;
esac
