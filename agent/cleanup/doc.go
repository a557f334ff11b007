// Package cleanup removes from the registry what nothing refers to any more.
//
// Input are the records of what was made and the tags that the registry has;
// output is a list of deletions, each with its reason, and that they are done.
// What is to go is decided by [Decide], which is pure. The package knows nothing
// of how registries store blobs.
package cleanup
