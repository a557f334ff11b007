#!/bin/sh
# debian.sh OUT: a minimal Debian root file system, on which a framework layer
# can apt-get install PyTorch. Needs mmdebstrap, root, and a Debian mirror.
#
# OUT ending in .tar.gz becomes an archive, anything else a directory, new or
# empty. The first call takes about 90 seconds; later ones copy its result from
# the cache until this script or the suite changes. Delete the cache for newer
# packages.
#
#   LAB_SUITE        Debian's suite (default bookworm)
#   LAB_APT_SOURCES  a sources.list or .sources file for the mirrors (default:
#                    this machine's own if it runs that suite, else Debian's)
#   LAB_CACHE        where results are kept (default ~/.cache/lab-layers)
#
# This machine's apt proxy and date checks go into the root file system too:
# what works here works in a RUN step. None of it is ever committed here.
set -eu

out=${1:?usage: debian.sh OUT_DIR|OUT.tar.gz}
suite=${LAB_SUITE:-bookworm}
cache=${LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lab-layers}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-315532800} # 1980-01-01
export SOURCE_DATE_EPOCH

sources() {
    # shellcheck source=/dev/null
    if [ -n "${LAB_APT_SOURCES:-}" ]; then
        echo "$LAB_APT_SOURCES"
    elif [ "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" = "$suite" ]; then
        for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
            if [ -s "$file" ]; then
                echo "$file"
                return
            fi
        done
    fi
}

apt_options() {
    apt-config dump | grep -E '^Acquire::(Check-Valid-Until|Check-Date|https?::Proxy[^ ]*) ' || true
}

mirror=$(sources)
key=$(
    {
        cat "$0" ${mirror:+"$mirror"}
        apt_options
        echo "$suite $SOURCE_DATE_EPOCH"
    } | sha256sum | cut -c1-16
)
kept=$cache/$suite-$key.tar.gz

if [ ! -s "$kept" ]; then
    if ! command -v mmdebstrap >/dev/null; then
        echo 'debian.sh: mmdebstrap is not there: apt-get install mmdebstrap' >&2
        exit 1
    fi
    mkdir -p "$cache"
    making=$(mktemp -d "$cache/making.XXXXXX")
    trap 'rm -rf "$making"' EXIT
    apt_options >"$making/apt.conf"
    # resolv.conf and hostname would be this machine's; no manuals and no
    # translations in an image.
    # shellcheck disable=SC2016 # $1 is for the hook's shell
    mmdebstrap --quiet --variant=minbase --format=tar \
        --aptopt="$making/apt.conf" \
        --aptopt='Acquire::Languages "none"' \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --customize-hook=': >"$1/etc/resolv.conf"; echo lab >"$1/etc/hostname"' \
        "$suite" "$making/rootfs.tar" ${mirror:+"$mirror"}
    gzip -n "$making/rootfs.tar"
    mv "$making/rootfs.tar.gz" "$kept" # whole or not at all
fi

mkdir -p "$(dirname "$out")"
case $out in
*.tar.gz) cp "$kept" "$out" ;;
*)
    mkdir -p "$out"
    tar --extract --gzip --numeric-owner --file="$kept" --directory="$out"
    ;;
esac
