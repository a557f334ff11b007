#!/usr/bin/env bash
# Shows the main job: an agent on its embedded parts, a sample lab pushed to
# it, and what a one-line change to one experiment rebuilds. Where "make cluster"
# has been, also how a cluster's workload follows: on a real control plane, with
# nodes that are played.
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

agent='' cluster='' deploys=()
trap 'kill $agent $cluster 2>/dev/null || true; wait $agent $cluster 2>/dev/null || true' EXIT

# A control plane, if there is one, and a class on its two nodes.
if [ -e "$bin/cluster/inputs" ]; then
    (cd "$here/.." && go build -o "$work/serve" ./deploy/clustertest/serve)
    mkfifo "$work/ready"
    cd "$here/.."
    tail --pid=$$ -f /dev/null | "$work/serve" "$work/cluster" >"$work/ready" 2>"$work/cluster.log" &
    cluster=$!
    cd "$work/lab"
    read -r KUBECONFIG <"$work/ready" || { cat "$work/cluster.log" >&2; exit 1; }
    export KUBECONFIG
    deploys=(--kubeconfig "$KUBECONFIG")
fi
kubectl() { "$bin/cluster/cluster" kubectl "$@"; }

say "2. The agent, with everything that it is not given: PostgreSQL, a registry, BuildKit"
lab-layers agent --repo "$work/lab.git" --data-dir "$work/data" --interval 1s "${deploys[@]}" >"$work/agent.out" 2>"$work/agent.log" &
agent=$!

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

# stands STATE COMMIT waits until the class, or its rollout, is in a state at a
# commit.
stands() {
    for _ in $(seq 600); do
        kill -0 $agent 2>/dev/null || break
        if lab-layers environments --data-dir "$work/data" -o json | grep "\"state\":\"$1\"" | grep -q "\"commit\":\"$2\""; then
            return
        fi
        sleep 0.2
    done
    echo "the class did not come to be $1" >&2
    lab-layers environments --data-dir "$work/data" -o json >&2
    tail -n 20 "$work/agent.log" >&2
    exit 1
}

if [ -n "$cluster" ]; then
    say "7. A class on a cluster joins: its Deployment runs what main has"
    kubectl apply -f "$here/cluster/class.yaml"
    stands healthy "$(git rev-parse main)"
    lab-layers environments --data-dir "$work/data"
    kubectl -n vision get deployments,pods -o wide

    say "8. An image that needs a newer driver than the nodes have does not get there"
    git checkout -q main
    sed -i '1a ENV NVIDIA_REQUIRE_CUDA=cuda>=13.0' experiments/resnet50/Dockerfile
    git commit -qam "resnet50: CUDA 13"
    git push -q origin main
    settled refs/heads/main "$(git rev-parse HEAD)"
    stands held "$(git rev-parse main)"
    lab-layers environments --data-dir "$work/data"
    lab-layers environments --data-dir "$work/data" -o json | grep -o '"reason":"[^"]*"' | head -n 1

    say "9. The push is reverted: the image that was there is found again"
    git revert --no-edit HEAD >/dev/null
    git push -q origin main
    settled refs/heads/main "$(git rev-parse HEAD)"
    stands healthy "$(git rev-parse main)"
    lab-layers environments --data-dir "$work/data"
else
    say "make cluster builds a control plane (minutes, once); then make demo shows a rollout, too"
fi

say "The agent's log is $work/agent.log; the records stay in $work/data"
