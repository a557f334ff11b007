package api

// Short is what a status tells as a row of a table has room for it, since columns
// of kubectl cannot shorten. The fields of the same names tell all.
type Short struct {
	// Digest and Commit are their first 12 characters of hex.
	// +optional
	Digest string `json:"digest,omitempty"`
	// +optional
	Commit string `json:"commit,omitempty"`
	// Reason is its beginning; it ends in "…" if there is more.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Nodes is such as "9/12".
	// +optional
	Nodes string `json:"nodes,omitempty"`
}
