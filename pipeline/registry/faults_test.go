package registry

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// faulty stands before a registry and may answer in its stead, or spoil what
// it answers.
type faulty struct {
	host string
	// before answers a request, if it returns true.
	before func(w http.ResponseWriter, r *http.Request) bool
	// gate does the same, and sees the handshake too.
	gate func(w http.ResponseWriter, r *http.Request) bool
	// after may change an answer.
	after func(*http.Response)
	// asked counts the requests for a repository's content.
	asked atomic.Int32
}

func newFaulty(t testing.TB, behind string) *faulty {
	t.Helper()
	f := &faulty{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: behind})
	proxy.ErrorLog = quiet()
	proxy.ModifyResponse = func(resp *http.Response) error {
		if f.after != nil && resp.Request.URL.Path != "/v2/" {
			f.after(resp)
		}
		return nil
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.gate != nil && f.gate(w, r) {
			return
		}
		if r.URL.Path != "/v2/" {
			f.asked.Add(1)
			if f.before != nil && f.before(w, r) {
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = quiet()
	t.Cleanup(server.Close)
	f.host = strings.TrimPrefix(server.URL, "http://")
	return f
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func answers(status int, header ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, `{"errors":[{"code":"X","message":"as the test wants\u001b[2J"}]}`)
		return true
	}
}

// swapBody replaces an answer's body and its length.
func swapBody(resp *http.Response, body []byte) {
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Header.Set("Content-Length", fmt.Sprint(len(body)))
}

func manifestOnly(spoil func(*http.Response)) func(*http.Response) {
	return func(resp *http.Response) {
		if strings.Contains(resp.Request.URL.Path, "/manifests/") {
			spoil(resp)
		}
	}
}

func blobOnly(spoil func(*http.Response)) func(*http.Response) {
	return func(resp *http.Response) {
		if strings.Contains(resp.Request.URL.Path, "/blobs/") {
			spoil(resp)
		}
	}
}

func TestFaultyAnswers(t *testing.T) {
	host := startEmbedded(t)
	d := push(t, host+"/lab/a:main", ociImage(t, 1))
	other := push(t, host+"/lab/a:other", ociImage(t, 1))
	cases := []struct {
		name   string
		before func(http.ResponseWriter, *http.Request) bool
		after  func(*http.Response)
		is     error
		says   string
	}{
		{name: "500", before: answers(500), is: ErrUnreachable, says: "500 Internal Server Error"},
		{name: "503", before: answers(503), is: ErrUnreachable, says: "503 Service Unavailable"},
		{name: "429", before: answers(429), is: ErrUnreachable, says: "429 Too Many Requests"},
		{name: "401", before: answers(401), is: ErrUnauthorized, says: "401 Unauthorized"},
		{name: "403", before: answers(403), is: ErrUnauthorized, says: "403 Forbidden"},
		{name: "404", before: answers(404), is: ErrNotFound, says: "404 Not Found"},
		{name: "418", before: answers(418), says: "418 I'm a teapot"},
		{name: "no answer", before: func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, is: ErrUnreachable, says: "no answer"},
		{name: "half a manifest", after: manifestOnly(func(resp *http.Response) {
			resp.Body = io.NopCloser(io.LimitReader(resp.Body, 100))
		}), says: "cut short"},
		{name: "half a manifest of unknown length", after: manifestOnly(func(resp *http.Response) {
			resp.Body, resp.ContentLength = io.NopCloser(io.LimitReader(resp.Body, 100)), -1
			resp.Header.Del("Content-Length")
		}), says: "does not match requested digest"},
		{name: "another manifest", before: func(w http.ResponseWriter, r *http.Request) bool {
			r.URL.Path = strings.Replace(r.URL.Path, d.String(), other.String(), 1)
			return false
		}, says: "does not match requested digest"},
		{name: "no type", after: manifestOnly(func(resp *http.Response) { resp.Header.Del("Content-Type") }), says: `content type`},
		{name: "wrong type", after: manifestOnly(func(resp *http.Response) { resp.Header.Set("Content-Type", "text/html") }), says: `content type "text/html" is no image's`},
		{name: "two types", after: manifestOnly(func(resp *http.Response) { resp.Header.Set("Content-Type", string(types.OCIImageIndex)) }), says: "the manifest says that it is"},
		{name: "endless manifest", after: manifestOnly(func(resp *http.Response) {
			swapBody(resp, bytes.Repeat([]byte("x"), MaxManifest+1))
		}), says: "more than 4194304 bytes"},
		{name: "half a configuration", after: blobOnly(func(resp *http.Response) {
			resp.Body = io.NopCloser(io.LimitReader(resp.Body, 20))
		}), says: "cut short"},
		{name: "another configuration", after: blobOnly(func(resp *http.Response) {
			swapBody(resp, bytes.Repeat([]byte("{"), int(resp.ContentLength)))
		}), says: "error verifying sha256 checksum"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			f := newFaulty(t, host)
			f.before, f.after = test.before, test.after
			c := client(t, Options{Patience: -1, Stall: 5 * time.Second})
			_, _, err := c.Inspect(t.Context(), f.host+"/lab/a", d)
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range []string{"registry " + f.host, "lab/a@" + d.String(), test.says} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not say %q: %v", part, err)
				}
			}
			if strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("the error is not one clean line: %q", err)
			}
			for _, kind := range []error{ErrNotFound, ErrUnauthorized, ErrUnreachable} {
				if errors.Is(err, kind) != (kind == test.is) {
					t.Errorf("is %v: %v (%v)", kind, errors.Is(err, kind), err)
				}
			}
		})
	}
}

