package clustertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/lab-layers/lab-layers/pipeline/child"
)

const apiServer = "kube-apiserver"

// stages are what KWOK makes of nodes and pods.
//
//go:embed stages.yaml
var stages []byte

func (c *Cluster) ca() string  { return filepath.Join(c.dir, "certs", "apiserver.crt") }
func (c *Cluster) key() string { return filepath.Join(c.dir, "accounts.key") }

// prepare writes the files and picks the ports.
func (c *Cluster) prepare() (err error) {
	if err := os.MkdirAll(c.Logs, 0o700); err != nil {
		return err
	}
	if c.etcd, err = freeAddress(); err != nil {
		return err
	}
	if c.api, err = freeAddress(); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	c.token = rand.Text()
	c.Kubeconfig = filepath.Join(c.dir, "kubeconfig")
	for path, content := range map[string][]byte{
		c.key():                             pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}),
		filepath.Join(c.dir, "tokens.csv"):  fmt.Appendf(nil, "%s,admin,admin,system:masters\n", c.token),
		filepath.Join(c.dir, "stages.yaml"): stages,
		c.Kubeconfig: fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://%s", certificate-authority: %q}}]
users: [{name: admin, user: {token: %s}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
current-context: test
`, c.api, c.ca(), c.token),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// args are the arguments of a program.
func (c *Cluster) args(name string) []string {
	const issuer = "https://kubernetes.default.svc"
	_, port, _ := net.SplitHostPort(c.api)
	etcd := "http://" + c.etcd
	switch name {
	case "etcd":
		// Nobody is its peer: any port does.
		const peer = "http://127.0.0.1:0"
		return []string{"--data-dir=etcd", "--unsafe-no-fsync", "--log-level=warn",
			"--listen-client-urls=" + etcd, "--advertise-client-urls=" + etcd,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=default=" + peer}
	case apiServer:
		return []string{"--etcd-servers=" + etcd,
			"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + port, "--cert-dir=certs",
			"--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.96.0.0/16",
			"--token-auth-file=tokens.csv", "--authorization-mode=Node,RBAC",
			"--service-account-issuer=" + issuer, "--service-account-key-file=" + c.key(), "--service-account-signing-key-file=" + c.key(),
			"--allow-privileged=true", "--kubelet-preferred-address-types=InternalIP"}
	case "kube-controller-manager":
		return append(c.client(), "--service-account-private-key-file="+c.key(), "--root-ca-file="+c.ca(), "--flex-volume-plugin-dir=flex",
			// It would have a certificate of an authority's.
			"--controllers=*,-kube-apiserver-serving-clustertrustbundle-publisher-controller")
	case "kube-scheduler":
		return c.client()
	case "kwok":
		return []string{"--kubeconfig=" + c.Kubeconfig, "--config=stages.yaml",
			"--manage-all-nodes=false", "--manage-nodes-with-annotation-selector=" + fakeNode, "--node-lease-duration-seconds=0"}
	}
	return nil
}

// client are the flags of a program that nothing talks to. The rates matter: at
// the default a first account for pods takes six seconds.
func (c *Cluster) client() []string {
	return []string{"--kubeconfig=" + c.Kubeconfig, "--leader-elect=false", "--secure-port=0", "--kube-api-qps=1000", "--kube-api-burst=2000"}
}

// run starts a program. Its log goes on in its file.
func (c *Cluster) run(name string) error {
	binary, args := filepath.Join(c.binaries, "cluster"), append([]string{name}, c.args(name)...)
	if name == "kwok" {
		binary, args = filepath.Join(c.binaries, name), args[1:]
	}
	lines, err := openLines(filepath.Join(c.Logs, name+".log"))
	if err != nil {
		return err
	}
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Env = c.dir, []string{"HOME=" + c.dir, "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = tied()
	p, err := child.Start(cmd, slog.New(lines))
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	c.running[name] = p
	return nil
}

// freeAddress is one on loopback that nothing listens on yet.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
