package git

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/config"
)

// layout is where the parts of a repository lie.
type layout struct {
	gitDir    string // HEAD of this work tree
	commonDir string // refs and objects, which linked work trees share
}

func (l layout) objects() string { return filepath.Join(l.commonDir, "objects") }

// errNoRepository says that a directory is not a repository's.
var errNoRepository = errors.New("not a git repository")

// findLayout finds the repository at a directory: its .git directory, its .git
// file of a linked work tree or a submodule, or the directory itself. It does
// not look in the directories above.
func findLayout(dir string) (layout, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return layout{}, err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return layout{}, err
	}
	if !info.IsDir() {
		return layout{}, fmt.Errorf("%w: it is not a directory", errNoRepository)
	}
	l := layout{gitDir: dir}
	dotGit := filepath.Join(dir, ".git")
	switch info, err := os.Stat(dotGit); {
	case err == nil && info.IsDir():
		l.gitDir = dotGit
	case err == nil:
		to, err := readPath(dotGit)
		if err != nil {
			return layout{}, err
		}
		rest, ok := strings.CutPrefix(to, "gitdir: ")
		if !ok {
			return layout{}, fmt.Errorf("%w: %s does not say where it is", errNoRepository, dotGit)
		}
		l.gitDir = absolute(dir, rest)
	case !errors.Is(err, fs.ErrNotExist):
		return layout{}, err
	}
	l.commonDir = l.gitDir
	if to, err := readPath(filepath.Join(l.gitDir, "commondir")); err == nil {
		l.commonDir = absolute(l.gitDir, to)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return layout{}, err
	}
	for _, part := range []string{filepath.Join(l.gitDir, "HEAD"), l.objects(), filepath.Join(l.commonDir, "refs")} {
		if _, err := os.Lstat(part); err != nil {
			return layout{}, fmt.Errorf("%w: %w", errNoRepository, err)
		}
	}
	return l, l.checkFormat()
}

func readPath(name string) (string, error) {
	file, err := openFile(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, 8192))
	return strings.TrimRight(string(text), "\r\n"), err
}

func absolute(dir, to string) string {
	if filepath.IsAbs(to) {
		return filepath.Clean(to)
	}
	return filepath.Join(dir, to)
}

// checkFormat refuses the repository formats that this package does not read
// (git-scm.com/docs/gitrepository-layout, extensions).
func (l layout) checkFormat() error {
	file, err := openFile(filepath.Join(l.commonDir, "config"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer file.Close()
	cfg := config.New()
	if err := config.NewDecoder(io.LimitReader(file, 1<<20)).Decode(cfg); err != nil {
		return fmt.Errorf("read %s: %w", file.Name(), err)
	}
	extensions := cfg.Section("extensions")
	if format := extensions.Option("objectformat"); format != "" && !strings.EqualFold(format, "sha1") {
		return fmt.Errorf("the repository has %s object ids; only sha1 is supported", format)
	}
	if format := extensions.Option("refstorage"); format != "" && !strings.EqualFold(format, "files") {
		return fmt.Errorf("the repository keeps its refs as %s; only files are supported (git refs migrate --ref-format=files)", format)
	}
	return nil
}
