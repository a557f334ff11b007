package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lab-layers/lab-layers/deploy/pull"
)

// Annotations for nodes that pull an image before the rollout to it begins.
const (
	// PullAnnotation is how many nodes pull at once, such as 4.
	PullAnnotation = prefix + "pre-pull"
	// PullTimeoutAnnotation is how long that may take in all.
	PullTimeoutAnnotation = prefix + "pre-pull-timeout"
	// PullPolicyAnnotation is what follows where not all nodes have the image then:
	// continue (the default) or hold.
	PullPolicyAnnotation = prefix + "pre-pull-policy"
)

// defaultPullTimeout is enough for twelve nodes to get 10 GB each over 1 Gb/s.
const defaultPullTimeout = time.Hour

// prePull is what an environment asks for.
type prePull struct {
	parallel int // nodes; 0 is not to pull before
	timeout  time.Duration
	hold     bool
}

// retryPull is when the API server is asked again that let no pod be made.
const retryPull = time.Minute

// maxParallel bounds the nodes that pull at once.
const maxParallel = 1000

func parsePrePull(annotations map[string]string) (p prePull, faults []string) {
	p.timeout = defaultPullTimeout
	if text, ok := annotations[PullAnnotation]; ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxParallel {
			faults = append(faults, fmt.Sprintf("%s is %.40q: write how many nodes pull at once, such as 4", PullAnnotation, text))
		}
		p.parallel = n
	}
	if text, ok := annotations[PullTimeoutAnnotation]; ok {
		timeout, err := time.ParseDuration(text)
		if err != nil || timeout <= 0 {
			faults = append(faults, fmt.Sprintf("%s is %.40q: write a time such as 1h", PullTimeoutAnnotation, text))
		}
		p.timeout = timeout
	}
	switch policy := annotations[PullPolicyAnnotation]; policy {
	case "", "continue":
	case "hold":
		p.hold = true
	default:
		faults = append(faults, fmt.Sprintf("%s is %.40q: take continue or hold", PullPolicyAnnotation, policy))
	}
	return p, faults
}

// pulls are the pods that were made and that the watch has not told of yet.
type pulls struct {
	mu   sync.Mutex
	made map[types.NamespacedName]time.Time
}

// unseen is after how long a pod that was made, and never seen, is gone.
const unseen = time.Minute

// prePull has the nodes that a rollout's pods may come to pull its images, and says
// what is waited for; empty if nothing is. Until is when to look again at
// the latest. Remark is why not all nodes have them where it goes on all the same.
func (l *leader) prePull(ctx context.Context, f *facts) (held Hold, remark string, err error) {
	want := f.adoption.pull
	if want.parallel == 0 || f.last.passes(holdPull) {
		return Hold{}, "", nil
	}
	nodes := l.hosts(f.workload)
	if len(nodes) == 0 {
		why := "no node is known that its pods may run on"
		if unseen := l.cluster.unseenNodes(); unseen != "" {
			why = "nodes cannot be seen: " + unseen
		}
		return Hold{}, "no image is pulled before: " + why, nil
	}
	pods := l.cluster.pullsFor(f.workload.Environment)
	begun := l.Now()
	for _, p := range pods {
		if made := p.CreationTimestamp.Time; wanted(f.last, p) && made.Before(begun) {
			begun = made
		}
	}
	until := begun.Add(want.timeout)
	at := l.stand(f, nodes, pods)
	if err := l.record(ctx, at.news); err != nil {
		return Hold{}, "", err
	}
	if l.Now().Before(until) {
		for _, order := range at.missing {
			order.Limit = until.Sub(l.Now())
			ok, err := l.pull(ctx, order, want.parallel)
			if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
				at.refused, at.trouble = true, Problem(err)
				break
			}
			if err != nil {
				return Hold{}, "", err
			}
			if !ok {
				break
			}
			at.going++
		}
		if at.Holding+at.Failed < at.Nodes && !at.refused {
			reason := "pre-pull: " + at.String()
			if at.trouble != "" {
				reason += "; " + at.trouble
			}
			if at.going == 0 {
				reason += "; other environments' images come first"
				until = l.Now().Add(unseen)
			}
			return Hold{Gate: holdPull, Reason: reason, Until: until}, "", nil
		}
	}
	if at.Holding == at.Nodes {
		return Hold{}, "", nil
	}
	at.Took = nil // nothing more comes
	left := fmt.Sprintf("pre-pull: %s; %s", at, cmp.Or(at.trouble, fmt.Sprintf("the others have not got it in %v", want.timeout)))
	switch {
	case !want.hold:
		return Hold{}, left, nil
	case at.refused:
		return Hold{Gate: holdPull, Reason: left, Until: l.Now().Add(retryPull)}, "", nil
	}
	return Hold{Gate: holdPull, Reason: left}, "", nil
}

// wanted reports whether a pod pulls an image of a rollout.
func wanted(r *Rollout, pod *corev1.Pod) bool {
	return r != nil && slices.ContainsFunc(r.Images, func(i Image) bool { return sameImage(i.To, pull.Image(pod)) })
}

