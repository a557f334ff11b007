// Package traces tells OpenTelemetry of runs: one trace a run, with its plan, the
// build of each layer, and its end.
//
// Input is what happens in the agent, by [agent.Progress]. A trace is made when
// its run ends, from times that were noted, so that spans cost a build nothing.
package traces
