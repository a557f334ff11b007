package gates

import (
	"cmp"
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
	"k8s.io/apimachinery/pkg/types"
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

	mu      sync.Mutex
	running map[string]*smokeTest
	// ended are the verdicts of the tests that have ended. Their Jobs go.
	ended map[string]deploy.Verdict
}

var _ deploy.Gate = (*Smoke)(nil)

// smokeTest is one that was begun.
type smokeTest struct {
	of      string    // environment and container
	began   time.Time // by our clock: the cluster's may be off
	over    time.Time // at the latest
	job     types.UID // of its Job; empty until that was seen
	trouble string    // that its pod last had
	noGPU   bool      // none came free for it
}

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

// Name makes it a [deploy.Gate].
func (*Smoke) Name() string { return "smoke" }

// Check refuses until the command has succeeded, once for each image. A
// candidate without a command passes.
func (g *Smoke) Check(ctx context.Context, c deploy.Candidate, nodes []*corev1.Node) deploy.Verdict {
	command, timeout, err := smokeOf(c.Annotations, c.Template, c.Container)
	if err != nil {
		return refuse("%v", err)
	}
	if command == nil {
		return deploy.Verdict{Answer: deploy.Allow}
	}
	name := jobName(c, command)
	key := c.Environment.Namespace + "/" + name
	test, verdict, overtaken := g.begin(key, c.Environment.String()+"/"+c.Container, timeout)
	g.remove(ctx, overtaken)
	if test == nil {
		return verdict
	}
	verdict, ended, err := g.look(ctx, c, test, name, command, timeout)
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

// begin counts a test among those that run. It is nil, and there is a verdict, for
// one that has ended, or that has to wait for others to end. Tests of the same
// container's earlier images are overtaken: nobody waits for them any more.
func (g *Smoke) begin(key, of string, timeout time.Duration) (_ *smokeTest, _ deploy.Verdict, overtaken map[string]types.UID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	overtaken = map[string]types.UID{}
	for other, t := range g.running {
		if t.of == of && other != key {
			overtaken[other] = t.job
			delete(g.running, other)
		}
	}
	if v, ok := g.ended[key]; ok {
		return nil, v, overtaken
	}
	now := g.Now()
	maps.DeleteFunc(g.running, func(_ string, t *smokeTest) bool { return t.over.Before(now) })
	if t, ok := g.running[key]; ok {
		return t, deploy.Verdict{}, overtaken
	}
	if len(g.running) >= g.Parallel {
		v := refuse("the smoke test waits for others: %d run at once", g.Parallel)
		v.Until = now.Add(lookAgain)
		return nil, v, overtaken
	}
	if g.running == nil {
		g.running = map[string]*smokeTest{}
	}
	t := &smokeTest{of: of, began: now, over: now.Add(2 * timeout)} // once with a GPU, and once without
	g.running[key] = t
	return t, deploy.Verdict{}, overtaken
}

// remove takes the Jobs of tests off the cluster, which would else take GPUs
// until their time is over, as one does that cannot be removed now. A Job that only
// has the name of one is left alone.
func (g *Smoke) remove(ctx context.Context, jobs map[string]types.UID) {
	for key, job := range jobs {
		if job == "" {
			continue
		}
		namespace, name, _ := strings.Cut(key, "/")
		_ = g.Client.BatchV1().Jobs(namespace).Delete(ctx, name, only(job))
	}
}

// only deletes the very Job, and with it its pods.
func only(job types.UID) metav1.DeleteOptions {
	return metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground), Preconditions: &metav1.Preconditions{UID: &job}}
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

