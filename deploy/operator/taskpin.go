package operator

import (
	"context"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
	"github.com/lab-layers/lab-layers/layers"
)

// pin chooses a task's image: what its track had when it was submitted, else the
// first that it gets. It tells why there is none yet.
func (r *tasks) pin(ctx context.Context, t *api.LabTask, is *api.LabTaskStatus) (standing, error) {
	layer := layers.Name(t.Spec.Layer)
	url, known := r.Repositories.URL(t.Spec.Repository)
	if !known {
		return standing{deploy.TaskWaiting, "UnknownRepository", fmt.Sprintf("the repository is %q: take %s", printable(t.Spec.Repository, 255), r.Repositories.Choices())}, nil
	}
	if t.Spec.Digest != "" {
		image, err := r.Records.LayerImage(ctx, url, layer, digest.Digest(t.Spec.Digest))
		if err != nil {
			return standing{}, err
		}
		if image == nil {
			return standing{deploy.TaskFailed, "UnknownDigest", fmt.Sprintf("the records have no image of %s with this digest", layer)}, nil
		}
		return r.take(t, is, image, "GivenDigest", ""), nil
	}
	track, err := deploy.ParseTrack(track(t))
	if err != nil {
		return standing{deploy.TaskFailed, "InvalidTrack", printable(err.Error(), maxReason)}, nil
	}
	refs, tags := track.Refs()
	// The API server's stamps are in whole seconds. What was released in the same
	// second counts as there: its run may be what the user waited for.
	submitted := t.CreationTimestamp.Truncate(time.Second)
	sub, err := r.Records.Submission(ctx, url, refs, tags, layer, submitted.Add(time.Second))
	if err != nil {
		return standing{}, err
	}
	if then := sub.At(track); then != nil && then.Image != "" {
		return r.take(t, is, then, "AtSubmission", ""), nil
	}
	if first := sub.First(track); first != nil {
		return r.take(t, is, first, "FirstImage", fmt.Sprintf("%s had no image of %s when the task was submitted; this is the first", printable(track.String(), 255), layer)), nil
	}
	meant, err := r.hints.meant(ctx, url, track, layer)
	return standing{deploy.TaskWaiting, "NoImage", fmt.Sprintf("%s has no image of %s yet: the first is waited for%s", printable(track.String(), 255), layer, meant)}, err
}

// take gives a task an image, for good.
func (r *tasks) take(t *api.LabTask, is *api.LabTaskStatus, i *deploy.LayerImage, code, message string) standing {
	if i.Lost {
		return standing{deploy.TaskWaiting, "ImageLost", fmt.Sprintf("the registry has lost its image %s: it is waited for", i.Digest())}
	}
	is.Image, is.Digest = r.Registry+"/"+i.Image, string(i.Digest())
	is.Ref, is.Commit, is.Run = printable(string(i.Ref), maxReason), string(i.Commit), i.Run
	meta.SetStatusCondition(&is.Conditions, metav1.Condition{
		Type: api.Pinned, Status: metav1.ConditionTrue, Reason: code, Message: message, ObservedGeneration: t.Generation,
	})
	return standing{deploy.TaskQueued, "Pending", "its Job is about to be made"}
}
