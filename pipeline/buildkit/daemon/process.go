package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// process is the running program.
type process struct {
	cmd    *exec.Cmd
	output *output
	ended  chan struct{} // closed when it is gone
	exit   error         // how it went; read it after ended
}

// spawn starts a program in namespaces of its own. It inherits lock.
func spawn(log *slog.Logger, lock *os.File, name string, args []string) (*process, error) {
	cmd, err := isolated(name, args)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, output: &output{log: log}, ended: make(chan struct{})}
	cmd.Stdout = p.output
	cmd.Stderr = p.output
	cmd.ExtraFiles = []*os.File{lock}
	cmd.WaitDelay = time.Second
	started := make(chan error)
	go func() {
		// The kernel kills the child when the thread ends that started it, so
		// this goroutine keeps one to itself for as long as the child runs.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.exit = cmd.Wait()
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// signal is without effect on a process that has ended.
func (p *process) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *process) kill() { _ = p.cmd.Process.Kill() }

// because adds to an error how the process ended, if it has, and its last
// lines.
func (p *process) because(err error) error {
	select {
	case <-p.ended:
		var exit *exec.ExitError
		if errors.As(p.exit, &exit) {
			err = fmt.Errorf("%w: %w", err, exit)
		}
	default:
	}
	if lines := p.output.last(); len(lines) > 0 {
		err = fmt.Errorf("%w; its last lines:\n%s", err, strings.Join(lines, "\n"))
	}
	return err
}
