package hook

import (
	"encoding/json"
	"strings"
)

// Target is whom the pushes to one repository are told to.
type Target struct {
	// GitDir is the repository's directory, absolute and with no symbolic link.
	GitDir string `json:"git_dir"`
	// Repository is the URL or the path by which the agent watches it.
	Repository string `json:"repository"`
	// Agent is the agent's URL.
	Agent string `json:"agent"`
	// SecretFile holds what deliveries are signed by; empty is nothing.
	SecretFile string `json:"secret_file,omitempty"`
	// DataDir is that of an agent on this machine, where its own token is; empty
	// if there is a secret.
	DataDir string `json:"data_dir,omitempty"`
}

// targetMark begins the comment that holds a target.
const targetMark = "# lab-layers target: "

// Targets reads those of a hook's script, one for each repository that it
// serves; ours is false for a hook of somebody else.
func Targets(script string) (targets []Target, ours bool) {
	if !strings.HasPrefix(script, scriptHead) {
		return nil, false
	}
	for line := range strings.Lines(script) {
		text, ok := strings.CutPrefix(line, targetMark)
		var t Target
		if ok && json.Unmarshal([]byte(text), &t) == nil {
			targets = append(targets, t)
		}
	}
	return targets, true
}
