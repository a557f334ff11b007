package embedded

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// With these set, the test binary is a registry: it prints its host and serves
// until its standard input ends.
const (
	serveDir   = "EMBEDDED_TEST_DIR"
	serveLimit = "EMBEDDED_TEST_FILE_LIMIT" // bytes that a file can have
)

func TestMain(m *testing.M) {
	dir := os.Getenv(serveDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	if limit, err := strconv.ParseUint(os.Getenv(serveLimit), 10, 64); err == nil {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			panic(err)
		}
	}
	r, err := Start(context.Background(), Options{Dir: dir, Open: true})
	if err != nil {
		panic(err)
	}
	fmt.Println(r.Host())
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := r.Stop(context.Background()); err != nil {
		panic(err)
	}
}

// process is a registry in a process of its own.
type process struct {
	*exec.Cmd
	host           string
	stdin          io.Closer
	stdout, stderr bytes.Buffer
	drained        chan struct{}
}

func serve(t *testing.T, dir string, env ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(must(os.Executable())), drained: make(chan struct{})}
	p.Env = append(append(os.Environ(), serveDir+"="+dir), env...)
	p.Stderr = &p.stderr
	p.stdin = must(p.StdinPipe())
	stdout := bufio.NewReader(must(p.StdoutPipe()))
	check(t, p.Start())
	t.Cleanup(func() { _ = p.Process.Kill() })
	host, err := stdout.ReadString('\n')
	if err != nil {
		t.Fatalf("the registry did not start: %v\n%s", err, p.stderr.String())
	}
	p.host = strings.TrimSpace(host)
	go func() {
		defer close(p.drained)
		_, _ = io.Copy(&p.stdout, stdout)
	}()
	return p
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	check(t, p.Process.Kill())
	<-p.drained
	_ = p.Wait()
}

func TestKillInMidUpload(t *testing.T) {
	dir := t.TempDir()
	first := serve(t, dir)
	image := must(random.Image(1<<20, 1))
	layer := must(image.Layers())[0]
	half := must(io.ReadAll(io.LimitReader(must(layer.Compressed()), 1<<19)))

	// A part of the layer has arrived, and more is on its way.
	begun := must(http.Post("http://"+first.host+"/v2/lab/a/blobs/uploads/", "", nil))
	begun.Body.Close()
	location := must(begun.Request.URL.Parse(begun.Header.Get("Location")))
	part := must(http.NewRequest(http.MethodPatch, location.String(), bytes.NewReader(half)))
	part.Header.Set("Content-Type", "application/octet-stream")
	taken := must(http.DefaultClient.Do(part))
	taken.Body.Close()
	if taken.StatusCode != http.StatusAccepted {
		t.Fatalf("upload: %s", taken.Status)
	}
	r, w := io.Pipe()
	more := must(http.NewRequest(http.MethodPatch, must(taken.Request.URL.Parse(taken.Header.Get("Location"))).String(), r))
	cut := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(more)
		if err == nil {
			resp.Body.Close()
			err = fmt.Errorf("the upload was answered: %s", resp.Status)
		}
		cut <- err
	}()
	_, err := w.Write(half)
	check(t, err)
	first.kill(t)
	w.CloseWithError(io.ErrUnexpectedEOF)
	if err := <-cut; strings.Contains(err.Error(), "answered") {
		t.Fatal(err)
	}

	uploads := func() int {
		return len(must(filepath.Glob(dir + "/data/docker/registry/v2/repositories/lab/a/_uploads/*")))
	}
	if uploads() != 1 {
		t.Fatalf("%d uploads were left", uploads())
	}
	second := serve(t, dir)
	if second.host != first.host {
		t.Errorf("the address moved from %s to %s", first.host, second.host)
	}
	ref := parse(t, second.host+"/lab/a:main")
	blob := must(http.Head("http://" + second.host + "/v2/lab/a/blobs/" + must(layer.Digest()).String()))
	if blob.StatusCode != http.StatusNotFound {
		t.Errorf("half a blob is there: %s", blob.Status)
	}
	check(t, remote.Write(ref, image))
	check(t, read(remote.Image(ref)))
	second.kill(t)

	// What was left is removed once it is old.
	old := time.Now().Add(-2 * uploadAge)
	for _, upload := range must(filepath.Glob(dir + "/data/docker/registry/v2/repositories/lab/a/_uploads/*")) {
		check(t, os.Chtimes(upload, old, old))
	}
	third := start(t, Options{Dir: dir})
	if uploads() != 0 {
		t.Error("the unfinished upload is still there")
	}
	check(t, read(remote.Image(parse(t, third.Host()+"/lab/a:main"))))
}

func TestNoRoomOnDisk(t *testing.T) {
	dir := t.TempDir()
	p := serve(t, dir, serveLimit+"=65536")
	small, large := must(random.Image(1024, 1)), must(random.Image(1<<20, 1))
	check(t, remote.Write(parse(t, p.host+"/lab/a:small"), small))
	ref := parse(t, p.host+"/lab/a:large")
	if err := remote.Write(ref, large, remote.WithRetryBackoff(remote.Backoff{Steps: 1})); err == nil {
		t.Fatal("an image that does not fit was taken")
	}
	if _, err := remote.Head(ref); status(err) != http.StatusNotFound {
		t.Errorf("the image that did not fit: %v", err)
	}
	check(t, read(remote.Image(parse(t, p.host+"/lab/a:small"))))
	p.kill(t)

	roomy := start(t, Options{Dir: dir})
	ref = parse(t, roomy.Host()+"/lab/a:large")
	check(t, remote.Write(ref, large))
	check(t, read(remote.Image(ref)))
}

// Nothing comes out of the process but what its logger writes.
func TestSilence(t *testing.T) {
	dir := t.TempDir()
	p := serve(t, dir)
	ref := parse(t, p.host+"/lab/a:main")
	check(t, remote.Write(ref, must(random.Image(128, 2))))
	if _, err := remote.Head(ref.Context().Tag("none")); status(err) != http.StatusNotFound {
		t.Fatal(err)
	}
	bad := must(http.NewRequest(http.MethodPut, "http://"+p.host+"/v2/lab/a/manifests/bad", strings.NewReader("{")))
	bad.Header.Set("Content-Type", string(types.OCIManifestSchema1))
	must(http.DefaultClient.Do(bad)).Body.Close()
	check(t, remote.Delete(ref))
	p.stdin.Close()
	<-p.drained
	if err := p.Wait(); err != nil {
		t.Fatal(err, p.stderr.String())
	}
	if out := p.stdout.String() + p.stderr.String(); out != "" {
		t.Errorf("the registry wrote:\n%s", out)
	}
	for _, file := range []string{"http-secret", "address"} {
		if mode := must(os.Stat(filepath.Join(dir, file))).Mode(); mode.Perm() != fs.FileMode(0o600) {
			t.Errorf("%s has mode %v", file, mode)
		}
	}
}

// read reads an image whole; its digests are checked on the way.
func read(image v1.Image, err error) error {
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		r, err := layer.Compressed()
		if err != nil {
			return err
		}
		defer r.Close()
		if _, err := io.Copy(io.Discard, r); err != nil {
			return err
		}
	}
	_, err = image.RawConfigFile()
	return err
}