// A manifest that agrees with its digest can still be wrong.
func TestWrongImages(t *testing.T) {
	image := ociImage(t, 1)
	good := string(must(image.RawManifest()))
	config := must(image.RawConfigFile())
	layer := must(image.Layers())[0]
	blob, _ := json.Marshal(ocispecs.Descriptor{MediaType: string(types.OCILayer), Digest: digest.Digest(must(layer.Digest()).String()), Size: must(layer.Size())})
	cases := []struct{ name, manifest, says string }{
		{"more layers than diff ids", strings.Replace(good, `"layers":[`, `"layers":[`+string(blob)+`,`, 1), "the manifest has 2 layers, the configuration 1"},
		{"no layers", good[:strings.Index(good, `,"layers"`)] + "}", "the manifest has 0 layers, the configuration 1"},
		{"a huge configuration", strings.Replace(good, fmt.Sprintf(`"size":%d`, len(config)), `"size":9000000`, 1), "the configuration has 9000000 bytes"},
		{"a wrong size", strings.Replace(good, fmt.Sprintf(`"size":%d`, len(config)), `"size":7`, 1), "has not the 7 bytes"},
		{"a negative size", strings.Replace(good, fmt.Sprintf(`"size":%d`, len(config)), `"size":-7`, 1), "the configuration has -7 bytes"},
		{"a chart", strings.ReplaceAll(good, string(types.OCILayer), "application/vnd.cncf.helm.chart.content.v1.tar+gzip"), "no file system's"},
		{"both", strings.Replace(good, `{`, `{"manifests":[],`, 1), "an image's and an index's at once"},
		{"no configuration", `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`, "the manifest names a configuration"},
		{"not JSON", `{"schemaVersion":2,`, "the manifest is not JSON"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			f := newFaulty(t, "127.0.0.1:1")
			f.gate = func(w http.ResponseWriter, r *http.Request) bool {
				body := []byte(test.manifest)
				if strings.Contains(r.URL.Path, "/blobs/") {
					body = config
				}
				w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
				_, _ = w.Write(body)
				return true
			}
			d := digest.FromString(test.manifest)
			_, _, err := client(t, Options{}).Inspect(t.Context(), f.host+"/lab/a", d)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("want an error that says %q: %v", test.says, err)
			}
		})
	}
}

