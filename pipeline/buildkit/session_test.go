package buildkit

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"golang.org/x/crypto/ssh/agent"

	"github.com/lab-layers/lab-layers/pipeline"
)

func TestSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("file-secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LAB_TOKEN", "env-secret")
	b := mustNew(t, Options{Secrets: map[string]Secret{
		"token": {Env: "LAB_TOKEN"}, "course/key": {File: file}, "key": {Value: []byte("another-course")}, "value": {Value: []byte("plain-secret")}, "other": {Value: []byte("not-for-you")},
	}})
	parent := base(t, b)
	run := "FROM parent\nRUN --mount=type=secret,id=token --mount=type=secret,id=key --mount=type=secret,id=value --mount=type=secret,id=other " +
		"cat /run/secrets/token /run/secrets/key /run/secrets/value | wc -c > /sizes; ls /run/secrets > /names\n"
	o := order(t, solvable(t, run, memFS{}, parent, byContent))
	o.Secrets = map[string]string{"token": "token", "key": "course/key", "value": "value"}
	img := mustBuild(t, b, o)
	if got, _ := img.file(t, "/sizes"); strings.TrimSpace(got) != "33" {
		t.Errorf("the secrets have %s bytes together", got)
	}
	if got, _ := img.file(t, "/names"); strings.Join(strings.Fields(got), " ") != "key token value" {
		t.Errorf("secrets given: %q", got)
	}
	for _, path := range []string{"/run/secrets/token", "/run/secrets/key", "/run/secrets/value"} {
		if content, ok := img.file(t, path); ok && content != "" {
			t.Errorf("%s is in the image: %q", path, content)
		}
	}
	if strings.Contains(string(img.config), "secret-") {
		t.Errorf("the configuration holds a secret: %s", img.config)
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	s := map[string]Secret{"a": {Value: []byte("hidden")}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, s); strings.Contains(text, "hidden") || strings.Contains(text, fmt.Sprint([]byte("hidden"))) {
			t.Errorf("%s prints %s", format, text)
		}
	}
}

func TestSSH(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(agent.NewKeyring(), conn)
		}
	}()
	b := mustNew(t, Options{SSH: map[string][]string{"default": {socket}}})
	parent := base(t, b)
	o := order(t, solvable(t, "FROM parent\nRUN --mount=type=ssh,required test -S \"$SSH_AUTH_SOCK\"\n", memFS{}, parent, byContent))
	var mistake *pipeline.BuildError
	if _, err := b.Build(t.Context(), o, nil); !errors.As(err, &mistake) {
		t.Errorf("an agent that the order does not name: %v", err)
	}
	o.SSH = map[string]string{"default": "default"}
	mustBuild(t, b, o)
}

// TestCredentials pushes to a registry that asks for a password.
func TestCredentials(t *testing.T) {
	locked := newTestRegistry()
	defer locked.server.Close()
	locked.fail = func(r *http.Request) int {
		if user, password, _ := r.BasicAuth(); user != "lab" || password != "open-sesame" {
			return http.StatusUnauthorized
		}
		return 0
	}
	o := order(t, solvable(t, "FROM scratch\nCOPY f /f\n", memFS{{path: "f", data: "x"}}, nil, byContent))
	o.Repository = locked.host + "/lab/x"
	for _, test := range []struct {
		password string
		ok       bool
	}{{"open-sesame", true}, {"wrong-password", false}} {
		keychain := keychain{locked.host: {Username: "lab", Password: test.password}}
		_, err := mustNew(t, Options{Keychain: keychain}).Build(t.Context(), o, nil)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", test.password, err)
		}
		if err != nil && strings.Contains(err.Error(), test.password) {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}

type keychain map[string]authn.AuthConfig

func (k keychain) Resolve(r authn.Resource) (authn.Authenticator, error) {
	if config, ok := k[r.RegistryStr()]; ok {
		return authn.FromConfig(config), nil
	}
	return authn.Anonymous, nil
}

// TestRegistryCache holds that a daemon with nothing of its own takes over what
// another one did.
func TestRegistryCache(t *testing.T) {
	cache := sharedRegistry.host + "/lab/cache"
	exporting := mustNew(t, Options{CacheExport: cache})
	parent := base(t, exporting)
	o := order(t, solvable(t, "FROM parent\nRUN echo slow > /x\n", memFS{}, parent, byContent))
	if _, err := exporting.Build(t.Context(), o, nil); err != nil {
		t.Fatal(err)
	}
	importing := mustNew(t, Options{Addresses: []string{freshDaemon(t).Address()}, CacheImport: []string{cache}})
	built, err := importing.Build(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	cached := false
	for _, step := range built.Steps {
		cached = cached || step.Cached && strings.Contains(step.Name, "RUN echo slow")
	}
	if !cached {
		t.Errorf("steps %+v", built.Steps)
	}
}
