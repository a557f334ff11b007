// Package child runs programs that live no longer than this process: the
// servers that are started where none are given.
//
// Input is an exec.Cmd with a Pdeathsig, output a running process with its last
// lines. It starts nothing again and knows no program.
package child

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Process is a program that was started.
type Process struct {
	cmd    *exec.Cmd
	output *output
	life   context.Context // ends with it
	exit   error           // how it went; read it after its life
}

// Start runs a program. What it prints goes to the log, at the debug level, if
// there is one.
func Start(cmd *exec.Cmd, log *slog.Logger) (*Process, error) {
	life, end := context.WithCancel(context.Background())
	p := &Process{cmd: cmd, output: &output{log: log}, life: life}
	cmd.Stdout, cmd.Stderr = p.output, p.output
	cmd.WaitDelay = time.Second
	started := make(chan error)
	go func() {
		defer end()
		// The kernel signals the child when the thread ends that started it, so
		// this goroutine keeps one to itself for as long as the child runs.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.exit = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// PID is the process' id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.life.Done() }

// Exit says how it went, once Done is closed.
func (p *Process) Exit() error { return p.exit }

// Signal is without effect on a process that has ended.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Kill ends the process and waits until it is gone.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.Done()
}

// End sends a signal and reports whether the process ended before ctx did.
func (p *Process) End(ctx context.Context, s syscall.Signal) bool {
	p.Signal(s)
	select {
	case <-p.Done():
		return true
	case <-ctx.Done():
		return false
	}
}

// Said reports whether one of the last lines holds a text.
func (p *Process) Said(text string) bool {
	for _, line := range p.output.last() {
		if strings.Contains(line, text) {
			return true
		}
	}
	return false
}

// Because adds to an error how the process ended, if it has, and its last
// lines.
func (p *Process) Because(err error) error {
	select {
	case <-p.Done():
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
