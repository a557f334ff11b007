package operator

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

// image is what a LabImage is to say of a layer at a ref. When its conditions came
// to be so is left open.
func image(ref deploy.RefState, built deploy.BuiltLayer, registry string) *api.LabImage {
	i := &api.LabImage{Spec: api.LabImageSpec{Repository: ref.Repository, Layer: string(built.Layer), Ref: printable(string(ref.Ref), 1024)}}
	i.Name = imageName(ref, built)
	s := &i.Status
	s.Building, s.Commit, s.Run, s.Key = ref.Open, string(ref.Commit), ref.Run, string(built.Key)
	s.Reason = printable(built.Reason, maxReason)
	if built.Image != "" {
		s.Image, s.Digest = registry+"/"+built.Image, string(built.Digest())
		s.SnapshotTime = new(metav1.NewTime(built.Recorded))
	}
	failed := built.Failed
	if ref.Problem != "" && ref.Told != ref.Run { // the run came to no layer
		failed, s.Reason = true, printable(ref.Problem, maxReason)
	}
	s.Short = short(s.Digest, s.Commit, s.Reason)
	fresh := built.Image != "" && built.Commit == ref.Commit
	set := func(kind string, is bool, yes, no, message string) {
		c := metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: no, Message: message, ObservedGeneration: 1}
		if is {
			c.Status, c.Reason = metav1.ConditionTrue, yes
		}
		s.Conditions = append(s.Conditions, c)
	}
	at := fmt.Sprintf("run %d on %s", ref.Run, ref.Commit.Short())
	set(api.Ready, fresh && !failed, "Current", stale(built, failed), s.Reason)
	set(api.Progressing, ref.Open, "RunOpen", "RunEnded", at)
	set(api.Degraded, failed && !ref.Open, "BuildFailed", "AsExpected", "")
	return i
}

// stale says why a layer has no image of its ref's newest commit.
func stale(built deploy.BuiltLayer, failed bool) string {
	switch {
	case failed:
		return "BuildFailed"
	case built.Image == "":
		return "NoImage"
	}
	return "Outdated"
}

// maxReason bounds a reason, in bytes.
const maxReason = 1024

// printable is a text of a repository as it may stand in a status: in one line,
// without control characters.
func printable(text string, limit int) string {
	line := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "�"), func(r rune) bool { return r <= ' ' || r >= 0x7f && r < 0xa0 }), " ")
	if len(line) > limit {
		line = strings.ToValidUTF8(line[:limit-len("…")], "") + "…"
	}
	return line
}

// imageName tells people what it is, and is of that layer at that ref alone.
func imageName(ref deploy.RefState, built deploy.BuiltLayer) string {
	hash := sha256.Sum256([]byte(ref.Repository + "\x00" + string(ref.Ref) + "\x00" + string(built.Layer)))
	short := strings.TrimPrefix(strings.TrimPrefix(string(ref.Ref), "refs/heads/"), "refs/tags/")
	repository := strings.TrimSuffix(path.Base(ref.Repository), ".git")
	return dashed(repository, 40) + "-" + dashed(string(built.Layer), 80) + "-" + dashed(short, 80) + "-" + hex.EncodeToString(hash[:5])
}

// dashed is a text as the name of an object may have it.
func dashed(text string, limit int) string {
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(text))
	safe = strings.Trim(safe[:min(len(safe), limit)], "-")
	if safe == "" {
		return "x"
	}
	return safe
}
