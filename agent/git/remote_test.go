package git

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestRemoteURL holds what a remote is called and how it is reached.
func TestRemoteURL(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]struct{ url, scheme, host, path, user, password string }{
		"/srv/git/a.git":                      {url: "/srv/git/a.git"},
		"file:///srv/git/a.git/":              {url: "/srv/git/a.git"},
		"a/../b":                              {url: filepath.Join(here, "b")},
		"./a:b":                               {url: filepath.Join(here, "a:b")},
		"https://u:p%40ss@Host.example/a%20b": {"https://host.example/a%20b", "https", "Host.example", "/a%20b", "u", "p@ss"},
		"http://h:8080/x.git":                 {"http://h:8080/x.git", "http", "h", "/x.git", "", ""},
		"http://[::1]:80/x":                   {"http://[::1]:80/x", "http", "[::1]", "/x", "", ""},
		"git://h/x":                           {"git://h/x", "git", "h", "/x", "", ""},
		"ssh://me@h:2222/x":                   {"ssh://h:2222/x", "ssh", "h", "/x", "me", ""},
		"ssh://me@h:22/~/x":                   {"ssh://h/~/x", "ssh", "h", "~/x", "me", ""},
		"git@h.example:group/x.git":           {"ssh://h.example/group/x.git", "ssh", "h.example", "group/x.git", "git", ""},
		"h:/abs/x":                            {"ssh://h/abs/x", "ssh", "h", "/abs/x", "", ""},
		"git@[::1]:x":                         {"ssh://[::1]/x", "ssh", "::1", "x", "git", ""},
	} {
		a, err := Remote{URL: in}.parse()
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if a.url != want.url || a.remote.Username != want.user || a.remote.Password != want.password {
			t.Errorf("%s: %s for %q with %q", in, a.url, a.remote.Username, a.remote.Password)
		}
		if want.scheme == "" {
			if a.endpoint != nil || a.path != want.url {
				t.Errorf("%s is at %q, %v", in, a.path, a.endpoint)
			}
		} else if a.endpoint.Protocol != want.scheme || a.endpoint.Host != want.host || a.endpoint.Path != want.path {
			t.Errorf("%s: %+v", in, *a.endpoint)
		}
	}
	for _, in := range []string{"", "ftp://h/x", "https://h", "https:///x", "https://h/x?a=b", "https://h/x#f", "file://h/x", "a\nb", "http://h:99999/x", "https://%zz/"} {
		if a, err := (Remote{URL: in}).parse(); err == nil {
			t.Errorf("%q was taken for %s", in, a.url)
		}
	}
}

// TestCopyFile holds that where no link can be made a copy appears whole, or
// not at all.
func TestCopyFile(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := os.WriteFile(from, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	temp := tempDir(t.TempDir())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := temp.copyFile(ctx, from, to); !errors.Is(err, context.Canceled) {
		t.Errorf("copy: %v", err)
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("half a copy is there")
	}
	if err := temp.copyFile(context.Background(), from, to); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(to); err != nil || string(got) != "content" {
		t.Errorf("copied %q, %v", got, err)
	}
	if left, _ := os.ReadDir(string(temp)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
