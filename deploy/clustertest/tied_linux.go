package clustertest

import "syscall"

// tied makes the kernel end a program when this process ends, however it does.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
