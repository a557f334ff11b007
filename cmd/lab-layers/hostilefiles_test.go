package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestHostileWorkingDirectory holds that neither init nor validate goes through
// what a working directory has in the place of its lab-layers.yaml.
func TestHostileWorkingDirectory(t *testing.T) {
	l := &lab{T: t, dir: t.TempDir()}
	outside := filepath.Join(t.TempDir(), "profile")
	l.git("init", "-q", "-b", "main")
	l.write("images/base/Dockerfile", "FROM debian:12\nRUN true\n")
	l.commit("one image")
	file := filepath.Join(l.dir, "lab-layers.yaml")
	for name, c := range map[string]struct {
		put      func() error
		validate string
		init     string
	}{
		"a link out":     {func() error { return os.Symlink(outside, file) }, "path escapes", "is a link"},
		"a link on":      {func() error { return os.Symlink("lab-layers.yaml", file) }, "too many levels", "is a link"},
		"a device":       {func() error { return os.Symlink("/dev/zero", file) }, "path escapes", "is a link"},
		"a pipe":         {func() error { return unix.Mkfifo(file, 0o600) }, "is no file", ""},
		"a directory":    {func() error { return os.Mkdir(file, 0o700) }, "is no file", "is a directory"},
		"without an end": {func() error { return os.WriteFile(file, nil, 0o600) }, "bytes, at most", ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := &lab{T: t, dir: l.dir}
			l.check(os.WriteFile(outside, []byte("ours: hushhush\n"), 0o600))
			l.check(c.put())
			defer os.RemoveAll(file)
			if name == "without an end" {
				l.check(os.Truncate(file, 1<<40)) // takes no space
			}
			if out, err := l.run("validate", "--repo", l.dir); err == nil || exitCode(err) != exitInput || !strings.Contains(err.Error(), c.validate) || strings.Contains(out+err.Error(), "hushhush") {
				t.Errorf("validate: %v %s", err, out)
			}
			if c.init != "" {
				if out, err := l.run("init", "--repo", l.dir, "--force"); err == nil || exitCode(err) != exitInput || !strings.Contains(err.Error(), c.init) {
					t.Errorf("init: %v %s", err, out)
				}
			}
			if text, err := os.ReadFile(outside); err != nil || string(text) != "ours: hushhush\n" {
				t.Errorf("outside there is %q, %v", text, err)
			}
		})
	}
}

// TestSecondSignal holds that a command which waits for what does not come, and
// takes no notice of one signal, is ended by the next.
func TestSecondSignal(t *testing.T) {
	l := newLab(t)
	p := newProgram(l)
	pipe := filepath.Join(t.TempDir(), "pipe")
	l.check(unix.Mkfifo(pipe, 0o600))
	cmd := exec.Command(p.binary, "validate", "--repo", l.dir, "--config", pipe)
	l.check(cmd.Start())
	writer, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits for its reader
	l.check(err)
	defer writer.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		select {
		case <-ended:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}
