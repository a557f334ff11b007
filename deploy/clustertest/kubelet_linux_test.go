package clustertest

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestKubelet runs an image from a registry of this process on a real node, by
// its digest, and hears it.
func TestKubelet(t *testing.T) {
	c := cluster.Get(t)
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	address := server.Listener.Addr().String()
	k := Kubelet{Name: "real", Sandbox: pushBusybox(t, address+"/pause", "sleep", "2147483647"), Reach: []string{address}}
	c.StartKubelet(t, &k)
	image := pushBusybox(t, address+"/lab", "sh", "-c", "busybox mkdir /www && echo it runs >/www/index.html && exec busybox httpd -f -p 80 -h /www")
	ns := create(t, c, deployment(image, 1, func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.NodeName = "real"
	}))
	p := pods(t, c, ns, 1, running)[0]
	if got := p.Status.ContainerStatuses[0].ImageID; got != image {
		t.Errorf("it runs %s, not %s", got, image)
	}
	client := http.Client{Transport: &http.Transport{DialContext: k.Dial, DisableKeepAlives: true}}
	Await(t, "the pod's answer", func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(p.Status.PodIP, "80"), nil)
		if err != nil {
			return err
		}
		response, err := client.Do(r)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if got := strings.TrimSpace(string(body)); err == nil && got != "it runs" {
			err = fmt.Errorf("it says %q", got)
		}
		return err
	})
	if err := c.Client.CoreV1().Pods(ns).Delete(t.Context(), p.Name, *metav1.NewDeleteOptions(0)); err != nil {
		t.Fatal(err)
	}
	pods(t, c, ns, 1, func(other corev1.Pod) bool { return running(other) && other.UID != p.UID })
}

// pushBusybox pushes an image of busybox alone, and returns its reference by
// digest.
func pushBusybox(t *testing.T, repository string, command ...string) string {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Skipf("no busybox (make setup): %v", err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, err := range []error{
		w.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(content))}),
		func() error { _, err := w.Write(content); return err }(),
		w.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	files, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	bare, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		Architecture: runtime.GOARCH,
		OS:           runtime.GOOS,
		Config:       v1.Config{Entrypoint: append([]string{"/bin/busybox"}, command...), Env: []string{"PATH=/bin"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(bare, files)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(repository)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return repository + "@" + digest.String()
}
