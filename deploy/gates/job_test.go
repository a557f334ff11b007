package gates

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/lab-layers/lab-layers/deploy"
)

var update = flag.Bool("update", false, "write the Jobs anew")

// The Job of a template that has all that a Job must not have.
func TestJob(t *testing.T) {
	c := fullCandidate(t)
	before := c.Template.DeepCopy()
	command := []string{"python", "-c", "import torch"}
	for name, gpu := range map[string]bool{"job.yaml": true, "job-without-gpu.yaml": false} {
		got, err := yaml.Marshal(jobFor(c, jobName(c, command), command, 15*time.Minute, gpu))
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile("testdata/"+name, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s: got\n%s", name, got)
		}
	}
	if !strings.EqualFold(before.String(), c.Template.String()) {
		t.Error("the environment's template was changed")
	}
}

// fullCandidate is an environment whose template has everything.
func fullCandidate(t *testing.T) deploy.Candidate {
	t.Helper()
	text, err := os.ReadFile("testdata/template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := candidate("")
	c.Template = &corev1.PodTemplateSpec{}
	if err := yaml.UnmarshalStrict(text, c.Template); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestJobName(t *testing.T) {
	seen := map[string]bool{}
	for _, environment := range []string{"a", "a.b.c", strings.Repeat("long-", 12) + "x", strings.Repeat("long-", 12) + "y"} {
		for _, command := range [][]string{{"a", "b"}, {"a b"}, {"a"}} {
			c := candidate("")
			c.Environment.Name = environment
			name := jobName(c, command)
			if len(validation.IsDNS1123Label(name)) > 0 || seen[name] {
				t.Errorf("%s: %q, seen %v", environment, name, seen[name])
			}
			seen[name] = true
		}
	}
}

func TestSmokeCommand(t *testing.T) {
	for _, test := range []struct {
		container   string
		annotations []string
		command     string
		timeout     time.Duration
		fault       string
	}{
		{"main", nil, "", 0, ""},
		{"main", []string{SmokeAnnotation, `["python","-c","import torch"]`}, "python|-c|import torch", defaultTimeout, ""},
		{"proxy", []string{SmokeAnnotation, `["python"]`}, "", 0, ""},
		{"proxy", []string{SmokeAnnotation + ".proxy", `["true"]`, TimeoutAnnotation, "90s"}, "true", 90 * time.Second, ""},
		{"main", []string{SmokeAnnotation, "python -c import"}, "", 0, `lab-layers.dev/smoke is "python -c import": write the command as ["python","-c","import torch"]`},
		{"main", []string{SmokeAnnotation, "[]"}, "", 0, `lab-layers.dev/smoke is "[]": write the command as ["python","-c","import torch"]`},
		{"main", []string{SmokeAnnotation, `["true"]`, TimeoutAnnotation, "soon"}, "", 0, `lab-layers.dev/smoke-timeout is "soon": write a time such as 15m, a day at the most`},
	} {
		c := candidate("", test.annotations...)
		c.Container = test.container
		command, timeout, err := smokeOf(c.Annotations, c.Template, c.Container)
		if test.fault != "" {
			if v := (&Smoke{}).Check(t.Context(), c, nil); v.Answer != deploy.Refuse || v.Reason != test.fault {
				t.Errorf("%v: %s: %s", test.annotations, v.Answer, v.Reason)
			}
			continue
		}
		if strings.Join(command, "|") != test.command || timeout != test.timeout || err != nil {
			t.Errorf("%s, %v: %v in %s, %v", test.container, test.annotations, command, timeout, err)
		}
	}
}
