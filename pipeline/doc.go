// Package pipeline makes the images of a plan.
//
// Input is a [layers.Plan]; output is a [Result] with one [Outcome] a layer.
// Builds go through a [Builder], look-ups and tags through a [Registry], and
// which manifest a key has is decided by a [Ledger]. It knows nothing of
// repositories, refs, runs or schedules.
package pipeline
