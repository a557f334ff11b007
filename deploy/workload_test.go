package deploy

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestSetter finds who set an image, beside those who set anything else of that name.
func TestSetter(t *testing.T) {
	entry := func(manager, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	const main, other = `{"k:{\"name\":\"main\"}":{"f:image":{}}}`, `{"k:{\"name\":\"other\"}":{"f:image":{}}}`
	spec := func(list, of string) string {
		return `{"f:spec":{"f:template":{"f:spec":{"f:` + list + `":` + of + `}}}}`
	}
	edited := entry("kubectl-edit", spec("containers", main))
	for name, test := range map[string]struct {
		fields []metav1.ManagedFieldsEntry
		want   string
	}{
		"nobody":            {nil, ""},
		"somebody":          {[]metav1.ManagedFieldsEntry{entry("helm", spec("containers", other)), edited}, "kubectl-edit"},
		"of a job":          {[]metav1.ManagedFieldsEntry{entry("kubectl-set", `{"f:spec":{"f:jobTemplate":`+spec("containers", main)+`}}`)}, "kubectl-set"},
		"of an init":        {[]metav1.ManagedFieldsEntry{entry("kubectl-set", spec("initContainers", main))}, "kubectl-set"},
		"a volume":          {[]metav1.ManagedFieldsEntry{entry("helm", spec("volumes", main))}, ""},
		"two":               {[]metav1.ManagedFieldsEntry{edited, entry("argocd-controller", spec("containers", main)), edited}, "argocd-controller, kubectl-edit"},
		"what is no object": {[]metav1.ManagedFieldsEntry{entry("helm", `[`), entry("helm", `{"f:spec":1}`)}, ""},
	} {
		if got := (&workload{fields: test.fields}).setter("main"); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
