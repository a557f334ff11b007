package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// newGate is a lab of two layers, of which unet's build waits for the returned
// server to be closed. It tells when a build has come to it.
func newGate(l *lab) (came chan struct{}, open func()) {
	l.Helper()
	came, opened := make(chan struct{}, 10), make(chan struct{})
	gate := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		came <- struct{}{}
		select {
		case <-opened:
		case <-r.Context().Done():
		}
	}))
	l.Cleanup(gate.Close)
	l.write("lab-layers.yaml", "version: 1\nlayers:\n  - {name: base, kind: base, context: images/base}\n"+
		"  - {name: unet, kind: experiment, parent: base, context: experiments/unet}\n")
	l.write("experiments/unet/Dockerfile", "FROM base\nRUN wget -q -O /dev/null "+gate.URL+"\n")
	l.commit("unet waits")
	l.git("push", "-q", "origin", "HEAD:main")
	return came, func() { close(opened) }
}

// TestReload holds that an agent takes up a new configuration at SIGHUP, in the
// same process, and that neither one with faults nor one that it cannot start
// with does any harm.
func TestReload(t *testing.T) {
	l := newLab(t)
	l.write("lab-layers.yaml", "version: 1\nlayers:\n  - {name: base, kind: base, context: images/base}\n")
	l.commit("one layer")
	l.git("push", "-q", "origin", "HEAD:main")
	second := filepath.Join(filepath.Dir(l.remote), "second.git")
	l.command("", "git", "clone", "-q", "--bare", l.remote, second)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	l.check(err)
	defer taken.Close()

	p := newProgram(l)
	file := filepath.Join(filepath.Dir(l.remote), "agent.yaml")
	configure := func(text string) {
		t.Helper()
		l.check(os.WriteFile(file, []byte("data-dir: "+p.data+"\ninterval: 100ms\n"+text), 0o600))
	}
	p.args = []string{"agent", "--config", file}
	configure("listen: 127.0.0.1:0\nrepo: [one=" + l.remote + "]\n")
	a := p.start()
	a.await(`msg="run ended" .*lab.git.* state=succeeded`)

	configure("listen: 127.0.0.1:0\nrepo: one=" + l.remote + "\n")
	a.signal(syscall.SIGHUP)
	a.await(`msg="the configuration stays as it was" error="[^"]*agent.yaml:4: .*is no list`)

	both := "repo: [one=" + l.remote + ", two=" + second + "]\n"
	configure("listen: 127.0.0.1:0\n" + both)
	a.signal(syscall.SIGHUP)
	a.await(`msg="the configuration was read anew`)
	a.await(`msg="run ended" .*second.git.* state=succeeded`)

	configure("listen: " + taken.Addr().String() + "\n" + both)
	a.signal(syscall.SIGHUP)
	a.await(`msg="cannot start with the new configuration.*--listen`)
	a.await("msg=ready")
	l.write("experiments/unet/hparams.json", "{}")
	commit := l.commit("after all that")
	l.git("push", "-q", "origin", "HEAD:main")
	a.await(`msg="run ended" .*commit=` + commit.Short() + " state=succeeded")

	if err := a.stop(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
}

// TestDrain holds that an agent which is to stop brings the run under way to
// its end and takes up no other, and that a second signal ends that at once.
func TestDrain(t *testing.T) {
	l := newLab(t)
	came, open := newGate(l)
	p := newProgram(l)
	p.args = append(p.args, "--drain", "1h", "--workers", "1")
	a := p.start()
	<-came
	l.git("push", "-q", "origin", "HEAD:feature/waits")
	a.await(`msg="a ref moved".*feature/waits`)

	a.signal(syscall.SIGTERM)
	a.await("msg=stopping")
	a.signal(syscall.SIGINT)
	a.drain()
	l.check(a.cmd.Wait())
	p.states("feature/waits is queued, main is queued")

	a = p.start()
	<-came
	if status := a.ready(); status != http.StatusOK {
		t.Errorf("while it works it is ready with %d", status)
	}
	a.signal(syscall.SIGTERM)
	a.await("msg=stopping")
	if status := a.ready(); status != http.StatusServiceUnavailable {
		t.Errorf("while it drains it is ready with %d", status)
	}
	open()
	a.await(`msg="run ended".*state=succeeded`)
	a.drain()
	l.check(a.cmd.Wait())
	p.states("feature/waits is queued, main is succeeded")
}

// ready asks the running agent whether it is, and returns the status.
func (p *program) ready() int {
	p.Helper()
	address, err := runningAgent(p.data)
	p.check(err)
	res, err := http.Get(address + "/readyz")
	p.check(err)
	res.Body.Close()
	return res.StatusCode
}

// states checks what became of the runs, the newest first.
func (p *program) states(want string) {
	p.Helper()
	var states []string
	for _, run := range p.recorded() {
		states = append(states, strings.TrimPrefix(string(run.Move.Ref), "refs/heads/")+" is "+string(run.State))
	}
	if got := strings.Join(states, ", "); got != want {
		p.Errorf("%s; want %s", got, want)
	}
}

// TestStopWhileStarting holds that an agent which is told to stop before it has
// started has not failed.
func TestStopWhileStarting(t *testing.T) {
	p := newProgram(newLab(t))
	a := p.start()
	a.await("part=postgresql")
	a.signal(syscall.SIGTERM)
	a.drain()
	if err := a.cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, a.tail())
	}
}

func TestHasPassword(t *testing.T) {
	for address, want := range map[string]bool{
		"postgres://lab:hush@db/lab": true, "postgres://db/lab?password=hush": true, "postgres://db/lab?sslmode=off&sslpassword=hush": true,
		"host=db user=lab password=hush": true, "host=db password = 'hush'": true, "password=hush host=db": true,
		"postgres://lab@db/lab?passfile=/etc/lab": false, "host=db user=lab passfile=/etc/lab": false, "postgres://db/password": false,
	} {
		if hasPassword(address) != want {
			t.Errorf("%s: %v", address, !want)
		}
	}
}
