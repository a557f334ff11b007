#!/usr/bin/env bash
# Shows the main job: an agent on its embedded parts, a sample lab pushed to
# it, and what a one-line change to one experiment rebuilds.
#
#   testdata/demo.sh BIN_DIR WORK_DIR
set -eu -o pipefail

bin=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
rm -rf "$2"
mkdir -p "$2"
work=$(realpath "$2")
export PATH="$bin:$PATH"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=Instructor GIT_AUTHOR_EMAIL=instructor@lab.example
export GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "1. An instructor's repository, and a bare remote that the agent watches"
"$here/rootfs/newlab.sh" "$work/lab" busybox >/dev/null
git clone -q --bare "$work/lab" "$work/lab.git"
cd "$work/lab"
git remote add origin "$work/lab.git"
git log --oneline

say "2. The agent, with everything that it is not given: PostgreSQL, a registry, BuildKit"
lab-layers agent --repo "$work/lab.git" --data-dir "$work/data" --interval 1s >"$work/agent.out" 2>"$work/agent.log" &
agent=$!
trap 'kill $agent 2>/dev/null; wait $agent 2>/dev/null || true' EXIT

# settled REF COMMIT waits until the agent has recorded a final state.
settled() {
    for _ in $(seq 600); do
        if ! kill -0 $agent 2>/dev/null; then
            tail -n 20 "$work/agent.log" >&2
            exit 1
        fi
        if lab-layers runs --data-dir "$work/data" --ref "$1" --commit "$2" --final -o json 2>/dev/null | grep -q '"state"'; then
            return
        fi
        sleep 0.2
    done
    echo "the agent did not come to an end" >&2
    tail -n 20 "$work/agent.log" >&2
    exit 1
}

settled refs/heads/main "$(git rev-parse HEAD)"
lab-layers history --data-dir "$work/data"

say "3. One line of one experiment changes, and is pushed"
sed -i 's/"learning_rate": .*,/"learning_rate": 0.005,/' experiments/resnet50/hparams.json
git diff --stat
git commit -qam "resnet50: a smaller learning rate"
git push -q origin main
settled refs/heads/main "$(git rev-parse HEAD)"
lab-layers plan --explain
lab-layers history --data-dir "$work/data" --commit "$(git rev-parse HEAD)"

say "4. A README changes: nothing is built"
echo "See you on Monday." >>README.md
git commit -qam "readme: say when"
git push -q origin main
settled refs/heads/main "$(git rev-parse HEAD)"
lab-layers history --data-dir "$work/data" --commit "$(git rev-parse HEAD)"

say "5. A feature branch gets temporary tags of its own"
git checkout -q -b feature/unet-depth
sed -i 's/"depth": .*,/"depth": 2,/' experiments/unet/hparams.json
git commit -qam "unet: one level less"
git push -q origin feature/unet-depth
settled refs/heads/feature/unet-depth "$(git rev-parse HEAD)"
lab-layers history --data-dir "$work/data" --commit "$(git rev-parse HEAD)"

say "6. Where does resnet50:main come from?"
lab-layers trace --data-dir "$work/data" resnet50:main

# What the demo claims, checked.
built() {
    lab-layers history --data-dir "$work/data" --commit "$1" -o json | grep -c '"state":"built"' || true
}
[ "$(built "$(git rev-parse main~1)")" = 1 ] || { echo "the one-line change did not build exactly one layer" >&2; exit 1; }
[ "$(built "$(git rev-parse main)")" = 0 ] || { echo "the README edit built something" >&2; exit 1; }

say "The agent's log is $work/agent.log; the records stay in $work/data"
