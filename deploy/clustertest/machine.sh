# The first process of a node's namespaces: it makes what it is in look like a
# machine, starts its programs and buries what is left of them.
dir=$1 binaries=$2 kubeconfig=$3 name=$4 address=$5 group=$6

mount -t proc proc /proc
mount -t tmpfs run /run
for path in /var/lib /var/log; do mount -t tmpfs var $path; done

# The kubelet sets these for the whole kernel unless they are so already.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    file=/run/$(echo "$setting" | tr / .)
    echo "${setting#*=}" >"$file"
    mount --bind "$file" "/proc/sys/${setting%=*}"
done

# The group of its containers, in every hierarchy.
cd /sys/fs/cgroup
if [ -e cgroup.controllers ]; then
    for controller in $(cat cgroup.controllers); do echo "+$controller" >cgroup.subtree_control; done
    mkdir "$group"
else
    for hierarchy in */; do mkdir -p "$hierarchy$group"; done
fi

ip link set lo up
ip link add pods type bridge
ip address add "$address/16" dev pods
ip link set pods up

export PATH="$binaries:$PATH"
containerd --config "$dir/containerd.toml" >"$dir/containerd.log" 2>&1 &
until [ -S /run/containerd/containerd.sock ]; do sleep 0.05; done
cluster kubelet --config="$dir/kubelet.yaml" --kubeconfig="$kubeconfig" --hostname-override="$name" \
    --node-ip="$address" --cert-dir=/run/kubelet >"$dir/kubelet.log" 2>&1 &
wait
