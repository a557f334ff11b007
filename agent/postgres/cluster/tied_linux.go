package cluster

import (
	"fmt"
	"syscall"
)

// descriptor is a path to the n-th file that a program inherits. The kernel
// takes it straight there, so it works below directories that the program's
// user cannot enter, and the length of the real path does not matter.
func descriptor(n int) string { return fmt.Sprintf("/proc/self/fd/%d", 3+n) }

// tied gives a program to another user, and ends it with the thread that
// starts it: for PostgreSQL, SIGQUIT is the shutdown that leaves everything
// else to the next start.
func tied(as owner) (*syscall.SysProcAttr, error) {
	attributes := &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGQUIT,
		Setpgid:   true, // a terminal's interrupt is for us alone
	}
	if as.other {
		attributes.Credential = &syscall.Credential{Uid: uint32(as.uid), Gid: uint32(as.gid)}
	}
	return attributes, nil
}
