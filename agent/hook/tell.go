package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/lab-layers/lab-layers/agent/web"
)

const (
	// planTime is how long the agent may wait for plans.
	planTime = time.Second
	// maxAnswer bounds what is read of the agent's answer.
	maxAnswer = 4 << 20
)

// Tell tells the agent that a repository was pushed to, and returns the runs
// that it knows of then; without a secret it tells of them to its own token
// alone. The agent waits a second for their plans; the context bounds the time
// in all.
func Tell(ctx context.Context, client *http.Client, t Target, token string, commits map[string]string) (told web.Told, err error) {
	body, err := json.Marshal(map[string]any{"repository": t.Repository, "commits": commits})
	if err != nil {
		return told, err
	}
	address := strings.TrimSuffix(t.Agent, "/") + "/webhooks/generic?wait=" + planTime.String()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return told, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if t.SecretFile != "" {
		secret, err := ReadSecret(t.SecretFile)
		if err != nil {
			return told, err
		}
		req.Header.Set(web.SignatureHeader, web.Sign(secret, body))
	}
	res, err := client.Do(req)
	if err != nil {
		if failed := (*url.Error)(nil); errors.As(err, &failed) {
			err = failed.Err // without the address, which is not for who pushes
		}
		return told, fmt.Errorf("the agent does not answer: %w", err)
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusAccepted:
	case http.StatusUnauthorized:
		return told, errors.New("the agent does not take the secret")
	case http.StatusNotFound:
		return told, fmt.Errorf("the agent does not watch %s, or takes nothing from this machine without a secret", t.Repository)
	default:
		return told, fmt.Errorf("the agent answers %d", res.StatusCode)
	}
	err = json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&told)
	if errors.Is(err, io.EOF) {
		return told, nil // it was woken, and tells this sender of no runs
	}
	if err != nil {
		return told, errors.New("what the agent answers is not understood")
	}
	return told, nil
}

// ReadSecret reads the first secret for all repositories in a file that is
// written as the agent's. No error shows a secret.
func ReadSecret(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) == 1 {
			return words[0], nil
		}
	}
	return "", fmt.Errorf("%s has no line with a secret alone", file)
}
