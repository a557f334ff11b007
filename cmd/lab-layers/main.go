// Command lab-layers is a GitOps build agent for AI teaching labs.
//
// This package parses flags, reads the environment, joins the implementations
// of the other packages and turns errors into exit codes. It holds no logic of
// its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// Exit codes.
const (
	exitInput   = 1 // the user's input is wrong
	exitOutside = 2 // something outside failed
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends what does not end by itself
	err := newRoot(os.Stdout, os.Stderr).ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	var silent silentError
	if !errors.As(err, &silent) {
		fmt.Fprintln(os.Stderr, "lab-layers:", printable(err.Error()))
	}
	os.Exit(exitCode(err))
}

// exitCode is the one place where an error becomes an exit code.
func exitCode(err error) int {
	var input inputError
	var faults layers.Faults
	if errors.As(err, &input) || errors.As(err, &faults) || agent.IsMistake(err) {
		return exitInput
	}
	return exitOutside
}

// inputError marks what the user can mend.
type inputError struct{ err error }

func (e inputError) Error() string { return e.err.Error() }
func (e inputError) Unwrap() error { return e.err }

func inputf(format string, args ...any) error { return inputError{fmt.Errorf(format, args...)} }

// silentError has been told to the user already.
type silentError struct{ err error }

func (e silentError) Error() string { return e.err.Error() }
func (e silentError) Unwrap() error { return e.err }
