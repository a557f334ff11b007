package main

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ownTokenFile holds, in the data directory, the token of an agent that is given
// none. Only the agent's user can read it, which RUN steps on the machine's
// network cannot: so who has it is who runs the agent. It is another one at each
// start, so that what is sent to a port that the agent had before is worth
// nothing.
const ownTokenFile = "api-token"

// newToken makes the agent's own token, and writes it down.
func newToken(dataDir string) (token string, err error) {
	token = rand.Text()
	file, err := os.CreateTemp(dataDir, ownTokenFile+".*") // has mode 0600
	if err != nil {
		return "", err
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(token + "\n")
	if err = errors.Join(err, file.Close()); err != nil {
		return "", err
	}
	return token, os.Rename(file.Name(), filepath.Join(dataDir, ownTokenFile))
}

// dropToken takes an own token away that counts no more.
func dropToken(dataDir string) error {
	err := os.Remove(filepath.Join(dataDir, ownTokenFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// ownToken is that of the agent on a data directory, if it is the one at a URL
// and we may read it; else it is empty.
func ownToken(dataDir, agent string) string {
	found, err := readStarted(dataDir)
	if err != nil || found.Agent == "" || found.Agent != strings.TrimSuffix(agent, "/") {
		return ""
	}
	token, err := readToken(filepath.Join(dataDir, ownTokenFile))
	if err != nil {
		return "" // it was given another, or we are not its user
	}
	return token
}

func readToken(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", inputError{err}
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", inputf("%s holds no token: write one into it, for instance with \"openssl rand -hex 32\"", file)
	}
	return token, nil
}
