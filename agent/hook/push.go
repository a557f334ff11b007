package hook

import (
	"bufio"
	"io"
	"strings"
)

// maxCommits bounds what a delivery names, so that it stays small.
const maxCommits = 500

// ReadPush reads what git tells a post-receive hook, a line OLD NEW REF for each
// ref, and returns the commits that refs were moved to, the first 500 of them.
func ReadPush(r io.Reader) map[string]string {
	commits := map[string]string{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		words := strings.SplitN(lines.Text(), " ", 3)
		if len(words) == 3 && strings.Trim(words[1], "0") != "" && len(commits) < maxCommits {
			commits[words[2]] = words[1]
		}
	}
	return commits
}
