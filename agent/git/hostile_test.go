package git

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"

	"github.com/lab-layers/lab-layers/layers"
)

// listen answers each connection by a function, and returns HOST:PORT.
func listen(t testing.TB, answer func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				answer(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// script answers as a git daemon that tells of refs, and sends a pack.
func script(t testing.TB, refs []string, pack []byte) Remote {
	t.Helper()
	addr := listen(t, func(conn net.Conn) {
		out := pktline.NewEncoder(conn)
		for i, ref := range refs {
			if i == 0 {
				ref += "\x00ofs-delta"
			}
			if out.EncodeString(ref+"\n") != nil {
				return
			}
		}
		out.Flush()
		in := pktline.NewScanner(conn)
		for in.Scan() && !strings.HasPrefix(string(in.Bytes()), "done") {
		}
		out.EncodeString("NAK\n")
		conn.Write(pack)
	})
	return Remote{URL: "git://" + addr + "/repo"}
}

// packOfObjects makes a pack as a liar would: what it states need not be so.
func packOfObjects(kind byte, size uint64, content io.Reader) []byte {
	var pack bytes.Buffer
	pack.WriteString("PACK\x00\x00\x00\x02\x00\x00\x00\x01")
	head := []byte{kind<<4 | byte(size&15)}
	for size >>= 4; size > 0; size >>= 7 {
		head[len(head)-1] |= 0x80
		head = append(head, byte(size&0x7f))
	}
	pack.Write(head)
	z := zlib.NewWriter(&pack)
	io.Copy(z, content)
	z.Close()
	sum := sha1.Sum(pack.Bytes())
	return append(pack.Bytes(), sum[:]...)
}

// TestSilentRemote holds that a remote that never answers costs no more than
// the time it is given, in every protocol.
func TestSilentRemote(t *testing.T) {
	addr := listen(t, func(conn net.Conn) { io.Copy(io.Discard, conn) })
	_, key, known := serveSSH(t)
	for _, remote := range []Remote{
		{URL: "git://" + addr + "/repo"},
		{URL: "http://" + addr + "/repo"},
		{URL: "ssh://git@" + addr + "/repo", SSHKey: key, KnownHosts: known},
	} {
		scheme, _, _ := strings.Cut(remote.URL, ":")
		t.Run(scheme+" deadline", func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			if _, err := openMirror(t, remote).Refs(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("refs: %v", err)
			}
		})
		t.Run(scheme+" silence", func(t *testing.T) {
			m, err := Open(context.Background(), t.TempDir(), remote, Limits{Silence: 50 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Fetch(context.Background(), "refs/heads/main", layers.Commit(strings.Repeat("1", 40))); !errors.Is(err, errSilent) {
				t.Errorf("fetch: %v", err)
			}
		})
	}
}

// TestTricklingRemote holds that a remote which sends a byte now and then, as if
// it were slow, does not keep who fetches from it.
func TestTricklingRemote(t *testing.T) {
	addr := listen(t, func(conn net.Conn) {
		_, err := io.WriteString(conn, "00a5") // of a packet that does not come
		for tick := time.Tick(time.Millisecond); err == nil; <-tick {
			_, err = io.WriteString(conn, "0")
		}
	})
	m, err := Open(t.Context(), t.TempDir(), Remote{URL: "git://" + addr + "/repo"}, Limits{Patience: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Fetch(t.Context(), "refs/heads/main", layers.Commit(strings.Repeat("1", 40))); !errors.Is(err, errSlow) {
		t.Errorf("fetch: %v", err)
	}
}

// TestBrokenRemote holds that an answer that ends or goes wrong anywhere gives
// one error, and that the next attempt succeeds.
func TestBrokenRemote(t *testing.T) {
	work := newRepo(t)
	for i := range 20 {
		work.commit("c", fmt.Sprintf("f%d", i), strings.Repeat(fmt.Sprint("line ", i, "\n"), 100))
	}
	commit, bare := work.rev("HEAD"), work.bare()
	target := strings.TrimPrefix(serveGit(t, filepath.Dir(bare.dir)), "git://")
	relay := func(limit int64, flip bool) string {
		return listen(t, func(conn net.Conn) {
			far, err := net.Dial("tcp", target)
			if err != nil {
				return
			}
			defer far.Close()
			go io.Copy(far, conn)
			io.CopyN(conn, far, limit)
			if flip {
				var b [1]byte
				io.ReadFull(far, b[:])
				conn.Write([]byte{b[0] ^ 0x10})
				io.Copy(conn, far)
			}
		})
	}
	dir := t.TempDir()
	attempt := func(addr string) error {
		m, err := Open(context.Background(), dir, Remote{URL: "git://" + addr + "/bare.git"}, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		err = m.Fetch(ctx, "refs/heads/main", commit)
		if leftovers, _ := filepath.Glob(filepath.Join(m.dir, "tmp", "*")); len(leftovers) > 0 {
			t.Errorf("left behind: %v", leftovers)
		}
		return err
	}
	for _, limit := range []int64{0, 3, 50, 300, 420, 600, 1200, 2500} {
		if err := attempt(relay(limit, false)); err == nil {
			t.Errorf("an answer of %d bytes was taken for whole", limit)
		}
	}
	for _, at := range []int64{700, 1500, 2400} {
		if err := attempt(relay(at, true)); err == nil {
			t.Errorf("an answer wrong at byte %d was believed", at)
		}
	}
	if err := attempt(relay(1<<40, false)); err != nil {
		t.Error(err)
	}
}

// TestLyingRemote holds that what a remote tells of and does not send, or
// sends too much of, is a clear error.
func TestLyingRemote(t *testing.T) {
	work := newRepo(t)
	commit := work.commit("c", "file", "content\n")
	cmd := exec.Command("git", "-C", work.dir, "pack-objects", "--stdout", "-q")
	cmd.Env, cmd.Stdin = gitEnv(), strings.NewReader(string(commit)+"\n")
	commitOnly, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	head := []string{string(commit) + " refs/heads/main"}
	empty := append([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x00"), func() []byte { s := sha1.Sum([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x00")); return s[:] }()...)
	many := slices.Clone(empty)
	binary.BigEndian.PutUint32(many[8:], 1<<31)
	bomb := packOfObjects(3, 2<<30, io.LimitReader(zeros{}, 1<<20))
	for name, c := range map[string]struct {
		pack []byte
		want error
	}{
		"commit without its tree": {commitOnly, errLacking},
		"nothing":                 {empty, errLacking},
		"a blob of 2 GiB":         {bomb, errTooMuch},
		"longer than it says":     {packOfObjects(3, 10, io.LimitReader(zeros{}, 1<<20)), nil},
		"shorter than it says":    {packOfObjects(3, 1000, io.LimitReader(zeros{}, 10)), nil},
		"2^31 objects":            {many, errTooMuch},
		"a delta on nothing":      {packOfObjects(7, 20, bytes.NewReader(make([]byte, 20))), nil},
		"no pack":                 {[]byte("hello"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			err := openMirror(t, script(t, head, c.pack)).Fetch(ctx, "refs/heads/main", commit)
			if err == nil || (c.want != nil && !errors.Is(err, c.want)) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("fetch: %v, want %v", err, c.want)
			}
			if errors.Is(err, errDamaged) {
				t.Errorf("the mirror takes the damage for its own: %v", err)
			}
		})
	}
	t.Run("received", func(t *testing.T) {
		m, err := Open(context.Background(), t.TempDir(), script(t, head, bomb), Limits{Received: 100, Object: 4 << 30})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Fetch(context.Background(), "refs/heads/main", commit); !errors.Is(err, errTooMuch) {
			t.Errorf("fetch: %v", err)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestHostileRefs holds that names which git does not allow are left out, and
// reported.
func TestHostileRefs(t *testing.T) {
	id := strings.Repeat("1", 40)
	bad := []string{
		"refs/heads/a..b", "refs/heads/.hidden", "refs/heads/x.lock", "refs/heads/../../config",
		"refs/heads/end.", "refs/heads/at@{1}", "refs/heads/q?", "refs/heads/c\x01", "refs/heads/a//b", "refs/heads/a\\b",
		"refs/heads/" + strings.Repeat("x", 300), "refs/tags/t~1", "refs/heads/",
	}
	told := []string{id + " HEAD", id + " refs/heads/good", id + " refs/heads/ü/\xff", id + " refs/pull/1/head", id + " refs/heads/@"}
	for _, name := range bad {
		told = append(told, id+" "+name)
	}
	var refused []string
	m, err := Open(context.Background(), t.TempDir(), script(t, told, nil), Limits{Refused: func(names []string) { refused = names }})
	if err != nil {
		t.Fatal(err)
	}
	wantRefs(t, mustRefs(t, m), map[layers.Ref]layers.Commit{
		"refs/heads/good": layers.Commit(id), "refs/heads/ü/\xff": layers.Commit(id), "refs/heads/@": layers.Commit(id),
	})
	slices.Sort(bad)
	slices.Sort(refused)
	if !slices.Equal(refused, bad) {
		t.Errorf("refused %q, want %q", refused, bad)
	}
}

// TestManyRefs holds that 60,000 refs are nothing special.
func TestManyRefs(t *testing.T) {
	work := newRepo(t)
	commit := work.commit("c", "file", "x")
	bare := work.bare()
	packed := []byte("# pack-refs with: peeled fully-peeled \n")
	for i := range 60_000 {
		packed = fmt.Appendf(packed, "%s refs/heads/group%d/branch%d\n", commit, i%100, i)
	}
	if err := os.WriteFile(filepath.Join(bare.dir, "packed-refs"), packed, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, remote := range []Remote{{URL: bare.dir}, {URL: serveGit(t, filepath.Dir(bare.dir)) + "/bare.git"}} {
		if refs := mustRefs(t, openMirror(t, remote)); len(refs) != 60_000 {
			t.Errorf("%d refs", len(refs))
		}
	}
}

// TestNoSecretInErrors holds that what opens a remote is in no error.
func TestNoSecretInErrors(t *testing.T) {
	web := serveHTTP(t, t.TempDir(), "nobody", "x", "x")
	host := strings.TrimPrefix(web, "http://")
	for _, remote := range []Remote{
		{URL: "http://" + testUser + ":s3cr3t%2Fp&ss%20word@" + host + "/r"},
		{URL: web + "/r", Username: testUser, Password: testPassword},
		{URL: web + "/r", Token: testToken},
		{URL: "http://" + testToken + "@" + host + "/r"},
		{URL: "http://" + testToken + "@127.0.0.1:1/r"},
		{URL: "http://x/r?token=" + testToken},
		{URL: "http://" + testToken + "@:bad:port/"},
		{URL: "foo://" + testToken + "@x/y"},
	} {
		m, err := Open(context.Background(), t.TempDir(), remote, Limits{})
		if err == nil {
			_, err = m.Refs(context.Background())
		}
		if err == nil {
			t.Errorf("%v: no error", remote)
			continue
		}
		for _, secret := range []string{"s3cr3t", testToken, "word@", "MDEyMzQ1Njc4OQ", "czNjcjN0"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("an error shows a secret: %v", err)
			}
		}
	}
}

// TestRedirectedCredentials holds that a remote which sends us elsewhere, be it
// another port of its host, does not have our password or token go there.
func TestRedirectedCredentials(t *testing.T) {
	r := newRepo(t)
	commit := r.commit("one", "file", "text")
	bare := r.bare()
	backend := &cgi.Handler{Path: "/usr/bin/git", Args: []string{"http-backend"}, Stderr: io.Discard,
		Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(bare.dir), "GIT_HTTP_EXPORT_ALL=1"}}
	asked := make(chan string, 100)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked <- req.Method
		if sent := req.Header.Get("Authorization"); sent != "" {
			t.Errorf("%s %s has %q", req.Method, req.URL, sent)
		}
		backend.ServeHTTP(w, req)
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 307, 308} {
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, other.URL+req.URL.RequestURI(), status)
		}))
		for _, remote := range []Remote{{Token: "hushhush"}, {Username: "lab", Password: "hushhush"}} {
			remote.URL = front.URL + "/" + filepath.Base(bare.dir)
			m := openMirror(t, remote)
			if err := m.Fetch(t.Context(), "refs/heads/main", commit); err != nil {
				t.Errorf("%d: %v", status, err)
			}
		}
		front.Close()
	}
	if len(asked) == 0 {
		t.Error("nobody went elsewhere: this test would prove nothing")
	}
}
