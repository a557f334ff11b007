package main

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
)

// class is a Deployment of two pods with a GPU each, which follows main.
func class(name, layer string) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{deploy.LayerAnnotation + "main": layer, deploy.TrackAnnotation: "main"}},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(2)),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "main", Image: "registry.example/" + layer + ":old",
					Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{clustertest.GPUResource: resource.MustParse("1")}},
				}}},
			},
		},
	}
}

// TestMergeIsForetold follows a branch's pushes to what its change says of the
// environments that a merge would roll. The second one changes no layer, and the
// merge would roll them all the same.
func TestMergeIsForetold(t *testing.T) {
	c := controlPlane.Get(t)
	l := newLab(t)
	ns := c.Namespace(t)
	for _, d := range []*appsv1.Deployment{class("jupyter", "yolov7"), class("other", "unet")} {
		_, err := c.Client.AppsV1().Deployments(ns).Create(t.Context(), d, metav1.CreateOptions{})
		l.check(err)
	}
	url, told := l.forgejo()
	flags := deployFlags{kubeconfig: c.Kubeconfig, namespaces: []string{ns}}
	outlook, err := flags.outlook(l.store, l.prefix, map[string]string{"": url + "/uni/lab.git"}, slog.New(slog.DiscardHandler))
	l.check(err)
	hear := l.herald(url, told, outlook)
	l.pushed()
	hear(2)
	want := fmt.Sprintf("Merging it into `main` touches 1 environment: 1 unknown.\n\n"+
		"| environment | layers | driver and GPU | rolls | why |\n| --- | --- | --- | --- | --- |\n"+
		"| `%s/jupyter (Deployment, 2 GPUs)` | `yolov7` | unknown | on merge | `yolov7: it is unknown which driver it needs; there is no node that it may run on` |\n", ns)
	for _, change := range []string{"experiments/yolov7/train.py", "README.md"} {
		l.replace(change, "\n", "\n# a change\n")
		if v := l.push("refs/heads/feature/x"); v.State != agent.Succeeded {
			t.Fatalf("the run %s: %s", v.State, v.Reason)
		}
		if text := fmt.Sprint(hear(3)["issues"].body["body"]); !strings.Contains(text, want) {
			t.Errorf("after %s the comment says\n%s\nwant\n%s", change, text, want)
		}
	}
}

// TestRemarks shows what gates had to say of a rollout while that is under way, and
// then where all is to be told.
func TestRemarks(t *testing.T) {
	rolled := deploy.Rollout{State: deploy.Healthy, Remark: "unet: it is unknown which driver it needs", Started: time.Unix(1, 0)}
	held, rolling := rolled, rolled
	held.State, held.Started = deploy.Held, time.Time{}
	rolling.State = deploy.Rolling
	said := "rolled though " + rolled.Remark
	for _, c := range []struct {
		rollout            *deploy.Rollout
		reason, want, wide string
	}{
		{&rolled, "", "", said},
		{&rolled, "1 of 2 available", "1 of 2 available", "1 of 2 available; " + said},
		{&held, "frozen", "frozen", "frozen"},
		{&rolling, "1 of 2 replaced", "1 of 2 replaced; " + said, "1 of 2 replaced; " + said},
		{&rolling, "", said, said},
		{nil, "", "", ""},
	} {
		e := deploy.Listed{Standing: deploy.Standing{Reason: c.reason}, Rollout: c.rollout}
		for wide, want := range map[bool]string{false: c.want, true: c.wide} {
			if row := environmentRow(e, wide); row[len(row)-1] != want {
				t.Errorf("%+v: %q, want %q", c.rollout, row[len(row)-1], want)
			}
		}
	}
	var b strings.Builder
	if err := (environmentTrace{Rollouts: []deploy.Rollout{rolled, held}}).print(&b, listFormat{}); err != nil || strings.Count(b.String(), "rolled though unet") != 1 {
		t.Errorf("it is traced as %s, %v", b.String(), err)
	}
}

// TestCaused tells why a rollout began, once, beside how it went.
func TestCaused(t *testing.T) {
	for want, r := range map[string]deploy.Rollout{
		"":                   {},
		"1 of 2 replaced":    {Reason: "1 of 2 replaced"},
		"resumed":            {Cause: "resumed", Reason: "resumed"},
		"corrects a":         {Cause: "corrects a"},
		"corrects a; frozen": {Cause: "corrects a", Reason: "frozen"},
	} {
		if got := caused(r); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
