package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
	"github.com/tonistiigi/fsutil"
	"golang.org/x/sys/unix"

	"github.com/lab-layers/lab-layers/agent/git"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline/buildkit"
	"github.com/lab-layers/lab-layers/pipeline/buildkit/daemon"
)

func newOracle(t *testing.T) *oracle {
	t.Helper()
	dir, err := os.MkdirTemp("", "or") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary, err := exec.LookPath("buildkitd")
	if err != nil {
		out, err := exec.Command("go", "tool", "-n", "buildkitd").Output()
		if err != nil {
			t.Fatalf("no buildkitd on PATH, and go tool -n buildkitd: %v", err)
		}
		binary = strings.TrimSpace(string(out))
	}
	d, err := daemon.Start(t.Context(), daemon.Options{Binary: binary, Root: filepath.Join(dir, "bk")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Stop(context.Background()) })
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	o := &oracle{t: t, dir: dir, host: strings.TrimPrefix(server.URL, "http://"), truth: map[layers.Key]seen{}, bases: map[string]string{}}
	if o.client, err = client.New(t.Context(), d.Address()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.client.Close() })
	if o.builder, err = buildkit.New(buildkit.Options{Addresses: []string{d.Address()}, Reproducible: true, Compression: buildkit.Gzip}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.builder.Close() })
	if out, err := exec.Command("git", "init", "-q", "--bare", o.path("repo")).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v\n%s", err, out)
	}
	if o.objects, err = git.OpenLocal(o.path("repo")); err != nil {
		t.Fatal(err)
	}
	o.planner = layers.NewPlanner(o.outside, layers.Settings{Reproducible: true, Compression: "gzip"})
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("%v: apt-get install busybox-static", err)
	}
	tools := checkout{
		"busybox":    {data: string(busybox), executable: true},
		"Dockerfile": {data: "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nENV PATH=/bin\n"},
	}
	made := o.solve(o.write(tools), "", "", nil)
	if !strings.HasPrefix(made, "sha256:") {
		t.Fatal("the image with the tools does not build")
	}
	o.tools = o.host + "/tools@" + made
	return o
}

func (o *oracle) path(name string) string { return filepath.Join(o.dir, name) }

func (o *oracle) git(args ...string) string {
	o.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Env = append(os.Environ(), "GIT_DIR="+o.path("repo"), "GIT_WORK_TREE="+o.path("tree"), "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (o *oracle) outside(_ context.Context, ref, _ string) (layers.OutsideImage, bool, error) {
	d, config, err := o.config(ref)
	return layers.OutsideImage{Digest: d, Config: config}, err == nil, err
}

func (o *oracle) config(ref string) (digest.Digest, []byte, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return "", nil, err
	}
	image, err := remote.Image(parsed)
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", layers.ErrNoImage, err)
	}
	d, err := image.Digest()
	if err != nil {
		return "", nil, err
	}
	config, err := image.RawConfigFile()
	return digest.Digest(d.String()), config, err
}

func (o *oracle) write(state checkout) string {
	o.t.Helper()
	dir := o.path("tree")
	if err := os.RemoveAll(dir); err != nil {
		o.t.Fatal(err)
	}
	for file, f := range state {
		full := filepath.Join(dir, filepath.FromSlash(file))
		err := os.MkdirAll(filepath.Dir(full), 0o755)
		mode := os.FileMode(0o644)
		if f.executable {
			mode = 0o755
		}
		if err == nil && f.link {
			err = os.Symlink(f.data, full)
		} else if err == nil {
			err = os.WriteFile(full, []byte(f.data), mode)
		}
		if err != nil {
			o.t.Fatal(err)
		}
	}
	err := filepath.WalkDir(dir, func(full string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		f := state[strings.TrimPrefix(strings.TrimPrefix(full, dir), "/")]
		sum := sha256.Sum256([]byte(f.data))
		at := unix.NsecToTimeval((layers.ContextTime + 1 + int64(binary.BigEndian.Uint32(sum[:])%1e8)) * 1e9)
		return unix.Lutimes(full, []unix.Timeval{at, at})
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return dir
}

func (o *oracle) solve(dir, dockerfileDir, filename string, attrs map[string]string) string {
	o.t.Helper()
	frontend := map[string]string{"no-cache": "", "build-arg:SOURCE_DATE_EPOCH": fmt.Sprint(layers.ContextTime)}
	maps.Copy(frontend, attrs)
	if dockerfileDir == "" {
		dockerfileDir = dir
	}
	if filename != "" {
		frontend["filename"] = filename
	}
	// Git has no empty directory, but a context may be empty.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		o.t.Fatal(err)
	}
	mounts := map[string]fsutil.FS{}
	for local, at := range map[string]string{"context": dir, "dockerfile": dockerfileDir} {
		files, err := fsutil.NewFS(at)
		if err != nil {
			o.t.Fatal(err)
		}
		mounts[local] = files
	}
	ctx, cancel := context.WithTimeout(o.t.Context(), time.Minute)
	defer cancel()
	response, err := o.client.Solve(ctx, nil, client.SolveOpt{
		Frontend: "dockerfile.v0", FrontendAttrs: frontend, LocalMounts: mounts,
		Exports: []client.ExportEntry{{Type: client.ExporterImage, Attrs: map[string]string{
			"name": o.host + "/tools", "push": "true", "push-by-digest": "true", "store": "false", "oci-mediatypes": "true",
			"compression": "gzip", "rewrite-timestamp": "true",
		}}},
	}, nil)
	o.solves++
	if err != nil {
		if ctx.Err() != nil {
			o.t.Fatal(err)
		}
		o.failed++
		o.failure = err
		return "fails"
	}
	return response.ExporterResponse["containerimage.digest"]
}

func (o *oracle) list(ref string) string {
	o.t.Helper()
	parsed, err := name.ParseReference(ref)
	if err != nil {
		o.t.Fatal(err)
	}
	image, err := remote.Image(parsed)
	if err != nil {
		o.t.Fatal(err)
	}
	blobs, err := image.Layers()
	if err != nil {
		o.t.Fatal(err)
	}
	var out bytes.Buffer
	for i, blob := range blobs {
		r, err := blob.Uncompressed()
		if err != nil {
			o.t.Fatal(err)
		}
		for files := tar.NewReader(r); ; {
			h, err := files.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				o.t.Fatal(err)
			}
			content, err := io.ReadAll(files)
			if err != nil {
				o.t.Fatal(err)
			}
			fmt.Fprintf(&out, "%d %c %o %d:%d %d %d %.6x %q %q", i, h.Typeflag, h.Mode, h.Uid, h.Gid, h.Size, h.ModTime.Unix(), sha256.Sum256(content), h.Name, h.Linkname)
			if len(content) < 1000 {
				fmt.Fprintf(&out, " %q", content)
			}
			out.WriteString("\n")
		}
		r.Close()
	}
	return out.String()
}
