package hook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// ErrTwoHooks says that it is not clear which hook was there before.
var ErrTwoHooks = errors.New("remove the one that you do not want")

// Installer puts the hook into repositories and takes it out.
type Installer struct {
	// Program is the absolute path of lab-layers.
	Program string
	// Environ is the environment of git.
	Environ []string
}

// Install puts the hook into the repository at a directory, whose GitDir it
// fills in, and returns its file. A hook that is there is run after it. Doing it
// again changes the target. There is a whole hook at any time.
func (i Installer) Install(ctx context.Context, dir string, t Target) (file string, err error) {
	p, err := find(ctx, dir, i.Environ)
	if err != nil {
		return "", err
	}
	t.GitDir = p.gitDir
	if err := os.MkdirAll(filepath.Dir(p.file), 0o755); err != nil {
		return "", fmt.Errorf("make the directory of the hooks of %s: %w", p.gitDir, err)
	}
	unlock, err := lock(filepath.Dir(p.file))
	if err != nil {
		return "", err
	}
	defer unlock()
	text, there, err := hookFile(p.file)
	if err != nil {
		return "", err
	}
	targets, ours := Targets(text)
	if there && !ours {
		if err := keepBefore(p.file); err != nil {
			return "", err
		}
	}
	targets = append(without(targets, p.gitDir), t)
	return p.file, i.write(p.file, targets)
}

// Uninstall takes the hook out of the repository at a directory, and returns its
// file. The hook that was there before is there again; found is false if ours
// was not. Others that the hook serves keep it.
func (i Installer) Uninstall(ctx context.Context, dir string) (file string, found bool, err error) {
	p, err := find(ctx, dir, i.Environ)
	if err != nil {
		return "", false, err
	}
	unlock, err := lock(filepath.Dir(p.file))
	if errors.Is(err, os.ErrNotExist) {
		return p.file, false, nil // no directory, no hook
	}
	if err != nil {
		return "", false, err
	}
	defer unlock()
	text, _, err := hookFile(p.file)
	if err != nil {
		return "", false, err
	}
	targets, ours := Targets(text)
	left := without(targets, p.gitDir)
	switch {
	case !ours || len(left) == len(targets):
		return p.file, false, nil
	case len(left) > 0:
		return p.file, true, i.write(p.file, left)
	}
	err = os.Rename(p.file+Before, p.file)
	if errors.Is(err, os.ErrNotExist) {
		err = os.Remove(p.file)
	}
	return p.file, true, err
}

// without leaves out the targets of a repository.
func without(targets []Target, gitDir string) []Target {
	return slices.DeleteFunc(slices.Clone(targets), func(t Target) bool { return t.GitDir == gitDir })
}

// keepBefore gives a hook its second name, under which it goes on.
func keepBefore(file string) error {
	err := os.Link(file, file+Before)
	if errors.Is(err, os.ErrExist) {
		now, err := os.Lstat(file)
		if err != nil {
			return err
		}
		if before, err := os.Lstat(file + Before); err == nil && os.SameFile(now, before) {
			return nil // an installation that was cut off
		}
		return fmt.Errorf("%s%s is left of an earlier installation, and %s is another hook: %w", file, Before, file, ErrTwoHooks)
	}
	if err != nil { // no hard links here
		return os.Rename(file, file+Before)
	}
	return nil
}

// write replaces the hook at once.
func (i Installer) write(file string, targets []Target) error {
	text, err := script(i.Program, targets)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(file), ".post-receive-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.WriteString(text)
	if err = errors.Join(err, temp.Chmod(0o755), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), file)
}

// lock keeps two installations off one directory.
func lock(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		d.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return func() { d.Close() }, nil
}
