package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/lab-layers/lab-layers/pipeline"
)

// printFailure shows the failing instruction with the last lines of its output.
func printFailure(w io.Writer, out pipeline.Outcome) {
	var failure *pipeline.BuildError
	if !errors.As(out.Error, &failure) {
		return
	}
	fmt.Fprintf(w, "\n%s failed: %s\n", out.Layer, printable(failure.Error()))
	for _, line := range failure.Tail {
		fmt.Fprintf(w, "  | %s\n", printable(line))
	}
}
