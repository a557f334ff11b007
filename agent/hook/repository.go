package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// ErrNoHook says that what is in the place of a hook is no file.
var ErrNoHook = errors.New("is no file: remove it")

// ErrNoRepository says that a directory is not a Git repository.
var ErrNoRepository = errors.New("is not a Git repository")

// place is where a repository and its hook are.
type place struct {
	gitDir string
	file   string // of the post-receive hook
}

// find asks git, as core.hooksPath may lead elsewhere. environ is that of git,
// without git's own variables, which could name another repository, and ours,
// which may be secrets.
func find(ctx context.Context, dir string, environ []string) (p place, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return p, err
	}
	clean := []string{"GIT_CEILING_DIRECTORIES=" + filepath.Dir(dir)} // what is around it is another repository
	for _, v := range environ {
		if !strings.HasPrefix(v, "GIT_") && !strings.HasPrefix(v, "LAB_LAYERS_") {
			clean = append(clean, v)
		}
	}
	if p.gitDir, err = ask(ctx, dir, clean, "rev-parse", "--absolute-git-dir"); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return p, fmt.Errorf("look at %s: %w", dir, err)
		}
		return p, fmt.Errorf("%s %w: %w", dir, ErrNoRepository, err)
	}
	if p.gitDir, err = filepath.EvalSymlinks(p.gitDir); err != nil {
		return p, err
	}
	if !utf8.ValidString(p.gitDir) {
		return p, fmt.Errorf("%q: the hook cannot hold a path that is not UTF-8", p.gitDir)
	}
	// A relative core.hooksPath counts from where git runs the hook.
	hooks, err := ask(ctx, p.gitDir, clean, "--git-dir=.", "rev-parse", "--git-path", "hooks")
	if err != nil {
		return p, fmt.Errorf("find the hooks of %s: %w", p.gitDir, err)
	}
	if !filepath.IsAbs(hooks) {
		hooks = filepath.Join(p.gitDir, hooks)
	}
	p.file = filepath.Join(hooks, "post-receive")
	return p, nil
}

// ask runs git on a repository that may be another user's.
func ask(ctx context.Context, dir string, environ []string, args ...string) (string, error) {
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "safe.directory=*"}, args...)...)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, environ, &errs
	out, err := cmd.Output()
	if err != nil {
		if first, _, _ := strings.Cut(strings.TrimSpace(errs.String()), "\n"); first != "" {
			err = errors.New(first)
		}
		return "", err
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

// Running is the directory of the repository whose hook runs in a directory,
// with what GIT_DIR is there.
func Running(dir, gitDir string) (string, error) {
	if !filepath.IsAbs(gitDir) {
		gitDir = filepath.Join(dir, gitDir)
	}
	return filepath.EvalSymlinks(gitDir)
}

// maxHook bounds a hook that is read, in bytes.
const maxHook = 16 << 20

// hookFile is a post-receive hook that may be there. What is no file, such as a
// pipe, is not read.
func hookFile(file string) (text string, there bool, err error) {
	info, err := os.Stat(file)
	if errors.Is(err, os.ErrNotExist) {
		_, err = os.Lstat(file) // a link that leads nowhere is there, too
		return "", err == nil, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s %w", file, ErrNoHook)
	}
	if err != nil {
		return "", false, err
	}
	f, err := os.Open(file)
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxHook))
	return string(data), true, err
}
