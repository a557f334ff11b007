package hook

import (
	"encoding/json"
	"strings"
)

// Before is what is added to the name of the hook that was there before.
const Before = ".before-lab-layers"

const scriptHead = `#!/bin/sh
# lab-layers tells its agent of pushes. "lab-layers hook uninstall" takes this out
# again. Do not edit it: a hook of your own is post-receive` + Before + `.
`

// scriptBody runs the program, which bounds its own time, and then the hook that
// was there before, whose exit code is this one's. The names are such that the
// environment of that one does not have them.
const scriptBody = `lab_layers_pushed=$(cat)
if [ -x "$lab_layers_program" ]; then
	printf '%s\n' "$lab_layers_pushed" 2>/dev/null | "$lab_layers_program" hook run "$0" || :
fi
if [ -x "$0` + Before + `" ]; then
	printf '%s\n' "$lab_layers_pushed" 2>/dev/null | "$0` + Before + `" "$@"
fi
`

// script is a hook that runs a program, given by its absolute path.
func script(program string, targets []Target) (string, error) {
	var b strings.Builder
	b.WriteString(scriptHead)
	for _, t := range targets {
		line, err := json.Marshal(t)
		if err != nil {
			return "", err
		}
		b.WriteString(targetMark + string(line) + "\n")
	}
	b.WriteString("lab_layers_program='" + strings.ReplaceAll(program, "'", `'\''`) + "'\n" + scriptBody)
	return b.String(), nil
}
