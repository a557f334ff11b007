//go:build !linux

package clustertest

import "syscall"

func tied() *syscall.SysProcAttr { return nil }
