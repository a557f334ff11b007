package deploy

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lab-layers/lab-layers/layers"
)

// Listed is where an environment stands, as people are told.
type Listed struct {
	Standing
	// Pinned is nil unless a person keeps it at images.
	Pinned *Pin `json:"pinned,omitempty"`
	// Rollout is the last; nil if there was none.
	Rollout *Rollout `json:"rollout,omitempty"`
	// Changed is when it came to stand so.
	Changed time.Time `json:"changed"`
}

// Before is the pin that takes an environment back, given its rollouts with the
// newest first: out of one that did not end well to what was there before, else
// to the last healthy images that differ: those before the images' own rollout,
// where a person went back to them already. It is nil if there is nothing to go
// back to.
func Before(rollouts []Rollout) *Pin {
	if len(rollouts) == 0 {
		return nil
	}
	last := rollouts[0]
	pin := &Pin{Environment: last.Environment, Repository: last.Repository}
	if last.State != Healthy {
		pin.Images = last.lastGood()
	} else {
		before := rollouts[1:]
		if last.Pinned {
			own := func(r Rollout) bool { return !r.Pinned && r.State == Healthy && r.goal(to).same(last.goal(to)) }
			if i := slices.IndexFunc(rollouts, own); i >= 0 {
				before = rollouts[i+1:]
			}
		}
		for _, r := range before {
			if r.State == Healthy && !r.goal(to).same(last.goal(to)) {
				pin.Images = r.goal(to)
				break
			}
		}
		if pin.Images == nil {
			pin.Images = rollouts[len(rollouts)-1].goal(good)
		}
		if pin.Images.same(last.goal(to)) {
			return nil
		}
	}
	if pin.Images.missing() {
		return nil
	}
	for _, r := range rollouts {
		if r.goal(to).same(pin.Images) {
			pin.Ref, pin.Commit = r.Ref, r.Commit
			break
		}
	}
	return pin
}

// At is the pin that takes an environment to a commit's images, given by layer
// as paths below the registry's prefix. missing are the layers that the commit
// has no image of.
func At(s Standing, commit layers.Commit, images map[layers.Name]string) (pin *Pin, missing []string) {
	pin = &Pin{Environment: s.Environment, Repository: s.Repository, Commit: commit, Images: Images{}}
	lacks := map[string]bool{}
	for _, i := range s.Images {
		image, ok := images[i.Layer]
		if !ok {
			lacks[string(i.Layer)] = true
			continue
		}
		pin.Images[i.Container] = belowRegistry + image
	}
	return pin, slices.Sorted(maps.Keys(lacks))
}

// belowRegistry begins a reference that the registry's prefix goes before.
const belowRegistry = "/"

// full is a pinned reference as workloads have it.
func (e *Engine) full(image string) string {
	if strings.HasPrefix(image, belowRegistry) {
		return e.Registry + image
	}
	return image
}
