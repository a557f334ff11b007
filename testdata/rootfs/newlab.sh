#!/bin/sh
# newlab.sh DIR [busybox|debian]: a ready lab repository in the new directory
# DIR, with one commit on main: the sample lab, lab-layers.yaml, and a root file
# system for its base. Prints the commit's id.
#
#   busybox  (default) needs no network; nothing is trained while building
#   debian   PyTorch from Debian: builds need a mirror, see debian.sh
#
# The same sample, variant and rootfs give the same commit id: author and date
# are fixed, and set by Git's own GIT_AUTHOR_* and GIT_COMMITTER_* variables.
# LAB_CONFIG names another lab-layers.yaml than the project's.
set -eu

dir=${1:?usage: newlab.sh DIR [busybox|debian]}
variant=${2:-busybox}
here=$(cd "$(dirname "$0")" && pwd)
config=${LAB_CONFIG:-$here/../../lab-layers.yaml}

fail() {
    echo "newlab.sh: $*" >&2
    exit 1
}

case $variant in
busybox | debian) ;;
*) fail "there is no variant $variant: say busybox or debian" ;;
esac
[ -f "$config" ] || fail "$config is not there"
if [ -e "$dir" ] && [ -n "$(ls -A "$dir")" ]; then
    fail "$dir is not empty"
fi

umask 022
mkdir -p "$dir"
cp -R "$here/../lab/." "$dir"
cp "$config" "$dir/lab-layers.yaml"
"$here/$variant.sh" "$dir/images/base/rootfs.tar.gz"
cd "$dir"

# Debian has no TensorFlow: there, bert-base stands on pytorch, where it trains
# the same model.
if [ "$variant" = debian ]; then
    awk '
        match($0, /name: *[^ ,}]+/) { layer = substr($0, RSTART + 5, RLENGTH - 5); sub(/^ */, "", layer) }
        layer == "bert-base" { moved += sub(/parent: *tensorflow/, "parent: pytorch") }
        { print }
        END { exit moved != 1 }
    ' lab-layers.yaml >moved.yaml || fail "$config: bert-base has no line 'parent: tensorflow'"
    mv moved.yaml lab-layers.yaml
    bert=experiments/bert-base/Dockerfile
    sed 's/tensorflow/pytorch/' "$bert" >moved
    mv moved "$bert"
fi

# Nothing of the caller's Git counts: no configuration, no hooks, no signing.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_TEMPLATE_DIR=
export GIT_AUTHOR_NAME="${GIT_AUTHOR_NAME:-Lab Instructor}"
export GIT_AUTHOR_EMAIL="${GIT_AUTHOR_EMAIL:-instructor@lab.example}"
export GIT_AUTHOR_DATE="${GIT_AUTHOR_DATE:-2026-01-05T08:00:00+00:00}"
export GIT_COMMITTER_NAME="${GIT_COMMITTER_NAME:-$GIT_AUTHOR_NAME}"
export GIT_COMMITTER_EMAIL="${GIT_COMMITTER_EMAIL:-$GIT_AUTHOR_EMAIL}"
export GIT_COMMITTER_DATE="${GIT_COMMITTER_DATE:-$GIT_AUTHOR_DATE}"

git init -q -b main
git add .
git commit -q -m 'lab: base, frameworks and experiments'
git rev-parse HEAD