// stand is how far nodes are with a rollout's images.
type stand struct {
	pull.Progress
	going   int          // nodes that pull
	missing []pull.Order // not begun
	trouble string       // of the first node that has one
	refused bool         // by the API server
	news    sightings
}

func (l *leader) stand(f *facts, nodes []*corev1.Node, pods []*corev1.Pod) (at stand) {
	w := f.workload
	at.Nodes, at.Parallel = len(nodes), f.adoption.pull.parallel
	byName := map[string]*corev1.Pod{}
	for _, p := range pods {
		byName[p.Name] = p
		if took := pull.Took(p); took > 0 && wanted(f.last, p) {
			at.Took = append(at.Took, took)
		}
	}
	var images []string
	for _, i := range f.last.Images {
		if digestOf(i.To) != "" && !slices.Contains(images, i.To) {
			images = append(images, i.To)
		}
	}
	for _, node := range nodes {
		holds, failed := true, false
		for _, image := range images {
			if l.holds(node, digestOf(image), &at.news).held {
				continue
			}
			holds = false
			if failed {
				break
			}
			order := pull.Order{Namespace: w.Namespace, For: w.reference(), Template: w.template, Image: image, Node: node.Name}
			pod := byName[order.Name()]
			if pod == nil {
				at.missing = append(at.missing, order)
				continue
			}
			state, why := pull.Of(pod)
			if why != "" && at.trouble == "" {
				at.trouble = "node " + node.Name + ": " + oneLine(why)
			}
			if failed = state == pull.Failed; failed {
				continue
			}
			at.going++
			if pod.Status.StartTime != nil {
				at.Longest = max(at.Longest, l.Now().Sub(pod.Status.StartTime.Time))
			}
		}
		switch {
		case holds:
			at.Holding++
		case failed:
			at.Failed++
		}
	}
	return at
}

// pull has a node pull an image, unless as many pull already as may; begun is
// whether it does.
func (l *leader) pull(ctx context.Context, order pull.Order, parallel int) (begun bool, err error) {
	name := types.NamespacedName{Namespace: order.Namespace, Name: order.Name()}
	if !l.pulls.take(name, parallel, l.cluster.pulling(), l.Now()) {
		return false, nil
	}
	_, err = l.Client.CoreV1().Pods(order.Namespace).Create(ctx, order.Pod(), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return true, nil // the watch is about to tell
	}
	if err != nil {
		l.pulls.leave(name)
		return false, fmt.Errorf("make pod %s: %w", name, err)
	}
	return true, nil
}

// take notes that a pod is about to be made, unless too many pull. seen are the
// pods that the watch tells of, and whether they pull.
func (p *pulls) take(name types.NamespacedName, parallel int, seen map[types.NamespacedName]bool, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	active := 0
	for _, pulls := range seen {
		if pulls {
			active++
		}
	}
	for made, at := range p.made {
		if _, ok := seen[made]; ok || now.Sub(at) > unseen {
			delete(p.made, made)
			continue
		}
		active++
	}
	if active >= parallel {
		return false
	}
	p.made[name] = now
	return true
}

// leave takes back that a pod is about to be made, or was and is not seen yet.
func (p *pulls) leave(name types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.made, name)
}

// sweep removes an environment's pods that pull what is not waited for any more.
func (l *leader) sweep(ctx context.Context, e Environment, last *Rollout) error {
	for _, pod := range l.cluster.pullsFor(e) {
		if pod.DeletionTimestamp != nil || wanted(last, pod) && (last.State == Pending || last.State == Held) {
			continue
		}
		if err := l.removePod(ctx, pod); err != nil {
			l.Log.Warn("cannot remove a pod that pulled an image", "environment", e, "pod", pod.Name, "problem", Problem(err))
			return err
		}
	}
	return nil
}

// reference names the workload in what goes with it.
func (w *workload) reference() metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: apiVersions[w.Kind], Kind: string(w.Kind), Name: w.Name, UID: types.UID(w.uid)}
}

// puller is the environment that a pod pulls an image for.
func puller(pod *corev1.Pod) (Environment, bool) {
	ref, ok := pull.For(pod)
	return Environment{pod.Namespace, Kind(ref.Kind), ref.Name}, ok
}

// imageOn is the index of pods by node and by the image of a container that was
// made there.
func imageOn(obj any) (keys []string, _ error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok || pod.Spec.NodeName == "" {
		return nil, nil
	}
	if _, ok := puller(pod); ok {
		if state, _ := pull.Of(pod); state == pull.Done {
			keys = append(keys, onNode(pod.Spec.NodeName, string(digestOf(pull.Image(pod)))))
		}
		return keys, nil
	}
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range containers {
			if d := digestOf(c.Image); d != "" && made(pod, c.Name) {
				keys = append(keys, onNode(pod.Spec.NodeName, string(d)))
			}
		}
	}
	return keys, nil
}

// made reports whether a container was made, for which its image had to be there.
func made(pod *corev1.Pod, container string) bool {
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if c.Name == container {
			return c.ImageID != ""
		}
	}
	return false
}

func onNode(node, digest string) string { return strings.Join([]string{node, digest}, "\x00") }
