package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	apiwatch "k8s.io/apimachinery/pkg/watch"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/deploy/gates"
	"github.com/lab-layers/lab-layers/layers"
)

// TestPushReachesPod follows a git push to a container that runs what was
// pushed: BuildKit builds it, the embedded registry has it, a real kubelet pulls it
// by its digest beforehand, and runs it when the engine rolls the Deployment.
func TestPushReachesPod(t *testing.T) {
	c := controlPlane.Get(t)
	l := newLab(t)
	image := func(v agent.Verdict, layer layers.Name) string {
		t.Helper()
		for _, out := range v.Outcomes {
			if out.Layer == layer {
				return l.prefix + "/" + string(layer) + "@" + out.Image.Digest.String()
			}
		}
		t.Fatalf("the run has no %s: %+v", layer, v)
		return ""
	}
	l.replace("images/base/Dockerfile", `CMD ["sh"]`, `CMD ["sleep", "2147483647"]`)
	l.write("experiments/unet/hparams.json", `{"seed": 1}`)
	first := l.pushed()
	k := clustertest.Kubelet{Name: "real", Sandbox: image(first, "base"), Reach: []string{shared.parts.Registry}}
	c.StartKubelet(t, &k)
	ns := c.Namespace(t)
	pods := map[string]string{"app": "unet"}
	_, err := c.Client.AppsV1().Deployments(ns).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "unet", Annotations: map[string]string{deploy.LayerAnnotation + "main": "unet", deploy.TrackAnnotation: "main", deploy.PullAnnotation: "1"}},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: pods},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: pods},
				Spec: corev1.PodSpec{
					NodeName:                      k.Name,
					TerminationGracePeriodSeconds: new(int64(0)),
					Containers: []corev1.Container{{
						Name: "main", Image: "registry.example/unet:old",
						Command:        []string{"httpd", "-f", "-p", "80", "-h", "/lab"},
						ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/hparams.json", Port: intstr.FromInt32(80)}}},
					}},
				},
			},
		},
	}, metav1.CreateOptions{})
	l.check(err)
	engine := &deploy.Engine{
		Client: c.Client, Store: l.store, Repositories: map[string]string{"lab": l.remote}, Registry: l.prefix,
		Namespaces: []string{ns}, Settings: gates.Settings{}, Now: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	pulls, err := c.Client.CoreV1().Pods(ns).Watch(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=pre-pull"})
	l.check(err)
	defer pulls.Stop()
	stop := keep(engine.Serve)
	defer stop(context.Background())

	client := http.Client{Transport: &http.Transport{DialContext: k.Dial, DisableKeepAlives: true}}
	// serves waits until one pod runs an image and answers with a text.
	serves := func(want, text string) {
		t.Helper()
		clustertest.Await(t, "a pod of "+want, func(ctx context.Context) error {
			list, err := c.Client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
			if err != nil {
				return err
			}
			for _, p := range list.Items {
				if s := p.Status.ContainerStatuses; p.DeletionTimestamp == nil && len(s) == 1 && s[0].Ready && s[0].ImageID == want {
					return answers(ctx, &client, p.Status.PodIP, text)
				}
			}
			return fmt.Errorf("none of %d pods is ready with it", len(list.Items))
		})
	}
	serves(image(first, "unet"), `{"seed": 1}`)
	wasPulled(t, pulls, image(first, "unet"))

	l.write("experiments/unet/hparams.json", `{"seed": 2}`)
	second := l.pushed()
	serves(image(second, "unet"), `{"seed": 2}`)
	wasPulled(t, pulls, image(second, "unet"))
}

// wasPulled follows a pod that pulls an image until it is gone, and fails unless the
// node had the image by then and ran nothing of it.
func wasPulled(t *testing.T, pods apiwatch.Interface, image string) {
	t.Helper()
	var last corev1.ContainerStatus
	late := time.After(time.Minute)
	for {
		select {
		case event := <-pods.ResultChan():
			pod, ok := event.Object.(*corev1.Pod)
			if !ok {
				t.Fatalf("the watch ended: %+v", event)
			}
			if s := pod.Status.ContainerStatuses; len(s) == 1 && pod.Spec.Containers[0].Image == image {
				last = s[0]
			}
			if event.Type != apiwatch.Deleted {
				continue
			}
		case <-late:
			t.Errorf("no pod that pulled %s went", image)
		}
		if end := last.State.Terminated; end == nil || end.Reason != "StartError" || last.ImageID != image {
			t.Errorf("the pod that pulled %s was last %+v", image, last)
		}
		return
	}
}

// answers fails unless a pod serves a text.
func answers(ctx context.Context, client *http.Client, ip, text string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(ip, "80")+"/hparams.json", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if got := strings.TrimSpace(string(body)); err == nil && got != text {
		err = fmt.Errorf("it serves %q", got)
	}
	return err
}
