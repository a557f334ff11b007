package web

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Secret is what the senders of webhooks share with the agent.
type Secret struct {
	// Repository is the URL of the one that it is for; empty is all of them.
	Repository string
	Value      string
}

// ReadSecrets reads a file of secrets, one a line: SECRET is for all
// repositories, NAME SECRET for the one of that name. Several for one
// repository all count, so that they can be changed without a gap. Repositories
// are URLs by their names. No error shows a secret.
func ReadSecrets(r io.Reader, file string, repositories map[string]string) ([]Secret, error) {
	var secrets []Secret
	scanner := bufio.NewScanner(r)
	for line := 1; scanner.Scan(); line++ {
		words := strings.Fields(scanner.Text())
		switch len(words) {
		case 0:
		case 1:
			secrets = append(secrets, Secret{Value: words[0]})
		case 2:
			url, ok := repositories[words[0]]
			if !ok || words[0] == "" {
				return nil, fmt.Errorf("%s:%d: no repository is watched under the name that the line begins with: write SECRET for all, or NAME SECRET with the NAME of --repo NAME=URL", file, line)
			}
			secrets = append(secrets, Secret{Repository: url, Value: words[1]})
		default:
			return nil, fmt.Errorf("%s:%d: %d words: write SECRET, or NAME SECRET", file, line, len(words))
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("read secrets from %s: %w", file, err)
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("%s holds no secret: write one into it, for instance with \"openssl rand -hex 32\"", file)
	}
	return secrets, nil
}

// allow returns those of some repositories that one of the secrets opens;
// genuine reports whether any secret does. Repositories that are unknown are no
// reason to answer otherwise than to a wrong secret.
func allow(secrets []Secret, repositories []string, opens func(secret string) bool) (allowed []string, genuine bool) {
	for _, s := range secrets {
		own := s.Repository != ""
		if own && !slices.Contains(repositories, s.Repository) || !opens(s.Value) {
			continue
		}
		if !own {
			return repositories, true
		}
		genuine = true
		if !slices.Contains(allowed, s.Repository) {
			allowed = append(allowed, s.Repository)
		}
	}
	return allowed, genuine
}
