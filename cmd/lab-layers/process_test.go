package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// process is a running agent whose log is followed.
type process struct {
	*program
	cmd   *exec.Cmd
	lines chan string
	log   []string
}

// lineLimit is how long an agent may be silent about what is waited for.
const lineLimit = time.Minute

func (p *program) start() *process {
	p.Helper()
	a := &process{program: p, cmd: exec.Command(p.binary, p.args...), lines: make(chan string, 1<<16)}
	out, err := a.cmd.StderrPipe()
	p.check(err)
	p.check(a.cmd.Start())
	p.Cleanup(func() { _ = a.cmd.Process.Kill() })
	go func() {
		defer close(a.lines)
		scanner := bufio.NewScanner(out)
		for scanner.Scan() {
			a.lines <- scanner.Text()
		}
	}()
	return a
}

// await reads the agent's log up to a line that a pattern matches.
func (a *process) await(pattern string) {
	a.Helper()
	match := regexp.MustCompile(pattern)
	late := time.NewTimer(lineLimit)
	defer late.Stop()
	for {
		select {
		case line, ok := <-a.lines:
			if !ok {
				a.Fatalf("the agent ended before %q:\n%s", pattern, a.tail())
			}
			a.log = append(a.log, line)
			if match.MatchString(line) {
				return
			}
		case <-late.C:
			a.signal(syscall.SIGQUIT) // shows where it stands
			for line := range a.lines {
				a.log = append(a.log, line)
			}
			a.Fatalf("no %q in the log:\n%s", pattern, strings.Join(a.log[max(0, len(a.log)-400):], "\n"))
		}
	}
}

func (a *process) tail() string {
	return strings.Join(a.log[max(0, len(a.log)-15):], "\n")
}

func (a *process) signal(s syscall.Signal) {
	a.Helper()
	a.check(a.cmd.Process.Signal(s))
}

// drain reads the log to its end.
func (a *process) drain() {
	for line := range a.lines {
		a.log = append(a.log, line)
	}
}

// said reports whether the log that was read has a text.
func (a *process) said(text string) bool {
	return slices.ContainsFunc(a.log, func(line string) bool { return strings.Contains(line, text) })
}

// kill ends the agent as a power cut would, and checks that nothing of it runs
// on.
func (a *process) kill() {
	a.Helper()
	family := a.family()
	a.signal(syscall.SIGKILL)
	a.drain()
	_ = a.cmd.Wait()
	a.killed++
	a.gone(family)
}

// relative is a process of an agent, held by a descriptor that tells its end.
type relative struct {
	pidfd   int
	command string
}

// family are the descendants of the agent: PostgreSQL, BuildKit, containers.
func (a *process) family() (all []relative) {
	a.Helper()
	for _, pid := range descendants(a.T, a.cmd.Process.Pid) {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		all = append(all, relative{fd, strings.ReplaceAll(string(line), "\x00", " ")})
	}
	return all
}

// descendants of a process.
func descendants(t *testing.T, of int) (all []int) {
	t.Helper()
	children := map[int][]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // it has ended
		}
		// proc(5): pid (comm) state ppid; comm may hold anything.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		children[parent] = append(children[parent], pid)
	}
	for next := children[of]; len(next) > 0; next = next[1:] {
		next = append(next, children[next[0]]...)
		all = append(all, next[0])
	}
	return all
}

// gone checks that a killed agent's family ends, and that nothing works on its
// data directory.
func (a *process) gone(family []relative) {
	a.Helper()
	for _, r := range family {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(r.pidfd), Events: unix.POLLIN}}, int(stopLimit.Milliseconds()))
		if n != 1 {
			a.Errorf("%s is left (%v)", r.command, err)
		}
		unix.Close(r.pidfd)
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	a.check(err)
	for _, dir := range processes {
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		cwd, _ := os.Readlink(filepath.Join(dir, "cwd"))
		if bytes.Contains(line, []byte(a.data)) || strings.HasPrefix(cwd, a.data) {
			a.Errorf("%s is left: %s", dir, bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
}
