package gates

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/calendar"
)

// Settings are the annotations that all gates here read.
type Settings struct{}

var _ deploy.Settings = Settings{}

// Keys are their names.
func (Settings) Keys() []string {
	return []string{
		WindowAnnotation, FreezeAnnotation, PolicyAnnotation, MemoryAnnotation, CapabilityAnnotation,
		IdleAnnotation, IdleLatestAnnotation, IdleUnknownAnnotation, SmokeAnnotation, smokeFor, TimeoutAnnotation,
	}
}

// Faults are what a gate would refuse whatever image comes, and what none would
// look at.
func (Settings) Faults(annotations map[string]string, template *corev1.PodTemplateSpec, containers []string) (faults []string) {
	has := func(key string) bool { _, ok := annotations[key]; return ok }
	add := func(err error) {
		if err != nil {
			faults = append(faults, strings.Split(err.Error(), "\n")...)
		}
	}
	_, err := calendar.Parse(annotations[WindowAnnotation], annotations[FreezeAnnotation])
	add(err)
	_, err = policyOf(annotations)
	add(err)
	_, err = leastOf(annotations)
	add(err)
	_, err = waitOf(annotations)
	add(err)
	for _, key := range []string{IdleLatestAnnotation, IdleUnknownAnnotation} {
		if has(key) && !has(IdleAnnotation) {
			faults = append(faults, fmt.Sprintf("%s does nothing without %s", key, IdleAnnotation))
		}
	}
	return append(faults, smokeFaults(annotations, template, containers)...)
}

func smokeFaults(annotations map[string]string, template *corev1.PodTemplateSpec, containers []string) (faults []string) {
	tested := false
	for _, container := range containers {
		command, _, err := smokeOf(annotations, template, container)
		tested = tested || command != nil
		if err != nil {
			faults = append(faults, err.Error())
			tested = true
		}
	}
	_, command := annotations[SmokeAnnotation]
	_, timeout := annotations[TimeoutAnnotation]
	first := ""
	if all := template.Spec.Containers; len(all) > 0 {
		first = all[0].Name
	}
	switch {
	case len(containers) == 0: // that is a fault by itself
	case command && !slices.Contains(containers, first):
		faults = append(faults, fmt.Sprintf("%s is for the first container, %s, which gets no image: take %sCONTAINER", SmokeAnnotation, first, smokeFor))
	case timeout && !tested:
		faults = append(faults, fmt.Sprintf("%s does nothing without %s", TimeoutAnnotation, SmokeAnnotation))
	}
	return slices.Compact(faults)
}
