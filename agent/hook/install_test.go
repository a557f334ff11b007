package hook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// site is bare repositories on this machine, and a program that writes down what
// it is called with.
type site struct {
	*testing.T
	dir     string
	work    string // a checkout to push from
	install Installer
}

func newSite(t *testing.T) *site {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	s := &site{T: t, dir: dir, work: filepath.Join(dir, "work")}
	s.check(err)
	s.install = Installer{Program: filepath.Join(dir, "it's lab-layers"), Environ: os.Environ()}
	s.write(s.install.Program, "#!/bin/sh\necho told by \"$@\"\n{ pwd; cat; } >>\""+dir+"/calls\"\n", 0o755)
	s.run(dir, "git", "init", "-q", "work")
	s.run(s.work, "git", "commit", "-q", "--allow-empty", "-m", "a commit")
	return s
}

func (s *site) check(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *site) write(file, text string, mode os.FileMode) {
	s.Helper()
	s.check(os.MkdirAll(filepath.Dir(file), 0o755))
	s.check(os.WriteFile(file, []byte(text), mode))
}

func (s *site) read(file string) string {
	s.Helper()
	text, err := os.ReadFile(file)
	s.check(err)
	return string(text)
}

func (s *site) run(dir string, args ...string) string {
	s.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@lab.example", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@lab.example")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.Fatalf("%v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// bare makes a repository to push to.
func (s *site) bare(name string) string {
	s.Helper()
	dir := filepath.Join(s.dir, name)
	s.run(s.dir, "git", "init", "-q", "--bare", dir)
	return dir
}

// push moves main to a new commit and returns what git says.
func (s *site) push(repo string) string {
	s.Helper()
	s.run(s.work, "git", "commit", "-q", "--allow-empty", "-m", "another")
	return s.run(s.work, "git", "push", repo, "+HEAD:refs/heads/main")
}

// calls returns and forgets what the program was called with.
func (s *site) calls() string {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "calls"))
	if !errors.Is(err, os.ErrNotExist) {
		s.check(err)
		s.check(os.Remove(filepath.Join(s.dir, "calls")))
	}
	return string(text)
}

func (s *site) installed(repo string) (file string) {
	s.Helper()
	file, err := s.install.Install(s.Context(), repo, Target{Repository: repo, Agent: "http://agent"})
	s.check(err)
	return file
}

func (s *site) uninstalled(repo string) {
	s.Helper()
	if file, found, err := s.install.Uninstall(s.Context(), repo); err != nil || !found {
		s.Fatalf("uninstall %s: %v, %v", file, found, err)
	}
}

// TestHookBefore holds that a hook that is there gets from git what it got
// without ours, that its exit code counts, and that it comes back as it was.
func TestHookBefore(t *testing.T) {
	s := newSite(t)
	repo := s.bare("lab.git")
	file := filepath.Join(repo, "hooks", "post-receive")
	s.write(file, "#!/bin/sh\nenv | grep -v -e ^_= -e ^SHLVL= | sort >env.now\ncat >pushed\necho the old hook, with $# arguments\nexit 7\n", 0o750)
	was, err := os.Stat(file)
	s.check(err)
	s.push(repo)
	env := s.read(filepath.Join(repo, "env.now"))

	for range 2 { // doing it twice changes nothing
		if got := s.installed(repo); got != file {
			t.Errorf("installed %s", got)
		}
	}
	out := s.push(repo)
	line := fmt.Sprintf("%s %s refs/heads/main\n", s.run(s.work, "git", "rev-parse", "HEAD^"), s.run(s.work, "git", "rev-parse", "HEAD"))
	if calls := s.calls(); calls != repo+"\n"+line {
		t.Errorf("the program was called with %q", calls)
	}
	if got := s.read(filepath.Join(repo, "pushed")); got != line {
		t.Errorf("the old hook read %q, want %q", got, line)
	}
	if got := s.read(filepath.Join(repo, "env.now")); got != env {
		t.Errorf("its environment was\n%s\nand is\n%s", env, got)
	}
	if strings.Count(out, "remote: told by hook run hooks/post-receive") != 1 || strings.Count(out, "remote: the old hook, with 0 arguments") != 1 {
		t.Error(out)
	}
	direct := exec.Command(file)
	direct.Dir, direct.Stdin = repo, strings.NewReader(line)
	if err := direct.Run(); direct.ProcessState.ExitCode() != 7 {
		t.Errorf("the exit code is %d: %v", direct.ProcessState.ExitCode(), err)
	}

	// Without the program there is still the old hook.
	s.check(os.Rename(s.install.Program, s.install.Program+".gone"))
	if out := s.push(repo); strings.Contains(out, "told") || !strings.Contains(out, "remote: the old hook") {
		t.Error(out)
	}
	s.uninstalled(repo)
	is, err := os.Lstat(file)
	s.check(err)
	if !os.SameFile(was, is) || is.Mode() != was.Mode() || is.ModTime() != was.ModTime() {
		t.Errorf("it was %v and is %v", was, is)
	}
	s.leftOver(repo)
	if file, found, err := s.install.Uninstall(t.Context(), repo); err != nil || found {
		t.Errorf("once more: %s %v %v", file, found, err)
	}
}

