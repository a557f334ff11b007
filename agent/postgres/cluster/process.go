package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// process is a running program of PostgreSQL's.
type process struct {
	cmd    *exec.Cmd
	output *output
	life   context.Context // ends with it
	ended  <-chan struct{}
	exit   error // how it went; read it after ended
}

// spawn starts a program as the given user. It inherits the files, which it
// finds under the names that [descriptor] gives.
func spawn(log *slog.Logger, as owner, files []*os.File, name string, args ...string) (*process, error) {
	attributes, err := tied(as)
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.Background())
	p := &process{cmd: exec.Command(name, args...), output: &output{log: log}, life: life, ended: life.Done()}
	p.cmd.SysProcAttr = attributes
	p.cmd.Dir = "/"
	// Nothing of our own environment, whose PG variables would count.
	p.cmd.Env = []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "TZ=UTC"}
	p.cmd.Stdout = p.output
	p.cmd.Stderr = p.output
	p.cmd.ExtraFiles = files
	p.cmd.WaitDelay = time.Second
	started := make(chan error)
	go func() {
		defer end()
		// The kernel signals the child when the thread ends that started it, so
		// this goroutine keeps one to itself for as long as the child runs.
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.exit = p.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// signal is without effect on a process that has ended.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// end asks a process to end and reports whether it did so before ctx ended or
// some seconds had passed.
func (p *process) end(ctx context.Context, s syscall.Signal) bool {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	p.signal(s)
	select {
	case <-p.ended:
		return true
	case <-ctx.Done():
		return false
	}
}

// because adds to an error how the process ended, if it has, and its last
// lines.
func (p *process) because(err error) error {
	select {
	case <-p.ended:
		var exit *exec.ExitError
		if errors.As(p.exit, &exit) && !errors.Is(err, exit) {
			err = fmt.Errorf("%w: %w", err, exit)
		}
	default:
	}
	if lines := p.output.last(); len(lines) > 0 {
		err = fmt.Errorf("%w; its last lines:\n%s", err, strings.Join(lines, "\n"))
	}
	return err
}
