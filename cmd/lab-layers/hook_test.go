package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestPushIsTold holds that who pushes to a bare repository is told of the run
// and its plan, and that a push succeeds whatever the agent does.
func TestPushIsTold(t *testing.T) {
	l := newLab(t)
	p := newProgram(l)
	secret := filepath.Join(t.TempDir(), "secret")
	l.check(os.WriteFile(secret, []byte("a-secret\n"), 0o600))
	looked := make(chan bool)
	once := sync.OnceFunc(func() { close(looked) })
	l.agent.Progress.Look = func(string, error) { once() }
	l.agent.Interval = 1 << 40
	url := l.answers(listenFlags{secretFile: secret})
	<-looked

	install := func(agent string, more ...string) {
		t.Helper()
		args := append([]string{"hook", "install", "--repo", l.remote, "--agent", agent}, more...)
		if out := l.command("", p.binary, args...); !strings.Contains(out, "hooks/post-receive tells "+agent) {
			t.Errorf("install: %s", out)
		}
	}
	change := 0
	push := func() string {
		t.Helper()
		change++
		l.write("experiments/unet/hparams.json", strings.Repeat(" ", change)+"{}")
		l.commit("unet: a change")
		return l.git("push", "origin", "HEAD:main")
	}
	says := func(out string, lines ...string) {
		t.Helper()
		for _, line := range lines {
			if !strings.Contains(out, line) {
				t.Errorf("there is no %q in\n%s", line, out)
			}
		}
	}

	install(url, "--secret-file", secret)
	out := push()
	says(out, "remote: lab-layers: run 2 of main at "+l.head().Short()+": ", "lab-layers logs -f 2 ")
	if strings.Contains(out, "layers to build") { // the machine may be slow
		says(out, "1 of 8 layers to build", "unet           path: experiments/unet/hparams.json")
	}
	wrong := filepath.Join(t.TempDir(), "wrong")
	l.check(os.WriteFile(wrong, []byte("a guess\n"), 0o600))
	if out, err := l.run("hook", "install", "--repo", l.remote, "--agent", url, "--secret-file", wrong); exitCode(err) != exitInput || strings.Contains(err.Error(), "guess") {
		t.Errorf("a file that holds no secret: %v %s", err, out)
	}
	l.check(os.WriteFile(wrong, []byte("guess\n"), 0o600))
	install(url, "--secret-file", wrong)
	says(push(), "remote: lab-layers: the agent does not take the secret; the push is seen when the agent looks again")
	l.check(os.Remove(wrong))
	says(push(), "read the secret: open "+wrong)
	install(url, "--secret-file", secret, "--url", "https://elsewhere.example/lab.git")
	says(push(), "the agent does not watch https://elsewhere.example/lab.git")

	// An agent that is down, slow, or none.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	l.check(err)
	defer silent.Close()
	down, err := net.Listen("tcp", "127.0.0.1:0")
	l.check(err)
	l.check(down.Close())
	install("http://" + silent.Addr().String())
	says(push(), "remote: lab-layers: the agent does not answer: context deadline exceeded; ")
	install("http://" + down.Addr().String())
	says(push(), "remote: lab-layers: the agent does not answer: dial tcp "+down.Addr().String()+": connect: connection refused; ")
	for answer, told := range map[string]string{
		"<html>":            "is not understood",
		`{"runs":"\u001b"}`: "is not understood",
		`{"runs":[{"id":7,"move":{"ref":"refs/heads/main","new":"HEAD"},"plan":{"layers":[{"name":"a\u001b[2Jb","step":"build"}]}}]}`: "a[2Jb",
		`{}`: "the agent was told; ",
	} {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			_, _ = w.Write([]byte(strings.Replace(answer, "HEAD", string(l.head()), 1)))
		}))
		install(other.URL)
		if out := push(); !strings.Contains(out, told) || strings.Contains(out, "\x1b[2J") {
			t.Errorf("%s: %q", answer, out)
		}
		other.Close()
	}
	moved := httptest.NewServer(http.RedirectHandler(url, http.StatusTemporaryRedirect))
	defer moved.Close()
	install(moved.URL)
	says(push(), "the agent answers 307")

	l.command("", p.binary, "hook", "uninstall", "--repo", l.remote)
	if out := push(); strings.Contains(out, "lab-layers") {
		t.Error(out)
	}
}
