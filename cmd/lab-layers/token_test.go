package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOwnToken holds that an agent which is given no token is read by who can
// read its data directory, with nothing to say, and by nobody else; and that
// what it starts is given no secret of its.
func TestOwnToken(t *testing.T) {
	t.Setenv("LAB_LAYERS_FORGE_TOKEN", "hushhush")
	l := newLab(t)
	l.write("lab-layers.yaml", "version: 1\nlayers:\n  - {name: base, kind: base, context: images/base}\n")
	l.commit("one layer")
	l.git("push", "-q", "origin", "HEAD:main")
	p := newProgram(l)
	p.args = append(p.args, "--interval", "1h")
	a := p.start()
	a.await(`msg="run ended".*state=succeeded`)

	for _, pid := range descendants(t, a.cmd.Process.Pid) {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err == nil && strings.Contains(string(environ), "hushhush") {
			line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			t.Errorf("%q has the environment %q", line, environ)
		}
	}

	file := filepath.Join(p.data, ownTokenFile)
	info, err := os.Stat(file)
	l.check(err)
	if info.Mode() != 0o600 {
		t.Errorf("the token's mode is %s", info.Mode())
	}
	first, err := readToken(file)
	l.check(err)
	url, err := runningAgent(p.data)
	l.check(err)
	if res, err := http.Get(url + "/api/v1/runs"); err != nil || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("without the token: %v, %v", res, err)
	}
	for _, args := range [][]string{{"logs", "-f", "1"}, {"logs", "1", "--agent", url}, {"logs", "1", "--agent", url + "/"}} {
		if out, err := l.run(append(args, "--data-dir", p.data)...); err != nil || !strings.Contains(out, "run 1 succeeded") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	if out, err := l.run("logs", "-f", "1", "--agent", url, "--data-dir", t.TempDir()); exitCode(err) != exitInput || !strings.Contains(err.Error(), "--api-token-file") {
		t.Errorf("from elsewhere: %v\n%s", err, out)
	}

	// A hook of the same user is told of the run, others' only wake.
	push := func(number int, dataDir string) string {
		t.Helper()
		l.command("", p.binary, "hook", "install", "--repo", l.remote, "--agent", url, "--data-dir", dataDir)
		l.write("images/base/README", fmt.Sprint(number))
		l.commit("a change")
		out := l.git("push", "origin", "HEAD:main")
		a.await(`msg="run ended".*commit=` + l.head().Short())
		return out
	}
	if out := push(2, p.data); !strings.Contains(out, "remote: lab-layers: run 2 of main at ") {
		t.Errorf("the hook of the same user: %s", out)
	}
	if out := push(3, t.TempDir()); !strings.Contains(out, "remote: lab-layers: the agent was told; ") {
		t.Errorf("the hook of another: %s", out)
	}

	l.check(a.stop())
	given := filepath.Join(t.TempDir(), "token")
	l.check(os.WriteFile(given, []byte("given\n"), 0o600))
	a = p.start()
	a.await("msg=listening")
	if second, err := readToken(file); err != nil || second == first {
		t.Errorf("after another start it is %q, %v", second, err)
	}
	l.check(a.stop())
	p.args = append(p.args, "--api-token-file", given)
	a = p.start()
	a.await("msg=listening")
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("one is given, and its own is still there: %v", err)
	}
	l.check(a.stop())
}