// leftOver checks that nothing of ours is among the hooks.
func (s *site) leftOver(repo string) {
	s.Helper()
	for _, pattern := range []string{"*" + Before, ".*"} {
		if left, _ := filepath.Glob(filepath.Join(repo, "hooks", pattern)); len(left) > 0 {
			s.Errorf("left: %v", left)
		}
	}
}

// TestHooksPath holds that repositories that share their hooks are told apart.
func TestHooksPath(t *testing.T) {
	s := newSite(t)
	one, two, three := s.bare("one.git"), s.bare("two.git"), s.bare("three.git")
	for _, repo := range []string{one, two, three} {
		s.run(repo, "git", "config", "core.hooksPath", "../shared") // as git has it: from the repository
	}
	file := filepath.Join(s.dir, "shared", "post-receive")
	s.write(filepath.Join(s.dir, "own"), "#!/bin/sh\necho the old hook\n", 0o755)
	s.check(os.MkdirAll(filepath.Dir(file), 0o755))
	s.check(os.Symlink("../own", file))
	s.installed(one)
	s.installed(two)
	targets, ours := Targets(s.read(file))
	if !ours || len(targets) != 2 || targets[0].GitDir != one || targets[1].GitDir != two {
		t.Errorf("%v %+v", ours, targets)
	}
	for _, repo := range []string{one, two, three} {
		if out := s.push(repo); !strings.Contains(out, "the old hook") {
			t.Error(out)
		}
		if calls := s.calls(); !strings.HasPrefix(calls, repo+"\n") {
			t.Error(calls)
		}
	}
	s.uninstalled(one)
	if targets, _ := Targets(s.read(file)); len(targets) != 1 || targets[0].GitDir != two {
		t.Errorf("%+v", targets)
	}
	s.uninstalled(two)
	if to, err := os.Readlink(file); to != "../own" {
		t.Errorf("%s %v", to, err)
	}
}

// TestManyRefs holds that a hook which does not read its input does not fail a
// push of more than a pipe holds.
func TestManyRefs(t *testing.T) {
	s := newSite(t)
	repo := s.bare("lab.git")
	s.write(filepath.Join(repo, "hooks", "post-receive"), "#!/bin/sh\necho the old hook\n", 0o755)
	s.write(s.install.Program, "#!/bin/sh\nexit 3\n", 0o755)
	s.installed(repo)
	var refs strings.Builder
	head := s.run(s.work, "git", "rev-parse", "HEAD")
	for i := range 2000 {
		fmt.Fprintf(&refs, "create refs/heads/a-branch-with-a-name-%d %s\n", i, head)
	}
	update := exec.Command("git", "update-ref", "--stdin")
	update.Dir, update.Stdin = s.work, strings.NewReader(refs.String())
	if out, err := update.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if out := s.run(s.work, "git", "push", "-q", repo, "refs/heads/*:refs/heads/*"); out != "remote: the old hook" {
		t.Error(out)
	}
}

