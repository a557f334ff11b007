package deploy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/lab-layers/lab-layers/layers"
)

// Settings are annotations of workloads that gates read. What is wrong with them is
// told when a workload is seen, not when its next release is due.
type Settings interface {
	// Keys are their names. One that ends in a dot has a container's name behind it.
	Keys() []string
	// Faults are what is wrong with those of a workload, each in one line. It is
	// given the template of its pods, and the containers that get images.
	Faults(annotations map[string]string, template *corev1.PodTemplateSpec, containers []string) []string
}

// keys are the annotations that are read here, and ours those that are written.
var (
	keys = []string{
		LayerAnnotation, TrackAnnotation, RepositoryAnnotation, DriftAnnotation, CanaryAnnotation, DeadlineAnnotation,
		PullAnnotation, PullTimeoutAnnotation, PullPolicyAnnotation,
	}
	ours = []string{commitAnnotation, digestAnnotation, runAnnotation, rolledAtAnnotation, strategyAnnotation}
)

// maxUnread bounds the annotations that are named since nothing reads them.
const maxUnread = 3

// settingFaults are what is wrong with what gates read of a workload's annotations,
// and those under our name that nothing reads.
func (w *workload) settingFaults(a *adoption, settings Settings) (faults []string) {
	v := vocabulary{keys: slices.Clone(keys), containers: slices.Sorted(maps.Keys(w.images())), adoption: a}
	if settings != nil {
		v.keys = append(v.keys, settings.Keys()...)
		faults = settings.Faults(w.annotations, w.template, w.managed(a).sorted())
	}
	for _, key := range []string{PullTimeoutAnnotation, PullPolicyAnnotation} {
		if w.has(key) && !w.has(PullAnnotation) {
			faults = append(faults, fmt.Sprintf("%s does nothing without %s", key, PullAnnotation))
		}
	}
	unread, unlike := 0, false
	for _, key := range slices.Sorted(maps.Keys(w.annotations)) {
		if !strings.HasPrefix(key, prefix) || slices.Contains(ours, key) || slices.Contains(v.keys, key) {
			continue
		}
		fault, listed := v.fault(key)
		if fault == "" {
			continue
		}
		unlike = unlike || !listed
		if unread++; unread <= maxUnread {
			faults = append(faults, fault)
		}
	}
	if unread > maxUnread {
		faults = append(faults, fmt.Sprintf("nor does anything read %d others", unread-maxUnread))
	}
	if unlike {
		faults = append(faults, fmt.Sprintf("below %s there are %s", prefix, strings.Join(v.names(), ", ")))
	}
	return faults
}

func (w *workload) has(annotation string) bool {
	_, ok := w.annotations[annotation]
	return ok
}

// vocabulary is what a workload's annotations may be called.
type vocabulary struct {
	keys       []string
	containers []string
	adoption   *adoption
}

// fault says why nothing reads an annotation; empty if something does. remedied is
// whether it says what to write instead.
func (v vocabulary) fault(key string) (text string, remedied bool) {
	var options []string
	for _, known := range v.keys {
		if !strings.HasSuffix(known, ".") {
			options = append(options, strings.TrimPrefix(known, prefix))
			continue
		}
		for _, container := range v.containers {
			options = append(options, strings.TrimPrefix(known, prefix)+container)
		}
		container, names := strings.CutPrefix(key, known)
		switch {
		case !names:
		case !slices.Contains(v.containers, container):
			nearest, near := layers.Nearest(container, v.containers)
			return fmt.Sprintf("%s: there is no container %s%s", key, container, meant(known+nearest, near, v.containers)), true
		case known != LayerAnnotation && v.adoption.layers[container] == "":
			return fmt.Sprintf("%s: the container gets no image; annotate %s%s, too", key, LayerAnnotation, container), true
		default:
			return "", true
		}
	}
	nearest, near := layers.Nearest(strings.TrimPrefix(key, prefix), options)
	if !near {
		return "nothing reads " + key, false
	}
	return fmt.Sprintf("nothing reads %s; did you mean %s?", key, prefix+nearest), true
}

// names are the keys without what they have in common.
func (v vocabulary) names() (all []string) {
	for _, key := range v.keys {
		name := strings.TrimPrefix(key, prefix)
		if strings.HasSuffix(name, ".") {
			name += "CONTAINER"
		}
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
