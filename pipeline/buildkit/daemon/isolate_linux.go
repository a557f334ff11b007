package daemon

import (
	"os/exec"
	"syscall"
)

// enter finishes the namespaces from within: a /proc of their processes, and
// runc's state where it goes with them.
const enter = `mount -t proc proc /proc && mkdir -p /run/runc && mount -t tmpfs -o mode=700 runc /run/runc && exec "$@"`

// isolated prepares a program that is the first of a new PID namespace, so
// that the kernel ends everything it started when it ends; that ends itself
// with the thread that starts it; and that keeps its mounts to itself.
func isolated(name string, args []string) (*exec.Cmd, error) {
	cmd := exec.Command("sh", append([]string{"-c", enter, "sh", name}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID,
		// Unlike the clone flag, this also makes the mounts private.
		Unshareflags: syscall.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL,
		Setpgid:      true, // a terminal's interrupt is for us alone
	}
	return cmd, nil
}
