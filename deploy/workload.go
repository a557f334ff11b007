package deploy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/lab-layers/lab-layers/layers"
)

// Annotations on workloads. The first are read, the others written.
const (
	prefix = "lab-layers.dev/"
	// LayerAnnotation and a container's name tell which layer's image it gets.
	LayerAnnotation = prefix + "layer."
	// TrackAnnotation is what it follows: see [ParseTrack]; without it, that is
	// DefaultTrack.
	TrackAnnotation      = prefix + "track"
	RepositoryAnnotation = prefix + "repository"
	DriftAnnotation      = prefix + "drift"
	// CanaryAnnotation is "true" for the environment that gets a release first,
	// before the others on the same base, and "false" for one that does not wait.
	CanaryAnnotation = prefix + "canary"
	// DeadlineAnnotation is how long a rollout may make no progress, such as 10m.
	DeadlineAnnotation = prefix + "progress-deadline"

	commitAnnotation   = prefix + "commit"
	digestAnnotation   = prefix + "digest"
	runAnnotation      = prefix + "run"
	rolledAtAnnotation = prefix + "rolled-at"
	strategyAnnotation = prefix + "strategy-before"
)

// workload is what the four kinds have in common.
type workload struct {
	Environment
	uid         string
	created     time.Time
	generation  int64
	annotations map[string]string
	// owner is the kind of what made the workload; empty if nothing did.
	owner string
	// owned are the containers whose images we have set.
	owned map[string]bool
	// fields say who has set what, images alone.
	fields   []metav1.ManagedFieldsEntry
	template *corev1.PodTemplateSpec
	replicas int32
	strategy strategy
	paused   bool
	partial  bool // some pods are to stay as they are
	progress progress
	// deadline is how long it may make no progress; 0 is for ever.
	deadline time.Duration
}

// strategy is how a workload replaces its pods.
type strategy struct {
	rolling     bool // by itself, one part after another
	surge, down *intstr.IntOrString
	onDelete    bool // only where somebody deletes one
	surgePods   int  // how many pods more there may be meanwhile
	downPods    int  // how many fewer
}

// progress is what a workload's own controller says of its pods.
type progress struct {
	// seen is false until the controller has taken up the last change.
	seen     bool
	complete bool
	// failed is why the controller gave up; empty if it did not.
	failed string
	// trouble is what the controller met, and may pass.
	trouble string
	// line is how far it is.
	line string
	// available is how many pods can be used, whatever they run.
	available int32
}

func newWorkload(kind Kind, meta *metav1.ObjectMeta, template *corev1.PodTemplateSpec) *workload {
	owner := ""
	if by := metav1.GetControllerOf(meta); by != nil {
		owner = by.Kind
	}
	return &workload{
		Environment: Environment{meta.Namespace, kind, meta.Name}, owner: owner,
		uid: string(meta.UID), created: meta.CreationTimestamp.Time, generation: meta.Generation, annotations: meta.Annotations, template: template,
		replicas: 1, deadline: defaultDeadline, owned: owned(meta.ManagedFields), fields: meta.ManagedFields,
	}
}

// owned finds the containers whose images the field manager of images has set.
func owned(fields []metav1.ManagedFieldsEntry) map[string]bool {
	containers := map[string]bool{}
	for _, entry := range fields {
		if entry.Manager != imageManager || entry.FieldsV1 == nil {
			continue
		}
		for _, name := range containerKey.FindAllStringSubmatch(string(entry.FieldsV1.GetRawBytes()), -1) {
			containers[name[1]] = true
		}
	}
	return containers
}

// containerKey is how the fields name a container.
var containerKey = regexp.MustCompile(`k:\{\\"name\\":\\"([a-z0-9-]+)\\"\}`)

