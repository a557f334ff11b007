package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
)

// create makes a new cluster. It is made aside and moved into place when it is
// whole, so a cluster that is there is never half of one.
func (p *place) create(ctx context.Context, bin string, log *slog.Logger) error {
	aside := filepath.Join(p.root, "data.new")
	if err := p.clear(ctx, aside); err != nil {
		return err
	}
	if err := os.Mkdir(aside, 0o700); err != nil {
		return err
	}
	if err := p.owner.give(aside); err != nil {
		return err
	}
	dir, err := p.openData(ctx, aside)
	if err != nil {
		return err
	}
	defer dir.Close()
	initdb, err := spawn(log, p.owner, []*os.File{dir}, filepath.Join(bin, "initdb"),
		"-D", descriptor(0),
		"--username="+superuser,
		"--locale=C.UTF-8", "--encoding=UTF8",
		"--auth-local=trust", "--auth-host=reject",
		"--data-checksums",
		"--no-instructions",
	)
	if err != nil {
		return err
	}
	select {
	case <-initdb.Done():
	case <-ctx.Done():
		initdb.Signal(syscall.SIGTERM)
		<-initdb.Done()
		return context.Cause(ctx)
	}
	if err := initdb.Exit(); err != nil {
		return initdb.Because(fmt.Errorf("initdb: %w", err))
	}
	if err := os.Rename(aside, p.data); err != nil {
		return err
	}
	return syncDir(p.root)
}

// clear removes what an initdb left that did not end well, once it is gone.
func (p *place) clear(ctx context.Context, aside string) error {
	dir, err := p.openData(ctx, aside)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	return os.RemoveAll(aside)
}

// syncDir makes a change of names in a directory last.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
