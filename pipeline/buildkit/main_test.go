package buildkit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/platforms"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
	"github.com/lab-layers/lab-layers/pipeline/buildkit/daemon"
)

// The tests build for real: they need root, runc, busybox-static and the
// buildkitd of go.mod. They share one daemon and one registry.
var (
	sharedDaemon   *daemon.Daemon
	sharedRegistry *testRegistry
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "bk")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		sharedDaemon, err = daemon.Start(context.Background(), daemon.Options{Binary: buildkitd(), Root: dir})
		if err != nil {
			log.Print(err)
			return 1
		}
		defer sharedDaemon.Stop(context.Background())
		sharedRegistry = newTestRegistry()
		defer sharedRegistry.server.Close()
		return m.Run()
	}())
}

// buildkitd is the path of go.mod's; empty lets the daemon package look.
func buildkitd() string {
	if _, err := exec.LookPath("buildkitd"); err == nil {
		return ""
	}
	out, err := exec.Command("go", "tool", "-n", "buildkitd").Output()
	if err != nil {
		log.Fatalf("no buildkitd on PATH, and go tool -n buildkitd: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// freshDaemon is a second one, with nothing in its cache.
func freshDaemon(t testing.TB) *daemon.Daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "bk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return startAt(t, dir)
}

func startAt(t testing.TB, dir string) *daemon.Daemon {
	t.Helper()
	d, err := daemon.Start(t.Context(), daemon.Options{Binary: buildkitd(), Root: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Stop(context.Background()) })
	return d
}

// testRegistry is an in-process registry that can be told to fail.
type testRegistry struct {
	server *httptest.Server
	host   string

	mu       sync.Mutex
	requests []string // METHOD PATH
	fail     func(*http.Request) int
}

func newTestRegistry() *testRegistry {
	r := &testRegistry{}
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.requests = append(r.requests, req.Method+" "+req.URL.RequestURI())
		fail := r.fail
		r.mu.Unlock()
		if fail != nil {
			if status := fail(req); status != 0 {
				w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
				w.WriteHeader(status)
				return
			}
		}
		handler.ServeHTTP(w, req)
	}))
	r.host = strings.TrimPrefix(r.server.URL, "http://")
	return r
}

// since runs f and returns the requests made meanwhile.
func (r *testRegistry) since(f func()) []string {
	r.mu.Lock()
	n := len(r.requests)
	r.mu.Unlock()
	f()
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.requests[n:]...)
}

// image is a pushed image.
type image struct {
	repository string
	digest     digest.Digest
	config     []byte
	manifest   *v1.Manifest
}

// fetch reads a pushed image back.
func fetch(t testing.TB, repository string, d digest.Digest) *image {
	t.Helper()
	ref, err := name.NewDigest(repository + "@" + d.String())
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	img := &image{repository: repository, digest: d}
	if img.config, err = got.RawConfigFile(); err != nil {
		t.Fatal(err)
	}
	if img.manifest, err = got.Manifest(); err != nil {
		t.Fatal(err)
	}
	return img
}

// file reads a file of an image; ok is false if no layer has it.
func (i *image) file(t testing.TB, path string) (string, bool) {
	t.Helper()
	ref, err := name.NewDigest(i.repository + "@" + i.digest.String())
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	return fileOf(t, got, path)
}

// contextHint says how the build context's cache is called.
type contextHint func(files memFS) string

func byContent(files memFS) string {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s\x00%d\x00%s\x00", f.path, len(f.data), f.data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func constant(memFS) string { return "constant" }

// solvable converts a Dockerfile; FROM parent stands on parent.
func solvable(t testing.TB, dockerfile string, files memFS, parent *image, hint contextHint) *layers.Solvable {
	t.Helper()
	ctx := t.Context()
	platform := platforms.MustParse("linux/amd64")
	local := llb.Local("context", llb.SharedKeyHint(hint(files)))
	caps := pb.Caps.CapSet(pb.Caps.All())
	result, err := dockerfile2llb.Dockerfile2LLB(ctx, []byte(dockerfile), dockerfile2llb.ConvertOpt{
		Config:         dockerui.Config{BuildPlatforms: []ocispecs.Platform{platform}},
		TargetPlatform: &platform,
		MetaResolver:   resolver{parent},
		LLBCaps:        &caps,
		MainContext:    &local,
		SourceMap:      llb.NewSourceMap(nil, "lab/Dockerfile", "Dockerfile", []byte(dockerfile)),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &layers.Solvable{LocalName: "context", Files: files}
	if s.Definition, err = result.State.Marshal(ctx, llb.LocalUniqueID("test"), llb.Platform(platform), llb.WithCaps(caps)); err != nil {
		t.Fatal(err)
	}
	if s.Image, err = json.Marshal(result.Image); err != nil {
		t.Fatal(err)
	}
	if result.BaseImage != nil {
		if s.BaseImage, err = json.Marshal(result.BaseImage); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

type resolver struct{ parent *image }

func (r resolver) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	if r.parent == nil {
		return "", "", nil, fmt.Errorf("no image %s", ref)
	}
	return r.parent.repository, r.parent.digest, r.parent.config, nil
}

// mustNew makes a builder at the shared daemon.
func mustNew(t testing.TB, o Options) *Builder {
	t.Helper()
	if o.Addresses == nil {
		o.Addresses = []string{sharedDaemon.Address()}
	}
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// order asks for a layer named after the test.
func order(t testing.TB, s *layers.Solvable) pipeline.Order {
	layer := strings.ToLower(strings.NewReplacer("/", "-", "_", "-", "#", "-").Replace(t.Name()))
	return pipeline.Order{
		Layer:      layers.Name(layer),
		Build:      s,
		Repository: sharedRegistry.host + "/lab/" + layer,
	}
}

func mustBuild(t testing.TB, b *Builder, o pipeline.Order) *image {
	t.Helper()
	built, err := b.Build(t.Context(), o, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, built.Log)
	}
	return fetch(t, o.Repository, built.Digest)
}

// base is an image with a shell.
func base(t testing.TB, b *Builder) *image {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("%v: apt-get install busybox-static", err)
	}
	s := solvable(t, "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nENV PATH=/bin\n",
		memFS{{path: "busybox", data: string(busybox), mode: 0o755}}, nil, byContent)
	return mustBuild(t, b, pipeline.Order{Layer: "base", Build: s, Repository: sharedRegistry.host + "/lab/base"})
}
