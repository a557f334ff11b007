#!/usr/bin/env bash
# Builds the sample lab on a real Debian with PyTorch from its packages: the
# experiments train two steps while they are built. Needs root, mmdebstrap, a
# Debian mirror, some minutes and 3 GB of disk.
#
#   testdata/torch.sh BIN_DIR WORK_DIR
set -eu -o pipefail

bin=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
mkdir -p "$2"
work=$(realpath "$2")
export PATH="$bin:$PATH"

rm -rf "$work/lab"
"$here/rootfs/newlab.sh" "$work/lab" debian
lab-layers build --repo "$work/lab" --rev main --data-dir "$work/data"
lab-layers trace --data-dir "$work/data" gpt-2:main
