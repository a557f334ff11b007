// Package scaffold proposes a lab-layers.yaml for a repository that has none.
//
// Input is the tree of one commit. Output is a [Proposal]: the layers that the
// Dockerfiles seem to describe, each with the evidence for what was guessed
// and the doubts that a person should settle, and the same as commented YAML
// which the strict decoder of package layers accepts.
//
// The package reads Dockerfiles with BuildKit's own parser and shell lexer. It
// runs nothing, opens no connection, and never changes the repository. Files
// that only tell how images are built (compose files, bake files, Makefiles,
// lists of images) are evidence: what they do not say clearly is not used.
package scaffold
