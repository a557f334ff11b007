package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

func newLogs() *cobra.Command {
	var flags recordFlags
	var client clientFlags
	var follow bool
	output := format("table")
	cmd := &cobra.Command{
		Use:   "logs RUN [LAYER]",
		Short: "Show what the builds of a run said",
		Long: `logs shows the recorded output of a run's builds. With --follow it goes along
with a run that has not ended, through the agent, and ends with it: exit code 0
if the run succeeded, 1 if not.`,
		Example: `  lab-layers logs 12
  lab-layers logs 12 unet
  lab-layers logs -f 13`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := runNumber(args[0])
			if err != nil {
				return err
			}
			layer := layers.Name("")
			if len(args) == 2 {
				layer = layers.Name(args[1])
			}
			shown := shownLogs{out: cmd.OutOrStdout(), json: output.json(), layer: layer}
			if follow || client.agentURL != "" {
				c, err := client.client(flags.dataDir)
				if err != nil {
					return err
				}
				if !follow {
					return shown.recorded(cmd.Context(), c, id)
				}
				f := follower{agent: c, errs: cmd.ErrOrStderr(), pause: time.Second, patience: time.Minute, silence: 30 * time.Second}
				return f.follow(cmd.Context(), shown, id)
			}
			store, closeStore, err := flags.open(cmd.Context())
			if err != nil {
				return err
			}
			defer closeStore()
			return shown.recorded(cmd.Context(), store, id)
		},
	}
	flags.add(cmd)
	client.add(cmd)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go along with the run until it ends")
	cmd.Flags().VarP(&output, "output", "o", "output format; json is a line for each layer, or with -f for each event")
	return cmd
}

func runNumber(text string) (agent.RunID, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, inputf("%q is not the number of a run: lab-layers runs lists them", text)
	}
	return agent.RunID(id), nil
}

// runRecords are the records of one run.
type runRecords interface {
	// Run returns one run; nil if there is none of that id.
	Run(context.Context, agent.RunID) (*agent.RunSummary, error)
	// Layers returns what became of each layer in a run that has ended.
	Layers(context.Context, agent.RunID) ([]agent.HistoryEntry, error)
	// Log returns the output of a layer's build; empty if there was none.
	Log(context.Context, agent.RunID, layers.Name) (string, error)
}

// shownLogs is how logs are shown.
type shownLogs struct {
	out   io.Writer
	json  bool
	layer layers.Name // empty is all
}

// layerLog is what is shown of a layer.
type layerLog struct {
	Run     agent.RunID           `json:"run"`
	Layer   layers.Name           `json:"layer"`
	State   pipeline.OutcomeState `json:"state"`
	Seconds float64               `json:"seconds"`
	Log     string                `json:"log"`
	Error   *agent.Failure        `json:"error,omitempty"`
}

// recorded shows the logs of a run that has ended.
func (s shownLogs) recorded(ctx context.Context, records runRecords, id agent.RunID) error {
	run, err := records.Run(ctx, id)
	if err != nil {
		return err
	}
	if run == nil {
		return inputf("there is no run %d: lab-layers runs lists them", id)
	}
	if !run.State.Final() {
		return inputf("run %d is %s, and its logs are recorded when it ends: lab-layers logs -f %d goes along with it", id, run.State, id)
	}
	entries, err := records.Layers(ctx, id)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		names = append(names, string(e.Layer))
		if s.layer != "" && e.Layer != s.layer {
			continue
		}
		log := layerLog{Run: id, Layer: e.Layer, State: e.State, Seconds: e.Seconds, Error: e.Error}
		if e.State != pipeline.Reused && e.State != pipeline.NotThere {
			if log.Log, err = records.Log(ctx, id, e.Layer); err != nil {
				return err
			}
		}
		if err := s.show(log); err != nil {
			return err
		}
	}
	switch {
	case s.layer != "":
		return s.among(id, names)
	case s.json:
		return nil
	}
	return s.end(run.Run)
}

// among makes sure that the layer that is asked for is one of a run's.
func (s shownLogs) among(id agent.RunID, names []string) error {
	if slices.Contains(names, string(s.layer)) {
		return nil
	}
	return inputf("run %d has no layer %s; it has: %s", id, s.layer, strings.Join(names, ", "))
}

func (s shownLogs) show(log layerLog) error {
	switch {
	case s.json:
		return printJSON(s.out, log)
	case s.layer != "" && log.Log == "" && log.Error == nil:
		_, err := fmt.Fprintf(s.out, "%s was %s in run %d\n", log.Layer, log.State, log.Run)
		return err
	}
	for line := range strings.Lines(printable(log.Log)) {
		if s.layer == "" {
			line = fmt.Sprintf("%-14s | %s", log.Layer, line)
		}
		if _, err := fmt.Fprintln(s.out, strings.TrimRight(line, "\r\n")); err != nil {
			return err
		}
	}
	if log.Error == nil {
		return nil
	}
	_, err := fmt.Fprintf(s.out, "%-14s %s: %s\n", log.Layer, log.State, printable(log.Error.Text))
	return err
}

// end says how a run ended.
func (s shownLogs) end(run agent.Run) error {
	reason := ""
	if run.Reason != "" {
		reason = ": " + printable(run.Reason)
	}
	_, err := fmt.Fprintf(s.out, "run %d %s%s\n", run.ID, run.State, reason)
	return err
}
