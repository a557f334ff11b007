// Package agent turns moves of refs into runs, and runs into final states.
//
// It is the orchestration alone: what a commit means is the layers package's,
// making images is the pipeline's, and repositories, records and time are
// handed in. A notification only wakes it; reading the refs decides.
package agent
