package operator

import (
	"fmt"
	"strings"

	"github.com/lab-layers/lab-layers/deploy/operator/api"
	"github.com/lab-layers/lab-layers/layers"
)

// rowReason bounds a reason in a row of a table, in bytes.
const rowReason = 72

// short is what a row of a table has of a status. The digest may be whatever
// somebody wrote behind the @ of an image.
func short(digest, commit, reason string) api.Short {
	_, hex, _ := strings.Cut(digest, ":")
	return api.Short{Digest: fmt.Sprintf("%.12s", hex), Commit: layers.Commit(commit).Short(), Reason: printable(reason, rowReason)}
}