func TestOddHooks(t *testing.T) {
	s := newSite(t)
	repo := s.bare("lab.git")
	hooks := filepath.Join(repo, "hooks")
	file := filepath.Join(hooks, "post-receive")

	// No directory for hooks; another user's repository; a link to it.
	s.check(os.RemoveAll(hooks))
	if _, found, err := s.install.Uninstall(t.Context(), repo); found || err != nil {
		t.Errorf("no hooks: %v %v", found, err)
	}
	if os.Geteuid() == 0 {
		s.check(os.Chown(repo, 4321, 4321))
	}
	link := filepath.Join(s.dir, "link")
	s.check(os.Symlink("lab.git", link))
	s.installed(link)
	s.check(os.Chown(repo, os.Geteuid(), os.Getegid()))
	if out := s.push(link); !strings.Contains(out, "told by hook run") {
		t.Error(out)
	}
	s.uninstalled(repo)
	if _, err := os.Lstat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}

	// One that git does not run, and an installation that was cut off.
	s.write(file, "#!/bin/sh\necho never\n", 0o644)
	s.check(os.Link(file, file+Before))
	s.installed(repo)
	if out := s.push(repo); strings.Contains(out, "never") || !strings.Contains(out, "told by") {
		t.Error(out)
	}
	// Somebody puts another hook in the place of ours.
	s.check(os.Remove(file))
	s.write(file, "#!/bin/sh\n", 0o755)
	if _, err := s.install.Install(t.Context(), repo, Target{}); !errors.Is(err, ErrTwoHooks) || !strings.Contains(err.Error(), file+Before) {
		t.Error(err)
	}
	if _, found, err := s.install.Uninstall(t.Context(), repo); found || err != nil {
		t.Errorf("%v %v", found, err)
	}

	// What is no repository, though one is around it, and though GIT_DIR is one.
	s.install.Environ = append(s.install.Environ, "GIT_DIR="+repo)
	s.check(os.Mkdir(filepath.Join(s.work, "below"), 0o755))
	for _, dir := range []string{filepath.Join(s.work, "below"), hooks, s.dir, filepath.Join(s.dir, "nothing"), s.install.Program} {
		if _, err := s.install.Install(t.Context(), dir, Target{}); !errors.Is(err, ErrNoRepository) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.install.Install(ctx, repo, Target{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestNoHook holds that what is no file is not read, and stays.
func TestNoHook(t *testing.T) {
	s := newSite(t)
	repo := s.bare("lab.git")
	file := filepath.Join(repo, "hooks", "post-receive")
	for what, put := range map[string]func() error{
		"a pipe":      func() error { return syscall.Mkfifo(file, 0o755) },
		"a device":    func() error { return os.Symlink("/dev/zero", file) },
		"a directory": func() error { return os.Mkdir(file, 0o755) },
	} {
		s.check(put())
		before, err := os.Lstat(file)
		s.check(err)
		if _, err := s.install.Install(t.Context(), repo, Target{}); !errors.Is(err, ErrNoHook) {
			t.Errorf("%s: install: %v", what, err)
		}
		if _, found, err := s.install.Uninstall(t.Context(), repo); found || !errors.Is(err, ErrNoHook) {
			t.Errorf("%s: uninstall: %v", what, err)
		}
		if after, err := os.Lstat(file); err != nil || after.Mode() != before.Mode() {
			t.Errorf("%s is gone: %v", what, err)
		}
		s.check(os.Remove(file))
	}
}

func TestReadPush(t *testing.T) {
	const none, commit = "0000000000000000000000000000000000000000", "1111111111111111111111111111111111111111"
	got := ReadPush(strings.NewReader(none + " " + commit + " refs/heads/main\n" + commit + " " + none + " refs/heads/gone\nnonsense\n"))
	if len(got) != 1 || got["refs/heads/main"] != commit {
		t.Errorf("%v", got)
	}
	if got := ReadPush(strings.NewReader(strings.Repeat("x", 1<<20))); len(got) != 0 {
		t.Errorf("%v", got)
	}
	var many strings.Builder
	for i := range 3 * maxCommits {
		fmt.Fprintf(&many, "%s %s refs/heads/%d\n", none, commit, i)
	}
	if got := ReadPush(strings.NewReader(many.String())); len(got) != maxCommits {
		t.Errorf("%d commits", len(got))
	}
}
