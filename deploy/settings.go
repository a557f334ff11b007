package deploy

import (
	"errors"
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

// Set are the annotations of ours that were set for us to read, and not by us to tell.
func Set(annotations map[string]string) map[string]string {
	set := maps.Clone(annotations)
	maps.DeleteFunc(set, func(key, _ string) bool { return !strings.HasPrefix(key, prefix) || slices.Contains(ours, key) })
	return set
}

// maxUnread bounds the annotations that are named since nothing reads them.
const maxUnread = 3

// settingFaults are what is wrong with what gates read of a workload's annotations,
// and those under our name that nothing reads.
func (w *workload) settingFaults(a *adoption, settings Settings) (faults []string) {
	v := vocabulary{keys: slices.Clone(keys), containers: w.images(), adoption: a}
	if settings != nil {
		v.keys = append(v.keys, settings.Keys()...)
		faults = settings.Faults(w.annotations, w.template, w.managed(a).sorted())
	}
	for _, key := range []string{PullTimeoutAnnotation, PullPolicyAnnotation} {
		if w.has(key) && !w.has(PullAnnotation) {
			faults = append(faults, fmt.Sprintf("%s does nothing without %s", key, PullAnnotation))
		}
	}
	var unread []string
	for _, key := range slices.Sorted(maps.Keys(w.annotations)) {
		if strings.HasPrefix(key, prefix) && !slices.Contains(ours, key) && !v.reads(key) {
			unread = append(unread, key)
		}
	}
	unlike := false
	for _, key := range unread[:min(len(unread), maxUnread)] {
		fault, remedied := v.fault(key)
		faults, unlike = append(faults, fault), unlike || !remedied
	}
	if more := len(unread) - maxUnread; more > 0 {
		faults = append(faults, fmt.Sprintf("nor does anything read %d others", more))
	}
	if unlike {
		faults = append(faults, fmt.Sprintf("below %s there are %s", prefix, strings.Join(v.names(), ", ")))
	}
	return faults
}

// maxFaults bounds the faults of a workload that are told: their number, and by
// oneLine the length of each.
const maxFaults = 8

// listFaults puts faults into one line.
func listFaults(faults []string) error {
	var told []string
	faults = slices.Compact(faults)
	for _, fault := range faults[:min(len(faults), maxFaults)] {
		told = append(told, oneLine(fault))
	}
	if more := len(faults) - maxFaults; more > 0 {
		told = append(told, fmt.Sprintf("and %d more", more))
	}
	return errors.New(strings.Join(told, "; "))
}

func (w *workload) has(annotation string) bool {
	_, ok := w.annotations[annotation]
	return ok
}

// vocabulary is what a workload's annotations may be called.
type vocabulary struct {
	keys       []string
	containers Images
	adoption   *adoption
}

// reads reports whether something reads an annotation.
func (v vocabulary) reads(key string) bool {
	return slices.ContainsFunc(v.keys, func(known string) bool {
		container, names := strings.CutPrefix(key, known)
		if !strings.HasSuffix(known, ".") {
			return names && container == ""
		}
		_, there := v.containers[container]
		return names && there && (known == LayerAnnotation || v.adoption.layers[container] != "")
	})
}

// maxNear bounds the containers whose names a slip of the pen is compared with.
const maxNear = 100

// fault says why nothing reads an annotation. remedied is whether it says what to
// write instead.
func (v vocabulary) fault(key string) (text string, remedied bool) {
	containers := v.containers.sorted()
	containers = containers[:min(len(containers), maxNear)]
	var options []string
	for _, known := range v.keys {
		if !strings.HasSuffix(known, ".") {
			options = append(options, strings.TrimPrefix(known, prefix))
			continue
		}
		for _, container := range containers {
			options = append(options, strings.TrimPrefix(known, prefix)+container)
		}
		container, names := strings.CutPrefix(key, known)
		if !names {
			continue
		}
		if _, there := v.containers[container]; there {
			return fmt.Sprintf("%s: the container gets no image; annotate %s%s, too", key, LayerAnnotation, container), true
		}
		nearest, near := layers.Nearest(container, containers)
		return fmt.Sprintf("%s: there is no container %s%s", key, container, meant(known+nearest, near, containers)), true
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
