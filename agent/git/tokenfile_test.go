package git

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTokenFile holds that a token in a file opens what basic authentication
// guards, that a new one is taken up without a restart, and that neither is in an
// error or in the mirror.
func TestTokenFile(t *testing.T) {
	work := newRepo(t)
	first := work.commit("first", "file", "1\n")
	base, name := filepath.Split(work.bare().dir)
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const stale = "stale-0123456789"
	// It repeats in its refusal what it was given.
	web := serveHTTP(t, base, tokenUser, testToken, "")
	if _, err := Open(context.Background(), t.TempDir(), Remote{URL: web + "/" + name, TokenFile: file}, Limits{}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("opened without a token: %v", err)
	}
	write(stale)
	m := openMirror(t, Remote{URL: web + "/" + name, TokenFile: file, Token: "another", Password: "another"})
	refs := func() error {
		_, err := m.Refs(context.Background())
		return err
	}
	for text, want := range map[string]string{stale: "who are you", "": "does not hold one word", "two words": "does not hold one word"} {
		write(text)
		err := refs()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %q: %v", text, err)
			continue
		}
		for _, secret := range []string{stale, "two words", base64.StdEncoding.EncodeToString([]byte(tokenUser + ":" + stale))} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("an error shows the token: %v", err)
			}
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := refs(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("without the file: %v", err)
	}
	write(testToken + "\n")
	if err := refs(); err != nil {
		t.Fatal(err)
	}
	mustFetch(t, m, "refs/heads/main", first)
	wantFile(t, m, first, "file", "1\n")
	wantNoSecrets(t, m.dir)

	other := openMirror(t, Remote{URL: serveHTTP(t, base, "deploy", testToken, "") + "/" + name, Username: "deploy", TokenFile: file})
	mustFetch(t, other, "refs/heads/main", first)
}
