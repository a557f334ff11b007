package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
)

// started is what other commands on this machine need to find the parts.
type started struct {
	// DatabaseURL is a private cluster's. That of a given one may hold a
	// password, and is written down nowhere.
	DatabaseURL string `json:"database_url,omitempty"`
	// Private is true for a cluster that ends with the agent.
	Private  bool   `json:"private"`
	Registry string `json:"registry"`
	// Embedded is true for a registry that only its agent writes to.
	Embedded bool   `json:"embedded,omitempty"`
	PID      int    `json:"pid"`
	Owner    string `json:"owner"`
	// Agent is the URL that the agent answers at; empty if it does not.
	Agent string `json:"agent,omitempty"`
}

const startedFile = "started.json"

// readStarted reads what the last agent on a data directory told.
func readStarted(dataDir string) (found started, err error) {
	data, err := os.ReadFile(filepath.Join(dataDir, startedFile))
	if err == nil {
		err = json.Unmarshal(data, &found)
	}
	return found, err
}

// tell writes down for other commands where the parts are.
func (s *stack) tell(dataDir string) error {
	data, err := json.Marshal(s.found)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dataDir, startedFile), data, 0o600)
}

// inherit puts back into the queue what the last process on the data directory
// was killed at. It need not wait for the claims to lapse: as the lock is ours,
// that process is dead.
func (s *stack) inherit(ctx context.Context, dataDir string) error {
	last, err := readStarted(dataDir)
	if err != nil || last.Owner == "" {
		return nil // the claims lapse by themselves
	}
	return s.store.ReleaseAll(ctx, last.Owner, "the agent was killed")
}
