package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// soakAgent is an agent, one process after the other.
type soakAgent struct {
	*program
	url string
	log *os.File
	run *soakProcess
}

// soakProcess is one process of an agent.
type soakProcess struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// prepare says what the agent is started with.
func (a *soakAgent) prepare(secret string, remotes []*soakRemote) {
	a.Helper()
	address := freeAddress(a.T)
	a.url = "http://" + address
	a.args = []string{
		"agent", "--webhook-secret-file", secret, "--api-token-file", secret, "--data-dir", a.data, "--interval", "2s", "--workers", "3", "--listen", address,
	}
	for _, r := range remotes {
		a.args = append(a.args, "--repo", r.name+"="+r.url)
	}
	var err error
	a.log, err = os.CreateTemp("", "soak-*.log")
	a.check(err)
	a.Cleanup(func() {
		a.log.Close()
		if a.Failed() {
			a.Logf("the log of the agent at %s is %s", a.url, a.log.Name())
		} else {
			os.Remove(a.log.Name())
		}
	})
}

// freeAddress is one that nobody listens at, and that stays the same over the
// starts of an agent.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// start starts the agent and waits until it is ready.
func (a *soakAgent) start() error {
	cmd := exec.Command(a.binary, a.args...)
	cmd.Stderr = a.log
	if err := cmd.Start(); err != nil {
		return err
	}
	a.run = &soakProcess{cmd, make(chan struct{})}
	go func(p *soakProcess) {
		defer close(p.done)
		_ = p.cmd.Wait()
	}(a.run)
	a.T.Cleanup(func() { _ = cmd.Process.Kill() })
	for late := time.After(time.Minute); ; {
		res, err := http.Get(a.url + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-a.run.done:
			return errors.New("the agent ended at once; its log says why")
		case <-late:
			return errors.New("the agent was not ready after a minute")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stop sends the agent a signal and waits for its end.
func (a *soakAgent) stop(signal syscall.Signal) error {
	if err := a.run.cmd.Process.Signal(signal); err != nil {
		return err
	}
	select {
	case <-a.run.done:
		return nil
	case <-time.After(30 * time.Second):
		return fmt.Errorf("the agent had not ended 30 seconds after %v", signal)
	}
}
