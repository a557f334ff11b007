package buildkit

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// authority signs certificates, which lie as PEM files in a directory.
type authority struct {
	*testing.T
	dir  string
	name string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir, name string) *authority {
	a := &authority{T: t, dir: dir, name: name}
	a.cert, a.key = a.sign(name, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) check(err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

// sign makes NAME.pem and NAME-key.pem; the first is signed by itself.
func (a *authority) sign(name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.check(err)
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	a.check(err)
	secret, err := x509.MarshalECPrivateKey(key)
	a.check(err)
	a.check(os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	a.check(os.WriteFile(a.file(name+"-key"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600))
	cert, err := x509.ParseCertificate(der)
	a.check(err)
	return cert, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name+".pem") }

// guarded starts a buildkitd that lets in who has a certificate of an authority,
// and returns its address.
func guarded(t *testing.T, a *authority) string {
	t.Helper()
	a.sign("daemon", &x509.Certificate{
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"buildkit.lab.example"},
	})
	binary := buildkitd()
	if binary == "" {
		binary = "buildkitd"
	}
	root, err := os.MkdirTemp("", "bk")
	a.check(err)
	t.Cleanup(func() { os.RemoveAll(root) })
	cmd := exec.Command(binary, "--root", root, "--addr", "tcp://127.0.0.1:0", "--otel-socket-path", filepath.Join(root, "otel.sock"),
		"--containerd-worker=false", "--oci-worker-net", "host",
		"--tlscacert", a.file(a.name), "--tlscert", a.file("daemon"), "--tlskey", a.file("daemon-key"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StderrPipe()
	a.check(err)
	a.check(cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	running := regexp.MustCompile(`running server on (127\.0\.0\.1:[0-9]+)`)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if found := running.FindStringSubmatch(lines.Text()); found != nil {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return "tcp://" + found[1]
		}
	}
	t.Fatal("buildkitd does not come up")
	return ""
}

// TestMutualTLS builds at a daemon that wants a certificate, and holds that
// neither side takes one that is signed by another.
func TestMutualTLS(t *testing.T) {
	dir := t.TempDir()
	ours := newAuthority(t, dir, "ca")
	others := newAuthority(t, dir, "other-ca")
	client := func() *x509.Certificate {
		return &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	}
	ours.sign("agent", client())
	others.sign("stranger", client())
	address := guarded(t, ours)

	good := TLS{CA: ours.file("ca"), Cert: ours.file("agent"), Key: ours.file("agent-key")}
	// One on a socket of this machine has no use for them.
	b := mustNew(t, Options{Addresses: []string{address, sharedDaemon.Address()}, TLS: &good})
	for _, n := range b.nodes {
		if err := n.reach(t.Context()); err != nil {
			t.Error(err)
		}
	}
	b = mustNew(t, Options{Addresses: []string{address}, TLS: &good})
	s := solvable(t, "FROM scratch\nCOPY file /\n", memFS{{path: "file", data: "guarded", mode: 0o644}}, nil, byContent)
	if text, _ := mustBuild(t, b, order(t, s)).file(t, "file"); text != "guarded" {
		t.Errorf("the image has %q", text)
	}
	named := good
	named.ServerName = "buildkit.lab.example"
	if err := mustNew(t, Options{Addresses: []string{address}, TLS: &named}).Ping(t.Context()); err != nil {
		t.Error(err)
	}

	for name, wrong := range map[string]*TLS{
		"no TLS":                            nil,
		"no certificate of ours":            {CA: good.CA},
		"a stranger's certificate":          {CA: good.CA, Cert: ours.file("stranger"), Key: ours.file("stranger-key")},
		"a daemon that is signed by others": {CA: ours.file("other-ca"), Cert: good.Cert, Key: good.Key},
		"a daemon that the system knows of": {Cert: good.Cert, Key: good.Key},
		"a daemon of another name":          {CA: good.CA, Cert: good.Cert, Key: good.Key, ServerName: "elsewhere.lab.example"},
	} {
		if err := mustNew(t, Options{Addresses: []string{address}, TLS: wrong}).Ping(t.Context()); err == nil {
			t.Errorf("%s: it is let in", name)
		}
	}
	for name, missing := range map[string]*TLS{
		"no such file":       {CA: filepath.Join(dir, "none.pem")},
		"no key":             {CA: good.CA, Cert: good.Cert},
		"another's key":      {CA: good.CA, Cert: good.Cert, Key: ours.file("stranger-key")},
		"a CA that is a key": {CA: good.Key},
	} {
		if _, err := New(Options{Addresses: []string{address}, TLS: missing}); err == nil || strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
