package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/web"
	"github.com/lab-layers/lab-layers/layers"
)

// clientFlags say how to reach an agent over HTTP.
type clientFlags struct {
	agentURL  string
	tokenFile string
}

func (f *clientFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.agentURL, "agent", "", "URL of the agent (default: the one that runs on --data-dir)")
	cmd.Flags().StringVar(&f.tokenFile, "api-token-file", "", "file with the agent's bearer token (default: that of an agent on --data-dir that was given none)")
}

// client reaches the agent that a flag names, or the one on a data directory.
func (f *clientFlags) client(dataDir string) (*agentClient, error) {
	given := ""
	if f.agentURL != "" {
		if err := checkAgentURL(f.agentURL); err != nil {
			return nil, err
		}
	}
	if f.tokenFile != "" {
		var err error
		if given, err = readToken(f.tokenFile); err != nil {
			return nil, err
		}
	}
	return &agentClient{find: func() (address, token string, err error) {
		if address = f.agentURL; address == "" {
			address, err = runningAgent(dataDir)
		}
		if token = given; token == "" {
			token = ownToken(dataDir, address)
		}
		return address, token, err
	}}, nil
}

// bareURL reads the URL of a site: with a scheme, a host and a path at most. It
// is nil for any other.
func bareURL(address string) *url.URL {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil
	}
	return u
}

func checkAgentURL(address string) error {
	if bareURL(address) == nil {
		return inputf("--agent must be a URL such as http://127.0.0.1:7070, with no user or password")
	}
	return nil
}

// runningAgent is the URL of the agent on a data directory.
func runningAgent(dataDir string) (string, error) {
	found, err := readStarted(dataDir)
	if err != nil {
		return "", inputf("no agent works on %s: name its --data-dir, or its URL with --agent", dataDir)
	}
	if found.Agent == "" {
		return "", inputf("the agent on %s answers nobody: give it --listen", dataDir)
	}
	return found.Agent, nil
}

// agentClient asks an agent over HTTP.
type agentClient struct {
	// find says where it is, and the token; after a restart both may be others.
	find func() (address, token string, err error)
}

// get sends a request. The error is an input error where the agent refuses.
func (c *agentClient) get(ctx context.Context, path string, header http.Header) (*http.Response, error) {
	base, token, err := c.find()
	if err != nil {
		return nil, err
	}
	res, err := ask(ctx, base, token, path, header)
	if err == nil && res.StatusCode == http.StatusUnauthorized {
		again, other, found := c.find()
		if found == nil && other != token { // the agent has just begun anew
			res.Body.Close()
			base = again
			res, err = ask(ctx, base, other, path, header)
		}
	}
	if err != nil || res.StatusCode == http.StatusOK {
		return res, err
	}
	defer res.Body.Close()
	return nil, refusal(base, res)
}

func ask(ctx context.Context, base, token, path string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+path, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the agent: %w", err)
	}
	return res, nil
}

// refusal is why an agent did not answer as asked.
func refusal(base string, res *http.Response) error {
	var said struct{ Error string }
	_ = json.NewDecoder(io.LimitReader(res.Body, 1<<16)).Decode(&said) // it may say nothing
	switch {
	case res.StatusCode == http.StatusUnauthorized:
		return inputf("the agent at %s wants its token: name the file with --api-token-file, or its --data-dir as the user that it runs as", base)
	case res.StatusCode == http.StatusNotFound && said.Error != "":
		return inputf("the agent at %s: %s", base, said.Error)
	}
	return fmt.Errorf("the agent at %s answers %s: %s", base, res.Status, said.Error)
}

// maxAnswer bounds what is read of an answer: more than any log that is kept.
const maxAnswer = 64 << 20

func (c *agentClient) run(ctx context.Context, id agent.RunID) (run web.Run, err error) {
	res, err := c.get(ctx, fmt.Sprintf("/api/v1/runs/%d", id), nil)
	if err != nil {
		return run, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&run); err != nil {
		return run, fmt.Errorf("the agent's answer about run %d: %w", id, err)
	}
	return run, nil
}

// Run, Layers and Log answer as the records do.
func (c *agentClient) Run(ctx context.Context, id agent.RunID) (*agent.RunSummary, error) {
	run, err := c.run(ctx, id)
	if err != nil {
		return nil, err
	}
	return &run.RunSummary, nil
}

func (c *agentClient) Layers(ctx context.Context, id agent.RunID) ([]agent.HistoryEntry, error) {
	run, err := c.run(ctx, id)
	return run.Layers, err
}

func (c *agentClient) Log(ctx context.Context, id agent.RunID, layer layers.Name) (string, error) {
	res, err := c.get(ctx, fmt.Sprintf("/api/v1/runs/%d/log?layer=%s", id, url.QueryEscape(string(layer))), nil)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("read the log of %s in run %d: %w", layer, id, err)
	}
	return string(text), nil
}
