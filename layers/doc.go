// Package layers is the domain: what a lab repository describes, and what a
// commit of it means.
//
// Input is the text of lab-layers.yaml, a Git tree behind the [Objects]
// interface, and descriptions of the images that come from outside. Output is
// a [Config], a [Plan] (every layer with its key and what to do about it) and
// the tags that a ref gives.
//
// The package is pure: it opens no connection, asks no clock, reads no
// environment and never logs. Everything it reads from a repository is treated
// as hostile and bounded.
package layers