// setter names who last set a container's image, by the field manager, such as
// kubectl-edit; empty where nothing tells.
func (w *workload) setter(container string) string {
	var names []string
	for _, entry := range w.fields {
		var fields map[string]any
		if entry.Manager == imageManager || entry.FieldsV1 == nil || json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		if hasImage(fields, container) {
			names = append(names, named(entry.Manager))
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// hasImage reports whether fields, or those below them, have a container's image.
func hasImage(fields map[string]any, container string) bool {
	for key, value := range fields {
		below, _ := value.(map[string]any)
		if key == "f:containers" || key == "f:initContainers" {
			its, _ := below[`k:{"name":"`+container+`"}`].(map[string]any)
			if _, has := its["f:image"]; has {
				return true
			}
		} else if hasImage(below, container) {
			return true
		}
	}
	return false
}

// setsImages reports whether an entry has any image, so that it is kept.
func setsImages(entry metav1.ManagedFieldsEntry) bool {
	return entry.FieldsV1 != nil && bytes.Contains(entry.FieldsV1.GetRawBytes(), []byte(`"f:image":`))
}

// defaultDeadline is how long a rollout may make no progress where neither the
// workload nor an annotation says so: it is that of Deployments.
const defaultDeadline = 10 * time.Minute

// adoption is what a workload's annotations ask for.
type adoption struct {
	repository string // its name
	track      Track
	layers     map[string]layers.Name // by container
	correct    bool
	canary     string
	deadline   time.Duration // 0 if none is given
	pull       prePull
	// unsettled is what is wrong with how and when it is to be rolled: no release
	// begins then, but what is under way goes on, and a person's pin is given.
	unsettled error
}

// asks reports whether a workload's annotations ask for images, or are meant to.
func asks(annotations map[string]string) bool {
	for name := range annotations {
		below, ours := strings.CutPrefix(name, prefix)
		if ours && (name == TrackAnnotation || meansLayer(below)) {
			return true
		}
	}
	return false
}

// meansLayer reports whether an annotation is for a container's layer, if with a
// slip of the pen: without that one a workload would not be seen at all.
func meansLayer(name string) bool {
	const layer = "layer"
	if i := strings.IndexAny(name, ".-_"); i >= 0 {
		name = name[:i]
	}
	_, near := layers.Nearest(name, []string{layer})
	return name == layer || near
}

// adopted reads the annotations; nil if there are none. The error is every fault in
// them, where they do not even say what is to run.
func (w *workload) adopted(read Settings) (*adoption, error) {
	if !asks(w.annotations) {
		return nil, nil
	}
	a := &adoption{repository: w.annotations[RepositoryAnnotation], layers: map[string]layers.Name{}}
	var faults, settings []string
	for _, container := range w.images().sorted() {
		text := w.annotations[LayerAnnotation+container]
		if text == "" {
			continue
		}
		layer, err := layers.ParseName(text)
		if err != nil {
			faults = append(faults, fmt.Sprintf("%s%s: %v", LayerAnnotation, container, err))
		}
		a.layers[container] = layer
	}
	track, tracked := w.annotations[TrackAnnotation]
	if !tracked {
		track = DefaultTrack
	}
	var err error
	if a.track, err = ParseTrack(track); err != nil {
		faults = append(faults, err.Error())
	}
	switch policy := w.annotations[DriftAnnotation]; policy {
	case "", "report":
	case "correct":
		a.correct = true
	default:
		settings = append(settings, fmt.Sprintf("%s is %.40q: take report or correct", DriftAnnotation, policy))
	}
	switch a.canary = w.annotations[CanaryAnnotation]; a.canary {
	case "", "true", "false":
	default:
		settings = append(settings, fmt.Sprintf("%s is %.40q: take true or false", CanaryAnnotation, a.canary))
	}
	if text := w.annotations[DeadlineAnnotation]; text != "" {
		deadline, err := time.ParseDuration(text)
		if err != nil || deadline <= 0 {
			settings = append(settings, fmt.Sprintf("%s is %.40q: write a time such as 10m", DeadlineAnnotation, text))
			deadline = 0
		}
		a.deadline = deadline
	}
	pulls, wrong := parsePrePull(w.annotations)
	if settings = append(settings, wrong...); len(wrong) == 0 {
		a.pull = pulls
	}
	settings = append(settings, w.settingFaults(a, read)...)
	all := slices.Concat(faults, settings)
	if len(a.layers) == 0 && len(all) == 0 {
		all = append(all, fmt.Sprintf("no container has a layer: annotate %sCONTAINER: LAYER", LayerAnnotation))
	}
	if len(all) == 0 {
		return a, nil
	}
	fault := listFaults(all)
	if len(faults) > 0 || len(a.layers) == 0 {
		return a, fault
	}
	a.unsettled = fault
	return a, nil
}

// images are those of all its containers.
func (w *workload) images() Images {
	images := Images{}
	for _, c := range slices.Concat(w.template.Spec.InitContainers, w.template.Spec.Containers) {
		images[c.Name] = c.Image
	}
	return images
}

// managed are the images of the containers that have a layer.
func (w *workload) managed(a *adoption) Images {
	images := w.images()
	maps.DeleteFunc(images, func(container, _ string) bool { return a.layers[container] == "" })
	return images
}

// listed are the managed images by container, as they are recorded: what is there is
// kept from clean-up.
func (w *workload) listed(a *adoption) (all []Image) {
	now := w.managed(a)
	for _, container := range now.sorted() {
		all = append(all, Image{Container: container, Layer: a.layers[container], To: now[container]})
	}
	return all
}
