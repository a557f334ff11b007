// Package inventory says what an image holds: frameworks, CUDA, and the NVIDIA
// driver that it needs.
//
// Input is an image's configuration, its own blobs, and what was found in its
// parent; output is [pipeline.Metadata], in which every finding names the file
// or variable that showed it. Of a blob only the list of its files is read, and
// the one file in which dpkg keeps its packages. Nothing is run, unpacked or
// written, and where nothing showed a fact it is unknown, never assumed.
//
// Whether a node's driver will do is not decided here.
package inventory
