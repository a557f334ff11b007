package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
)

// locked is a registry for the user lab with this password.
func locked(t testing.TB, password *atomic.Value) *faulty {
	t.Helper()
	f := newFaulty(t, startEmbedded(t))
	f.gate = func(w http.ResponseWriter, r *http.Request) bool {
		if user, given, _ := r.BasicAuth(); user == "lab" && given == password.Load() {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
		return answers(http.StatusUnauthorized)(w, r)
	}
	return f
}

func TestPassword(t *testing.T) {
	var password atomic.Value
	password.Store("tulip")
	f := locked(t, &password)
	if _, _, err := client(t, Options{}).Digest(t.Context(), f.host+"/lab/a", "main"); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("with no password: %v", err)
	}
	_, _, err := client(t, Options{DockerConfig: dockerConfigFile(t, map[string]string{f.host: "lab:daffodil"})}).Digest(t.Context(), f.host+"/lab/a", "main")
	if !errors.Is(err, ErrUnauthorized) || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "daffodil") {
		t.Errorf("with a wrong password: %v", err)
	}

	config := dockerConfigFile(t, map[string]string{f.host: "lab:tulip"})
	c := client(t, Options{DockerConfig: filepath.Dir(config)})
	if _, ok, err := c.Digest(t.Context(), f.host+"/lab/a", "main"); ok || err != nil {
		t.Errorf("with the password: %v, %v", ok, err)
	}
	// The password changes, and a login follows.
	password.Store("crocus")
	check(t, os.Rename(dockerConfigFile(t, map[string]string{f.host: "lab:crocus"}), config))
	if _, ok, err := c.Digest(t.Context(), f.host+"/lab/a", "main"); ok || err != nil {
		t.Errorf("with the new password: %v, %v", ok, err)
	}
}

func TestCredentialHelper(t *testing.T) {
	var password atomic.Value
	password.Store("tulip")
	f := locked(t, &password)
	bin := t.TempDir()
	check(t, os.WriteFile(filepath.Join(bin, "docker-credential-lab"),
		[]byte("#!/bin/sh\ncat >/dev/null\necho '{\"Username\":\"lab\",\"Secret\":\"tulip\"}'\n"), 0o700))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	config := filepath.Join(t.TempDir(), "config.json")
	check(t, os.WriteFile(config, must(json.Marshal(map[string]any{"credHelpers": map[string]string{f.host: "lab"}})), 0o600))
	if _, ok, err := client(t, Options{DockerConfig: config}).Digest(t.Context(), f.host+"/lab/a", "main"); ok || err != nil {
		t.Errorf("with a helper: %v, %v", ok, err)
	}
}

// A registry with a token server, as most public ones are.
func TestToken(t *testing.T) {
	f := newFaulty(t, startEmbedded(t))
	var current atomic.Value
	current.Store("one")
	var scopes []string
	f.gate = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/token" {
			if user, given, _ := r.BasicAuth(); user != "lab" || given != "tulip" {
				return answers(http.StatusUnauthorized)(w, r)
			}
			scopes = append(scopes, r.URL.Query()["scope"]...)
			fmt.Fprintf(w, `{"token":%q}`, current.Load())
			return true
		}
		if r.Header.Get("Authorization") == "Bearer "+current.Load().(string) {
			return false
		}
		scope := ""
		if r.URL.Path != "/v2/" {
			scope = `,scope="repository:lab/a:pull"`
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="lab"%s`, f.host, scope))
		return answers(http.StatusUnauthorized)(w, r)
	}
	c := client(t, Options{DockerConfig: dockerConfigFile(t, map[string]string{f.host: "lab:tulip"})})
	for _, token := range []string{"one", "one", "two"} { // the last one is new: the first has expired
		current.Store(token)
		if _, ok, err := c.Digest(t.Context(), f.host+"/lab/a", "main"); ok || err != nil {
			t.Errorf("with a token: %v, %v", ok, err)
		}
	}
	if got := strings.Join(scopes, " "); got != "repository:lab/a:pull repository:lab/a:pull" {
		t.Errorf("asked for the scopes %q", got)
	}
	_, _, err := client(t, Options{DockerConfig: dockerConfigFile(t, map[string]string{f.host: "lab:wrong"})}).Digest(t.Context(), f.host+"/lab/a", "main")
	if !errors.Is(err, ErrUnauthorized) {
		t.Errorf("refused by the token server: %v", err)
	}
}

// What a token server says may hold tokens; none of it is repeated.
func TestTokenServerIsNotQuoted(t *testing.T) {
	f := newFaulty(t, "127.0.0.1:1")
	f.gate = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/token" {
			fmt.Fprint(w, `{"refresh_token":"tulip"}`)
			return true
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token"`, f.host))
		return answers(http.StatusUnauthorized)(w, r)
	}
	_, _, err := client(t, Options{}).Digest(t.Context(), f.host+"/lab/a", "main")
	if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err)), "tulip") {
		t.Errorf("the error is %v", err)
	}
}

func TestPlainHTTP(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1:5000": true, "127.9.9.9": true, "[::1]:5000": true, "localhost:5000": true, "registry.localhost": true,
		"10.0.0.1:5000": false, "192.168.1.1:5000": false, "registry.lab:5000": false, "localhost.evil.org": false,
		"registry.plain:5000": true, "registry.plain": false,
	} {
		if got := client(t, Options{PlainHTTP: []string{"registry.plain:5000"}}).mayBePlain(host); got != want {
			t.Errorf("%s in plain HTTP: %v", host, got)
		}
	}

	// A registry may not lead to a host that must be encrypted, unencrypted.
	elsewhere := newFaulty(t, startEmbedded(t))
	c := client(t, Options{})
	_, port, _ := strings.Cut(elsewhere.host, ":")
	f := newFaulty(t, startEmbedded(t))
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "http://lab.test:"+port+r.URL.Path, http.StatusTemporaryRedirect)
		return true
	}
	if _, err := c.Open(t.Context(), f.host+"/lab/a", digest.FromString("x")); !errors.Is(err, ErrUnreachable) || elsewhere.asked.Load() != 0 {
		t.Errorf("followed in plain HTTP: %v", err)
	}
}

func TestHandshakeIsDoneOnce(t *testing.T) {
	host := startEmbedded(t)
	d := push(t, host+"/lab/a:main", ociImage(t, 1))
	f := newFaulty(t, host)
	var all atomic.Int32
	f.gate = func(http.ResponseWriter, *http.Request) bool { all.Add(1); return false }
	c := client(t, Options{})
	for range 10 {
		if _, ok, err := c.Digest(t.Context(), f.host+"/lab/a", "main"); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	_, _, _ = c.Digest(t.Context(), f.host+"/lab/b", "main")
	if all.Load() != 1+10+1 {
		t.Errorf("%d requests for eleven look-ups", all.Load())
	}
	all.Store(0)
	if _, _, err := c.Inspect(t.Context(), f.host+"/lab/a", d); err != nil || all.Load() != 2 {
		t.Errorf("inspect took %d requests: %v", all.Load(), err)
	}
	all.Store(0)
	if err := c.Tag(t.Context(), f.host+"/lab/a", d, f.host+"/lab/a", "x"); err != nil || all.Load() != 1 {
		t.Errorf("a tag on what was inspected took %d requests: %v", all.Load(), err)
	}
}
