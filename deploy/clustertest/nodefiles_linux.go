package clustertest

import (
	"fmt"
	"os"
	"path/filepath"
)

// configure writes the configuration of a node's programs.
func (k *Kubelet) configure(dir, group string) error {
	networks := filepath.Join(dir, "cni")
	if err := os.Mkdir(networks, 0o700); err != nil {
		return err
	}
	for path, content := range map[string]string{
		filepath.Join(dir, "containerd.toml"):    containerdConfig(k.Sandbox, networks),
		filepath.Join(dir, "kubelet.yaml"):       kubeletConfig(group),
		filepath.Join(networks, "pods.conflist"): podNetwork,
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

const podNetwork = `{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "pods", "isGateway": true,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": "` + podRange + `"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
`

func containerdConfig(sandbox, networks string) string {
	return fmt.Sprintf(`version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri"]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = %q
[plugins."io.containerd.cri.v1.runtime"]
# Otherwise no sandbox starts where CAP_SYS_RESOURCE is missing.
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = [%q]
conf_dir = %q
`, sandbox, plugins, networks)
}

func kubeletConfig(group string) string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /%s
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
evictionHard: {memory.available: 1Mi, nodefs.available: "0%%", imagefs.available: "0%%"}
imageGCHighThresholdPercent: 100
localStorageCapacityIsolation: false
makeIPTablesUtilChains: false
clusterDNS: [10.96.0.10]
resolvConf: ""
`, group)
}
