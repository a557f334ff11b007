package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
)

// Outlook says which environments of a cluster a merge would roll, and what
// speaks against that. It changes nothing. Its fields are set once.
type Outlook struct {
	Client kubernetes.Interface
	// Repositories as an [Engine] has them; nil takes every environment, whatever
	// repository its annotations name.
	Repositories Repositories
	// Registry is HOST/PREFIX as nodes reach it.
	Registry string
	// Namespaces to look at; none is all.
	Namespaces []string
	// Times says when a rollout may begin, and Fit whether an image runs on nodes.
	Times, Fit Gate
	// Idle says when a workload with annotations rolls that waits until nobody
	// computes; empty if it does not. nil is never.
	Idle func(annotations map[string]string) string
	// Settings are what gates read of annotations; nil is nothing.
	Settings Settings
	// Records say where environments stand; nil if there are none at hand.
	Records interface {
		Environments(context.Context) ([]Listed, error)
	}
	Now func() time.Time

	mu    sync.Mutex
	fault error
	again time.Time
}

const (
	// outlookLimit is how long a cluster has to tell what there is.
	outlookLimit = 5 * time.Second
	// silence is for how long one is not asked again that did not.
	silence = time.Minute
)

// Touched returns the environments that a merge would roll, the gravest verdicts
// first. It takes some seconds at the most, and after an error fails at once for
// a minute. The error is the API server's where it refuses to tell of any.
func (o *Outlook) Touched(ctx context.Context, m Merge) ([]Touched, error) {
	if len(m.Images) == 0 {
		return nil, nil
	}
	o.mu.Lock()
	fault, again := o.fault, o.again
	o.mu.Unlock()
	if fault != nil && o.Now().Before(again) {
		return nil, fault
	}
	limited, cancel := context.WithTimeout(ctx, outlookLimit)
	defer cancel()
	touched, err := o.touched(limited, m)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(limited.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("the cluster did not answer within %v", outlookLimit)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fault, o.again = err, o.Now().Add(silence)
	return touched, err
}

func (o *Outlook) touched(ctx context.Context, m Merge) ([]Touched, error) {
	found, err := survey(ctx, o.Client, o.Namespaces)
	if err != nil {
		return nil, fmt.Errorf("ask the cluster: %w", refusal{err})
	}
	standings := map[Environment]Listed{}
	if o.Records != nil {
		listed, err := o.Records.Environments(ctx)
		if err != nil {
			return nil, err
		}
		for _, l := range listed {
			standings[l.Environment] = l
		}
	}
	var all []Touched
	for _, w := range found.workloads {
		a, fault := w.adopted(o.Settings)
		if a == nil || a.track.ref != m.Into || !o.follows(a, m.Repository) {
			continue
		}
		images := o.images(w, a, m)
		if len(images) == 0 {
			continue
		}
		t := o.look(ctx, w, a, images, found)
		if fault = cmp.Or(fault, a.unsettled); fault != nil {
			t.Waits, t.From = "faulty: "+oneLine(fault.Error()), time.Time{}
		} else if listed, ok := standings[w.Environment]; ok && listed.UID == w.uid {
			t.kept(listed)
		}
		all = append(all, t)
	}
	gravest(all)
	return all, nil
}

func (o *Outlook) follows(a *adoption, url string) bool {
	if o.Repositories == nil {
		return true
	}
	followed, known := o.Repositories.URL(a.repository)
	return known && followed == url
}

// images are those that a merge would give to a workload's containers: full
// references, or empty while they are not built.
func (o *Outlook) images(w *workload, a *adoption, m Merge) Images {
	images := Images{}
	for container, now := range w.managed(a) {
		path, changes := m.Images[a.layers[container]]
		switch full := o.Registry + "/" + path; {
		case !changes, path != "" && sameImage(full, now):
		case path == "":
			images[container] = ""
		default:
			images[container] = full
		}
	}
	return images
}

// look says what becomes of a workload that is to get images.
func (o *Outlook) look(ctx context.Context, w *workload, a *adoption, images Images, found surveyed) Touched {
	t := Touched{Environment: w.Environment, Owner: w.owner, Repository: a.repository, GPUs: w.gpus()}
	eligible := w.eligible(found.nodes)
	for _, container := range images.sorted() {
		layer := a.layers[container]
		t.Layers = append(t.Layers, layer)
		c := w.candidate(container, layer, images[container])
		c.Barred, c.Unseen = others(found.nodes, eligible), found.unseen
		if at := o.Times.Check(ctx, c, eligible); at.Answer == Refuse {
			t.Waits, t.From = oneLine(at.Reason), at.Until
		}
		if c.Image == "" {
			continue
		}
		v := o.Fit.Check(ctx, c, eligible)
		if v.Answer == Refuse && !v.Until.IsZero() {
			v.Answer = Unknown // it could not find out
		}
		t.judged(v)
	}
	if o.Idle != nil {
		t.Idle = oneLine(o.Idle(w.annotations))
	}
	if w.paused {
		t.Waits, t.From = "the workload is paused", time.Time{}
	}
	slices.Sort(t.Layers)
	t.Layers = slices.Compact(t.Layers)
	return t
}

// kept says what keeps an environment where it is until a person acts.
func (t *Touched) kept(l Listed) {
	switch {
	case l.Pinned != nil:
		t.Waits, t.From = oneLine("pinned by "+l.Pinned.By), time.Time{}
	case l.State == Drifted:
		t.Waits, t.From = "somebody set its image by hand", time.Time{}
	}
}
