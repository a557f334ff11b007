//go:build !linux

package daemon

import (
	"errors"
	"os/exec"
)

func isolated(string, []string) (*exec.Cmd, error) {
	return nil, errors.New("it runs on Linux only: give the address of a BuildKit that runs elsewhere")
}
