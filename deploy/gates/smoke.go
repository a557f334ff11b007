package gates

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/lab-layers/lab-layers/deploy"
)

// Smoke has a command of the environment succeed in the new image first, in a
// Job beside it.
type Smoke struct {
	Client kubernetes.Interface
	// Parallel is how many tests run at once.
	Parallel int
	Now      func() time.Time

	mu sync.Mutex
	// running are the tests that were begun, and when each is over at the latest.
	running map[string]time.Time
	// ended are the verdicts of the tests that have ended. Their Jobs go.
	ended map[string]deploy.Verdict
}

var _ deploy.Gate = (*Smoke)(nil)

const (
	// lookAgain is when a test that runs is looked at again.
	lookAgain = 3 * time.Second
	// placeLimit is how long a test waits for a node before it does without a GPU:
	// where the environment itself has all of them none comes free for it.
	placeLimit = 45 * time.Second
	// defaultTimeout is how long a test may take, pulling the image included.
	defaultTimeout = 15 * time.Minute
	// maxEnded bounds the verdicts that are remembered.
	maxEnded = 10_000
)

// Check refuses until the command has succeeded, once for each image. A
// candidate without a command passes.
func (g *Smoke) Check(ctx context.Context, c deploy.Candidate, nodes []*corev1.Node) deploy.Verdict {
	command, timeout, err := smokeOf(c)
	if err != nil {
		return refuse("%v", err)
	}
	if command == nil {
		return deploy.Verdict{Answer: deploy.Allow}
	}
	name := jobName(c, command)
	key := c.Environment.Namespace + "/" + name
	if verdict, ok := g.known(key, timeout); ok {
		return verdict
	}
	verdict, ended, err := g.test(ctx, c, name, command, timeout)
	switch {
	case err != nil:
		verdict = refuse("cannot run the smoke test: %v", err)
		verdict.Until = g.Now().Add(retryIn)
	case ended:
		g.end(key, verdict)
	default:
		verdict.Until = g.Now().Add(lookAgain)
	}
	return verdict
}

// known is the verdict on a test that has ended, or that has to wait for others
// to end. Otherwise the test is counted among those that run.
func (g *Smoke) known(key string, timeout time.Duration) (v deploy.Verdict, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if v, ok := g.ended[key]; ok {
		return v, true
	}
	now := g.Now()
	maps.DeleteFunc(g.running, func(_ string, over time.Time) bool { return over.Before(now) })
	if _, ok := g.running[key]; !ok && len(g.running) >= g.Parallel {
		v = refuse("the smoke test waits for others: %d run at once", g.Parallel)
		v.Until = now.Add(lookAgain)
		return v, true
	}
	if g.running == nil {
		g.running = map[string]time.Time{}
	}
	g.running[key] = now.Add(2 * timeout) // once with a GPU, and once without
	return v, false
}

func (g *Smoke) end(key string, v deploy.Verdict) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, key)
	if g.ended == nil || len(g.ended) >= maxEnded {
		g.ended = map[string]deploy.Verdict{}
	}
	g.ended[key] = v
}

// test takes the test one step on.
func (g *Smoke) test(ctx context.Context, c deploy.Candidate, name string, command []string, timeout time.Duration) (v deploy.Verdict, ended bool, err error) {
	jobs := g.Client.BatchV1().Jobs(c.Environment.Namespace)
	job, err := jobs.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		job, err = jobs.Create(ctx, jobFor(c, name, command, timeout, true), metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			job, err = jobs.Get(ctx, name, metav1.GetOptions{})
		}
	}
	if err != nil {
		return v, false, err
	}
	if job.DeletionTimestamp != nil {
		return refuse("the smoke test starts anew, without a GPU"), false, nil
	}
	for _, condition := range job.Status.Conditions {
		if condition.Status != corev1.ConditionTrue {
			continue
		}
		switch condition.Type {
		case batchv1.JobComplete:
			return deploy.Verdict{Answer: deploy.Allow, Reason: "the smoke test passed"}, true, nil
		case batchv1.JobFailed:
			why, err := g.why(ctx, job, condition.Message)
			return refuse("smoke test failed: %s", why), err == nil, err
		}
	}
	age := g.Now().Sub(job.CreationTimestamp.Time)
	if age > placeLimit && takesGPU(job) {
		if why, waits, err := g.unplaced(ctx, job); err != nil || waits {
			if err == nil {
				err = g.withoutGPU(ctx, c, job, command, timeout)
			}
			return refuse("the smoke test gets no GPU (%s): it starts anew without one", why), false, err
		}
	}
	return refuse("the smoke test runs: %s", strings.Join(command, " ")), false, nil
}

