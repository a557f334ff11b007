//go:build !linux

package cluster

import (
	"errors"
	"syscall"
)

func descriptor(int) string { return "" }

func tied(owner) (*syscall.SysProcAttr, error) {
	return nil, errors.New("only Linux can end it with us: give the URL of a PostgreSQL that runs already")
}