func TestRetries(t *testing.T) {
	host := startEmbedded(t)
	d := push(t, host+"/lab/a:main", ociImage(t, 1))
	// times answers the first n requests, and lets the others through.
	times := func(f *faulty, n int32, status int, header ...string) {
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			return f.asked.Load() <= n && answers(status, header...)(w, r)
		}
	}
	t.Run("it passes", func(t *testing.T) {
		for _, status := range []int{429, 500, 502, 503, 504} {
			f := newFaulty(t, host)
			times(f, 1, status)
			if got, ok, err := client(t, Options{}).Digest(t.Context(), f.host+"/lab/a", "main"); got != d || !ok || err != nil {
				t.Errorf("after one %d: %s, %v, %v", status, got, ok, err)
			}
		}
	})
	t.Run("a tag is put again", func(t *testing.T) {
		f := newFaulty(t, host)
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			return r.Method == http.MethodPut && f.asked.Load() < 4 && answers(503)(w, r)
		}
		check(t, client(t, Options{}).Tag(t.Context(), f.host+"/lab/a", d, f.host+"/lab/a", "again"))
		if got, _, _ := client(t, Options{}).Digest(t.Context(), host+"/lab/a", "again"); got != d {
			t.Errorf("the tag is at %q", got)
		}
	})
	t.Run("as long as it is told to wait", func(t *testing.T) {
		f := newFaulty(t, host)
		times(f, 1, 429, "Retry-After", "1")
		began := time.Now()
		if _, ok, err := client(t, Options{}).Digest(t.Context(), f.host+"/lab/a", "main"); !ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		if waited := time.Since(began); waited < time.Second {
			t.Errorf("it waited %v, and was told to wait a second", waited)
		}
	})
	t.Run("no longer than the cap", func(t *testing.T) {
		f := newFaulty(t, host)
		times(f, 2, 429, "Retry-After", "3600")
		if _, ok, err := client(t, Options{LongestWait: 20 * time.Millisecond}).Digest(t.Context(), f.host+"/lab/a", "main"); !ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
	})
	t.Run("not past the caller's deadline", func(t *testing.T) {
		f := newFaulty(t, host)
		f.before = answers(503, "Retry-After", "60")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		_, _, err := client(t, Options{}).Digest(ctx, f.host+"/lab/a", "main")
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "503") || time.Since(began) > 4*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
	t.Run("never what the caller got wrong", func(t *testing.T) {
		for _, status := range []int{400, 404, 405, 416} {
			f := newFaulty(t, host)
			f.before = answers(status)
			_, _, _ = client(t, Options{}).Digest(t.Context(), f.host+"/lab/a", "main")
			if asked := f.asked.Load(); asked != 1 {
				t.Errorf("%d was asked for %d times", status, asked)
			}
		}
	})
}

