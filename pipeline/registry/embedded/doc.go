// Package embedded is an OCI registry in the process, on disk.
//
// Input is a directory and an address to listen on; output is a host that
// docker, BuildKit and go-containerregistry can push to and pull from. It is
// the CNCF's distribution, used as a library with its file-system driver, so
// its directory can be served by a registry of one's own later. It listens on a
// loopback address in plain HTTP by default and asks nobody who they are: who
// needs more starts a registry and names it instead.
//
// Blobs that no manifest needs stay on disk until [Registry.Sweep].
package embedded