// look takes a test one step on.
func (g *Smoke) look(ctx context.Context, c deploy.Candidate, t *smokeTest, name string, command []string, timeout time.Duration) (v deploy.Verdict, ended bool, err error) {
	jobs := g.Client.BatchV1().Jobs(c.Environment.Namespace)
	job, err := jobs.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		job, err = jobs.Create(ctx, jobFor(c, name, command, timeout, !t.noGPU), metav1.CreateOptions{})
		if err == nil {
			t.job = job.UID
			return running(command, ""), false, nil
		}
	}
	if err != nil {
		return v, false, err
	}
	if !testOf(job, c) {
		return v, false, fmt.Errorf("a Job %s is there that is not this test: delete it", name)
	}
	t.job = job.UID
	pods, err := g.pods(ctx, job)
	if err != nil {
		return v, false, err
	}
	for _, condition := range job.Status.Conditions {
		switch {
		case condition.Status != corev1.ConditionTrue:
		case condition.Type == batchv1.JobComplete:
			return deploy.Verdict{Answer: deploy.Allow, Reason: "the smoke test passed"}, true, nil
		case condition.Type == batchv1.JobFailed:
			why := cmp.Or(failure(pods), t.trouble, condition.Message)
			return refuse("smoke test failed: %s", why), true, nil
		}
	}
	unplaced, trouble := troubles(pods)
	t.trouble = cmp.Or(trouble, t.trouble)
	if unplaced && takesGPU(job) && g.Now().Sub(t.began) > placeLimit {
		t.noGPU = true
		return refuse("the smoke test gets no GPU, and begins anew without one: %s", trouble), false, g.withoutGPU(ctx, c, t, job, command, timeout)
	}
	return running(command, trouble), false, nil
}

func running(command []string, trouble string) deploy.Verdict {
	v := refuse("the smoke test runs: %s", strings.Join(command, " "))
	if trouble != "" {
		v.Reason = "the smoke test waits: " + trouble
	}
	return v
}

// withoutGPU puts a test in the place of one that gets no GPU.
func (g *Smoke) withoutGPU(ctx context.Context, c deploy.Candidate, t *smokeTest, job *batchv1.Job, command []string, timeout time.Duration) error {
	jobs := g.Client.BatchV1().Jobs(job.Namespace)
	if err := jobs.Delete(ctx, job.Name, only(job.UID)); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	other, err := jobs.Create(ctx, jobFor(c, job.Name, command, timeout, false), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil // it goes, and the next look makes the other
	}
	if err != nil {
		return err
	}
	t.job = other.UID
	return nil
}

func (g *Smoke) pods(ctx context.Context, job *batchv1.Job) ([]corev1.Pod, error) {
	list, err := g.Client.CoreV1().Pods(job.Namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job.Name})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return !metav1.IsControlledBy(&p, job) }), nil
}

// troubles says why a test's pod does not run yet, and whether that is for want of
// a node.
func troubles(pods []corev1.Pod) (unplaced bool, why string) {
	for _, p := range pods {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
				return true, c.Message
			}
		}
		for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			if w := s.State.Waiting; w != nil && w.Message != "" {
				return false, w.Reason + ": " + w.Message
			}
		}
	}
	return false, ""
}

// failure is what a test's pod died of.
func failure(pods []corev1.Pod) string {
	for _, p := range pods {
		for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			if t := s.State.Terminated; t != nil && t.ExitCode != 0 {
				return fmt.Sprintf("exit code %d: %s", t.ExitCode, lastLine(t.Message, t.Reason))
			}
		}
		if p.Status.Message != "" {
			return p.Status.Message
		}
	}
	return ""
}

// lastLine is the last of a text that says something: of a traceback the error.
func lastLine(text, otherwise string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return last
	}
	return otherwise
}

// smokeOf is the command for a container; nil if there is none.
func smokeOf(annotations map[string]string, template *corev1.PodTemplateSpec, container string) (command []string, timeout time.Duration, err error) {
	name := smokeFor + container
	text, ok := annotations[name]
	if containers := template.Spec.Containers; !ok && len(containers) > 0 && containers[0].Name == container {
		name = SmokeAnnotation
		text, ok = annotations[name]
	}
	if !ok {
		return nil, 0, nil
	}
	if err := json.Unmarshal([]byte(text), &command); err != nil || len(command) == 0 || command[0] == "" {
		return nil, 0, fmt.Errorf(`%s is %.80q: write the command as ["python","-c","import torch"]`, name, text)
	}
	timeout, err = timeoutOf(annotations)
	return command, timeout, err
}

func timeoutOf(annotations map[string]string) (time.Duration, error) {
	text, ok := annotations[TimeoutAnnotation]
	if !ok {
		return defaultTimeout, nil
	}
	timeout, err := time.ParseDuration(text)
	if err != nil || timeout < time.Second || timeout > 24*time.Hour {
		return 0, fmt.Errorf("%s is %.40q: write a time such as 15m, a day at the most", TimeoutAnnotation, text)
	}
	return timeout, nil
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
