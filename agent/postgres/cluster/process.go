package cluster

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"syscall"

	"github.com/lab-layers/lab-layers/pipeline/child"
)

// spawn starts a program of PostgreSQL's as the given user. It inherits the
// files, which it finds under the names that [descriptor] gives.
func spawn(log *slog.Logger, as owner, files []*os.File, name string, args ...string) (*child.Process, error) {
	attributes, err := tied(as)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = attributes
	cmd.Dir = "/"
	cmd.Env, cmd.ExtraFiles = environ(), files
	return child.Start(cmd, log)
}

// environ has nothing of our own environment: it may hold secrets, and its PG
// variables would count.
func environ() []string { return []string{"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "TZ=UTC"} }

// end asks a process to end and reports whether it did so before ctx ended or
// some seconds had passed.
func end(ctx context.Context, p *child.Process, s syscall.Signal) bool {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	return p.End(ctx, s)
}
