package operator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
	"github.com/lab-layers/lab-layers/layers"
)

// images are the LabImages by ref and layer.
func (l *lab) images(ctx context.Context) (map[string]api.LabImage, error) {
	var list api.LabImageList
	err := l.client.List(ctx, &list, client.InNamespace(l.ns))
	all := map[string]api.LabImage{}
	for _, i := range list.Items {
		all[i.Spec.Ref+" "+i.Spec.Layer] = i
	}
	return all, err
}

// awaitImage waits until a LabImage is as is says.
func (l *lab) awaitImage(ref layers.Ref, layer layers.Name, is func(api.LabImage) bool) (found api.LabImage) {
	l.Helper()
	l.await(fmt.Sprintf("LabImage of %s at %s", layer, ref), func(ctx context.Context) error {
		all, err := l.images(ctx)
		if err != nil {
			return err
		}
		var ok bool
		if found, ok = all[string(ref)+" "+string(layer)]; !ok || !is(found) {
			return fmt.Errorf("there is %+v among %d", found, len(all))
		}
		return nil
	})
	return found
}

func TestMirror(t *testing.T) {
	l := newLab(t)
	const exam layers.Ref = "refs/heads/exam"
	one, two := clustertest.Runs.Digest(1), clustertest.Runs.Digest(2)
	first := l.Release(mainRef, map[layers.Name]string{"bert": one, "gpt": one})
	l.Release(exam, map[layers.Name]string{"bert": one})
	stop := l.operate()
	bert := l.awaitImage(mainRef, "bert", func(i api.LabImage) bool { return i.Status.Digest == one })
	s := bert.Status
	if s.Building || s.Image != registry+"/bert@"+one || s.Commit != string(first) || s.Key == "" || s.Run == 0 || s.SnapshotTime == nil ||
		s.Reason != "path: bert/train.py changed" || bert.Spec.Repository != labURL {
		t.Errorf("it is %+v", bert)
	}
	if got := condition(s.Conditions, api.Ready); got != "True Current" {
		t.Errorf("Ready is %s", got)
	}
	l.awaitImage(exam, "bert", func(i api.LabImage) bool { return i.Status.Digest == one })

	// It builds, and fails: the image of before stays told.
	run := l.Push(mainRef)
	building := l.awaitImage(mainRef, "bert", func(i api.LabImage) bool { return i.Status.Building })
	if got := condition(building.Status.Conditions, api.Progressing); got != "True RunOpen" || building.Status.Digest != one {
		t.Errorf("Progressing is %s of %+v", got, building.Status)
	}
	if got := condition(building.Status.Conditions, api.Ready); got != "False Outdated" {
		t.Errorf("Ready is %s", got)
	}
	l.Finish(run, map[layers.Name]string{"bert": "", "gpt": two})
	broken := l.awaitImage(mainRef, "bert", func(i api.LabImage) bool { return condition(i.Status.Conditions, api.Degraded) == "True BuildFailed" })
	if s := broken.Status; s.Building || s.Digest != one || !strings.Contains(s.Reason, "Dockerfile:3") || s.Commit != string(run.Move.New) {
		t.Errorf("what failed is %+v", s)
	}
	l.await("an event", func(ctx context.Context) error {
		got, err := l.eventsOf(ctx, &broken)
		if err == nil && !strings.Contains(got, "BuildFailed run") {
			err = fmt.Errorf("there are %q", got)
		}
		return err
	})
	gpt := l.awaitImage(mainRef, "gpt", func(i api.LabImage) bool { return i.Status.Digest == two })
	if got := condition(gpt.Status.Conditions, api.Ready); got != "True Current" {
		t.Errorf("its sibling is %s", got)
	}

	// Edits and deletions are undone.
	l.check(l.client.Delete(t.Context(), &gpt))
	edited := broken.DeepCopy()
	edited.Status.Digest = two
	l.check(l.client.Status().Update(t.Context(), edited))
	l.awaitImage(mainRef, "gpt", func(i api.LabImage) bool { return i.UID != gpt.UID && i.Status.Digest == two })
	l.awaitImage(mainRef, "bert", func(i api.LabImage) bool { return i.Status.Digest == one })
	edited.Spec.Layer = "gpt"
	if err := l.client.Update(t.Context(), edited); !apierrors.IsInvalid(err) && !apierrors.IsConflict(err) {
		t.Errorf("it becomes another's: %v", err)
	}

	// Nobody looks while a branch is deleted.
	stop()
	repository, err := l.store.Repository(t.Context(), labURL)
	l.check(err)
	_, err = l.store.Record(t.Context(), []agent.Move{{Repository: repository, URL: labURL, Ref: exam, Old: l.At[exam]}})
	l.check(err)
	l.operate()
	l.await("the LabImage of the deleted branch to go", func(ctx context.Context) error {
		all, err := l.images(ctx)
		if err == nil && len(all) != 2 {
			err = fmt.Errorf("there are %d", len(all))
		}
		return err
	})
}