func TestSilentRegistry(t *testing.T) {
	host := startEmbedded(t)
	d := push(t, host+"/lab/a:main", ociImage(t, 1))
	hang := func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
	stop := func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "{")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
	cases := []struct {
		name   string
		before func(http.ResponseWriter, *http.Request) bool
		o      Options
		within time.Duration // of the caller
		is     error
	}{
		{"no answer", hang, Options{Stall: 50 * time.Millisecond}, time.Minute, ErrUnreachable},
		{"no end", stop, Options{Stall: 50 * time.Millisecond}, time.Minute, ErrUnreachable},
		{"no answer in all", hang, Options{Timeout: 50 * time.Millisecond}, time.Minute, ErrUnreachable},
		{"the caller's deadline", stop, Options{}, 50 * time.Millisecond, context.DeadlineExceeded},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			f := newFaulty(t, host)
			f.before = test.before
			ctx, cancel := context.WithTimeout(t.Context(), test.within)
			defer cancel()
			_, _, err := client(t, test.o).Inspect(ctx, f.host+"/lab/a", d)
			if !errors.Is(err, test.is) || !strings.Contains(err.Error(), f.host) {
				t.Errorf("want %v: %v", test.is, err)
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		f := newFaulty(t, host)
		why := errors.New("superseded")
		ctx, cancel := context.WithCancelCause(t.Context())
		f.before = func(w http.ResponseWriter, r *http.Request) bool { cancel(why); return hang(w, r) }
		if _, _, err := client(t, Options{}).Digest(ctx, f.host+"/lab/a", "main"); !errors.Is(err, why) {
			t.Errorf("want the cause: %v", err)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		listener := must(net.Listen("tcp", "127.0.0.1:0"))
		gone := listener.Addr().String()
		listener.Close()
		if _, _, err := client(t, Options{}).Resolve(t.Context(), gone+"/a:b", "linux/amd64"); !errors.Is(err, ErrUnreachable) {
			t.Errorf("want %v: %v", ErrUnreachable, err)
		}
	})
}

func TestTagsThatCannotBeDeletedAlone(t *testing.T) {
	for _, status := range []int{400, 405} {
		f := newFaulty(t, startEmbedded(t))
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			return r.Method == http.MethodDelete && answers(status)(w, r)
		}
		if err := client(t, Options{}).DeleteTag(t.Context(), f.host+"/lab/a", "main"); !errors.Is(err, ErrOnlyByDigest) {
			t.Errorf("%d: %v", status, err)
		}
		if asked := f.asked.Load(); asked != 1 {
			t.Errorf("%d requests", asked)
		}
	}
}

// dockerConfigFile writes a docker configuration with these credentials.
func dockerConfigFile(t testing.TB, credentials map[string]string) string {
	t.Helper()
	auths := map[string]any{}
	for host, userinfo := range credentials {
		auths[host] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(userinfo))}
	}
	file := filepath.Join(t.TempDir(), "config.json")
	check(t, os.WriteFile(file, must(json.Marshal(map[string]any{"auths": auths})), 0o600))
	return file
}

// TestEndlessIndex holds that an index which leads to ever more indexes is given
// up after some, however few lie in each other.
func TestEndlessIndex(t *testing.T) {
	f := newFaulty(t, "127.0.0.1:1")
	// A level of fifty indexes, each of the fifty below it.
	texts := map[string]string{}
	below := []string{`{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,"digest":"` + digest.FromString("image").String() + `"}`}
	root := digest.Digest("")
	for level := range 3 {
		var entries []string
		for i := range 50 {
			text := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"annotations":{"at":"%d-%d"},"manifests":[%s]}`, types.OCIImageIndex, level, i, strings.Join(below, ","))
			root = digest.FromString(text)
			texts[root.String()] = text
			entries = append(entries, fmt.Sprintf(`{"mediaType":%q,"size":%d,"digest":%q}`, types.OCIImageIndex, len(text), root))
		}
		below = entries
	}
	var asked atomic.Int64
	f.gate = func(w http.ResponseWriter, r *http.Request) bool {
		_, of, manifest := strings.Cut(r.URL.Path, "/manifests/")
		if !manifest {
			return true // the registry is there
		}
		asked.Add(1)
		w.Header().Set("Content-Type", string(types.OCIImageIndex))
		w.Header().Set("Docker-Content-Digest", of)
		w.Header().Set("Content-Length", fmt.Sprint(len(texts[of])))
		_, _ = io.WriteString(w, texts[of])
		return true
	}
	if _, err := client(t, Options{}).Holds(t.Context(), f.host+"/lab/a", root); err == nil || !strings.Contains(err.Error(), "indexes") {
		t.Errorf("%v", err)
	}
	if n := asked.Load(); n > 4*maxIndexes {
		t.Errorf("%d requests", n)
	}
}