// withoutGPU puts a test in the place of one that gets no GPU.
func (g *Smoke) withoutGPU(ctx context.Context, c deploy.Candidate, job *batchv1.Job, command []string, timeout time.Duration) error {
	jobs := g.Client.BatchV1().Jobs(job.Namespace)
	now := metav1.DeletePropagationBackground
	err := jobs.Delete(ctx, job.Name, metav1.DeleteOptions{PropagationPolicy: &now, Preconditions: &metav1.Preconditions{UID: &job.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	_, err = jobs.Create(ctx, jobFor(c, job.Name, command, timeout, false), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil // it goes, and the next look makes the other
	}
	return err
}

func (g *Smoke) pods(ctx context.Context, job *batchv1.Job) ([]corev1.Pod, error) {
	list, err := g.Client.CoreV1().Pods(job.Namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job.Name})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return !metav1.IsControlledBy(&p, job) }), nil
}

// unplaced reports whether a test's pod waits for a node.
func (g *Smoke) unplaced(ctx context.Context, job *batchv1.Job) (why string, waits bool, err error) {
	pods, err := g.pods(ctx, job)
	if err != nil {
		return "", false, err
	}
	for _, p := range pods {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
				return c.Message, true, nil
			}
		}
	}
	return "", false, nil
}

// why is what went wrong in a test that failed, by its pod.
func (g *Smoke) why(ctx context.Context, job *batchv1.Job, otherwise string) (string, error) {
	pods, err := g.pods(ctx, job)
	if err != nil {
		return "", err
	}
	for _, p := range pods {
		for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			switch {
			case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
				return fmt.Sprintf("exit code %d: %s", s.State.Terminated.ExitCode, lastLine(s.State.Terminated.Message, s.State.Terminated.Reason)), nil
			case s.State.Waiting != nil && s.State.Waiting.Message != "":
				return fmt.Sprintf("%s: %s", s.State.Waiting.Reason, s.State.Waiting.Message), nil
			}
		}
		if p.Status.Message != "" {
			return p.Status.Message, nil
		}
	}
	return otherwise, nil
}

// lastLine is the last of a text that says something: of a traceback the error.
func lastLine(text, otherwise string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return last
	}
	return otherwise
}

// smokeOf is the command for a candidate's container; nil if there is none.
func smokeOf(c deploy.Candidate) (command []string, timeout time.Duration, err error) {
	name := SmokeAnnotation + "." + c.Container
	text, ok := c.Annotations[name]
	if containers := c.Template.Spec.Containers; !ok && len(containers) > 0 && containers[0].Name == c.Container {
		name = SmokeAnnotation
		text, ok = c.Annotations[name]
	}
	if !ok {
		return nil, 0, nil
	}
	if err := json.Unmarshal([]byte(text), &command); err != nil || len(command) == 0 || command[0] == "" {
		return nil, 0, fmt.Errorf(`%s is %.80q: write the command as ["python","-c","import torch"]`, name, text)
	}
	timeout = defaultTimeout
	if text, ok := c.Annotations[TimeoutAnnotation]; ok {
		if timeout, err = time.ParseDuration(text); err != nil || timeout < time.Second || timeout > 24*time.Hour {
			return nil, 0, fmt.Errorf("%s is %.40q: write a time such as 15m", TimeoutAnnotation, text)
		}
	}
	return command, timeout, nil
}

// jobName is one name for each environment, container, image and command.
func jobName(c deploy.Candidate, command []string) string {
	sum := sha256.Sum256([]byte(strings.Join(append([]string{c.Environment.String(), c.Container, c.Image}, command...), "\x00")))
	name := c.Environment.Name
	if len(name) > 40 {
		name = strings.TrimRight(name[:40], "-.")
	}
	return "smoke-" + strings.ReplaceAll(name, ".", "-") + "-" + hex.EncodeToString(sum[:5])
}
