package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/deploy/gates"
)

// controlPlane is the cluster that tests of rollouts share.
var controlPlane clustertest.Shared

// TestRollout follows a push to the pods of a Deployment that somebody made, and
// takes it back there, by the commands alone.
func TestRollout(t *testing.T) {
	c := controlPlane.Get(t)
	l := newLab(t)
	ns := c.Namespace(t)
	c.AddNode(t, clustertest.Node{Name: "class"})
	_, err := c.Client.AppsV1().Deployments(ns).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "unet", Annotations: map[string]string{deploy.LayerAnnotation + "main": "unet", deploy.TrackAnnotation: "main"}},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(2)),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "unet"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "unet"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "registry.example/unet:old"}}},
			},
		},
	}, metav1.CreateOptions{})
	l.check(err)
	m := newManaged(l)
	p := m.replica("a")
	told := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var event struct {
			Type string
			Data struct{ Commit, State string }
		}
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
			t.Errorf("an event: %v", err)
		}
		if kind, ok := strings.CutPrefix(event.Type, "dev.lab-layers.rollout."); ok {
			told <- kind + " " + event.Data.Commit + " " + event.Data.State
		}
	}))
	t.Cleanup(hook.Close)
	p.args = append(p.args, "--kubeconfig", c.Kubeconfig, "--namespaces", ns, "--notify", hook.URL)
	agent := p.start()
	name := ns + "/unet"
	command := func(args ...string) string {
		t.Helper()
		return l.command("", p.binary, append(args, "--database-url", m.database)...)
	}
	standing := func() (e deploy.Listed) {
		t.Helper()
		l.check(json.Unmarshal([]byte(command("environments", "-n", ns, "-o", "json")), &e))
		return e
	}
	image := func() string {
		t.Helper()
		d, err := c.Client.AppsV1().Deployments(ns).Get(t.Context(), "unet", metav1.GetOptions{})
		l.check(err)
		return d.Spec.Template.Spec.Containers[0].Image
	}
	agent.await(`msg="rollout is healthy"`)
	first, pushed := image(), l.head()
	if !strings.HasPrefix(first, m.registry+"/unet@sha256:") || standing().Commit != pushed {
		t.Errorf("it has %s at %s", first, standing().Commit)
	}
	want, late := "finished "+string(pushed)+" healthy", time.After(lineLimit)
	for got := ""; got != want; {
		select {
		case got = <-told:
		case <-late:
			t.Fatalf("%s is not told", want)
		}
	}
	found, err := readStarted(p.data)
	l.check(err)
	token, err := readToken(filepath.Join(p.data, ownTokenFile))
	l.check(err)
	for path, wants := range map[string][]string{
		"/readyz": {`"ready":true`, `"cluster":{"ok":true}`},
		"/metrics": {
			"lab_layers_cluster_reachable 1\n", "lab_layers_cluster_deploys 1\n", "lab_layers_cluster_watches_in_step_timestamp_seconds 1.",
			`lab_layers_rollouts_total{state="healthy"} 1`, `lab_layers_environments{state="healthy"} 1`, `lab_layers_rollout_ready_seconds_count{kind="Deployment"} 1`,
			`lab_layers_rollouts_held_total{gate="idle",passes="false"} 0`,
		},
	} {
		clustertest.Await(t, path, func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, found.Agent+path, nil)
			if err != nil {
				return err
			}
			req.Header.Set("Authorization", "Bearer "+token)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			for _, want := range wants {
				if !strings.Contains(string(text), want) {
					return fmt.Errorf("%s has no %s: %v", text, want, err)
				}
			}
			return err
		})
	}

	l.replace("experiments/unet/hparams.json", "{", "{ ")
	l.git("commit", "-qam", "unet: a change")
	planned := func(args ...string) string {
		t.Helper()
		return l.command("", p.binary, append([]string{"plan", "--repo", l.dir, "--kubeconfig", c.Kubeconfig, "--namespaces", ns}, args...)...)
	}
	const heading = "ENVIRONMENT      KIND        GPUS  LAYERS  DRIVER AND GPU  ROLLS     WHY"
	if said := planned(); !strings.Contains(said, "\nmerging it into main touches 1 environment\n"+heading) || !strings.Contains(said, "/unet  Deployment        unet    not built yet   on merge") || !strings.Contains(said, "\nno records were looked at") {
		t.Errorf("plan says %s", said)
	}
	if said := planned("--into", "exam"); !strings.HasSuffix(said, "\nmerging it into exam touches no environment") {
		t.Errorf("plan says %s", said)
	}
	l.git("push", "-q", "origin", "HEAD:refs/heads/feature/x")
	agent.await(`msg="run ended".*ref=refs/heads/feature/x`)
	var merge plannedMerge
	l.check(json.Unmarshal([]byte(planned("-o", "json", "--database-url", m.database)), &merge))
	if e := merge.Environments; !merge.Records || merge.To != l.head() || merge.Into != "refs/heads/main" || len(e) != 1 || e[0].Environment.Name != "unet" || e[0].Verdict != deploy.Allow {
		t.Errorf("the plan is %+v", merge)
	}
	l.git("push", "-q", "origin", "HEAD:refs/heads/main")
	agent.await(`msg="rollout is healthy".*commit=` + l.head().Short())
	second := image()
	if second == first || standing().Commit != l.head() {
		t.Errorf("it has %s at %s", second, standing().Commit)
	}
	for _, run := range p.recorded() {
		if run.Move.New == l.head() {
			t.Logf("from the recorded snapshot to the patched workload: %v", standing().Rollout.Started.Sub(run.Finished))
		}
	}

	if said := command("rollback", name); !strings.Contains(said, "is pinned to commit "+pushed.Short()) {
		t.Errorf("rollback says %q", said)
	}
	agent.await(`msg="rollout is healthy"`)
	if e := standing(); image() != first || e.Pinned == nil || e.Commit != pushed {
		t.Errorf("it was taken back to %s: %+v", image(), e)
	}
	t.Setenv("LAB_LAYERS_DATABASE_URL", m.database)
	if said := planned(); !strings.Contains(said, "  ok              pinned by ") || strings.Contains(said, "no records") {
		t.Errorf("plan says %s", said)
	}
	if said := command("trace", name); !strings.Contains(said, "framework") || !strings.Contains(said, "its rollouts") || !strings.Contains(said, string(pushed)) {
		t.Errorf("trace says %s", said)
	}
	command("resume", name)
	agent.await(`msg="rollout is healthy"`)
	if e := standing(); image() != second || e.Pinned != nil || e.Commit != l.head() {
		t.Errorf("it was resumed to %s: %+v", image(), e)
	}
	if said := command("resume", name); said != ns+"/deployment/unet follows main already: nothing was to be resumed" {
		t.Errorf("resume says %q", said)
	}
	// Past a freeze.
	_, err = c.Client.AppsV1().Deployments(ns).Patch(t.Context(), "unet", types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"0 * * * * for 1h"}}}`, gates.FreezeAnnotation), metav1.PatchOptions{})
	l.check(err)
	l.replace("experiments/unet/hparams.json", "{ ", "{  ")
	l.git("commit", "-qam", "unet: another change")
	l.git("push", "-q", "origin", "HEAD:refs/heads/main")
	clustertest.Await(t, "the freeze to hold it", func(context.Context) error {
		if e := standing(); e.State != deploy.Held || image() != second {
			return fmt.Errorf("it has %s: %+v", image(), e)
		}
		return nil
	})
	if said := command("resume", name); !strings.Contains(said, "goes past its calendar gate: ") {
		t.Errorf("resume says %q", said)
	}
	agent.await(`msg="rollout is healthy".*commit=` + l.head().Short())
	if image() == second || standing().Commit != l.head() {
		t.Errorf("it has %s at %s", image(), standing().Commit)
	}
	command("rollback", "--snapshot", string(pushed[:12]))
	agent.await(`msg="rollout is healthy"`)
	if image() != first {
		t.Errorf("the snapshot has %s, not %s", image(), first)
	}
	clustertest.Await(t, "all pods to run it", func(ctx context.Context) error {
		pods, err := c.Client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, pod := range pods.Items {
			if pod.DeletionTimestamp == nil && pod.Spec.Containers[0].Image != first {
				return fmt.Errorf("%s runs %s", pod.Name, pod.Spec.Containers[0].Image)
			}
		}
		return nil
	})
	if err := agent.stop(); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	// Nobody deploys any more.
	for _, c := range []struct{ args, want string }{
		{"environments -o json", "this is what was recorded last (the newest at 2"},
		{"resume " + name, notYet},
		{"rollback " + name, notYet},
	} {
		var out, errs bytes.Buffer
		root := newRoot(&out, &errs)
		root.SetArgs(append(strings.Fields(c.args), "--database-url", m.database))
		l.check(root.ExecuteContext(t.Context()))
		if said := errs.String(); !strings.HasPrefix(said, "nobody deploys on this database at present: "+c.want) || strings.Count(said, "\n") != 1 {
			t.Errorf("%s says %q", c.args, said)
		}
		if c.args == "environments -o json" && !json.Valid(out.Bytes()) {
			t.Errorf("it prints %s", out.String())
		}
	}
}
