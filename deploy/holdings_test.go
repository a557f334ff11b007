package deploy

import (
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

func TestHoldings(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	image := digest.Digest("sha256:" + strings.Repeat("a", 64))
	node := func(images int, has bool) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "gpu-1", CreationTimestamp: metav1.NewTime(now.Add(-100 * time.Hour))}}
		for range images {
			n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{"other@sha256:" + strings.Repeat("b", 64)}})
		}
		if has {
			n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{"registry.example/lab/unet@" + string(image), "unet:main"}})
		}
		return n
	}
	newer := node(listedImages, false)
	newer.CreationTimestamp = metav1.NewTime(now.Add(-time.Minute))
	for _, test := range []struct {
		name       string
		node       *corev1.Node
		used       bool
		ago        time.Duration // since it was seen; 0 is never
		held, last bool
		news, gone bool
	}{
		{"listed", node(3, true), false, 0, true, false, true, false},
		{"listed, and known", node(3, true), false, time.Minute, true, false, false, false},
		{"listed, and known for long", node(3, true), false, 2 * time.Hour, true, false, true, false},
		{"used, and not listed yet", node(3, false), true, 0, true, false, true, false},
		{"never seen", node(listedImages, false), false, 0, false, false, false, false},
		{"seen just now, not listed yet", node(3, false), false, time.Minute, true, true, false, false},
		{"seen, and not listed any more", node(3, false), false, time.Hour, false, false, false, true},
		{"seen, and not among those that are listed", node(listedImages, false), false, 50 * time.Hour, true, true, false, false},
		{"seen on another node of that name", newer, false, 2 * time.Minute, false, false, false, true},
	} {
		h := newHoldings(func() time.Time { return now })
		if test.ago > 0 {
			h.set(Holding{"gpu-1", image, now.Add(-test.ago)})
		}
		s := h.look(test.node, image, test.used)
		if s.held != test.held || s.last.IsZero() == test.last || (s.news != nil) != test.news || (s.gone != nil) != test.gone {
			t.Errorf("%s: %+v", test.name, s)
		}
		if again := h.look(test.node, image, test.used); again.held != test.held || again.news != nil || again.gone != nil {
			t.Errorf("%s: once more %+v", test.name, again)
		}
	}
}

// TestForget has nothing kept of nodes and environments that are no more: there may be
// others every hour.
func TestForget(t *testing.T) {
	now := func() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) }
	e := Environment{"vision", Deployment, "unet"}
	l := &leader{
		Engine: &Engine{Now: now}, cluster: &cluster{}, book: newBook(), holdings: newHoldings(now), queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[Environment]()),
		sent: map[Environment]sent{}, clocks: map[Environment]progressClock{}, corrections: newCorrections(),
	}
	defer l.queue.ShutDown()
	for _, node := range []string{"gpu-1", "gpu-2", "gpu-3"} {
		l.holdings.set(Holding{node, "sha256:a", now()})
	}
	l.nodeGone(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "gpu-1"}})
	l.nodeGone(cache.DeletedFinalStateUnknown{Key: "gpu-2"})
	if l.holdings.seen["gpu-3"] == nil || len(l.holdings.seen) != 1 {
		t.Errorf("of nodes is kept %v", l.holdings.seen)
	}
	f := facts{workload: &workload{Environment: e, uid: "1", generation: 1}, last: &Rollout{Environment: e, State: Rolling}}
	l.took(&f, f.workload)
	l.still(f)
	l.corrections.made(e, now())
	l.book.setLast(*f.last)
	l.book.setStanding(Standing{Environment: e})
	l.forget(e)
	if left := len(l.sent) + len(l.clocks) + len(l.corrections.of) + len(l.book.last) + len(l.book.standings); left > 0 {
		t.Errorf("%d things are kept of an environment", left)
	}
}

func TestPrePullAnnotations(t *testing.T) {
	for _, test := range []struct {
		annotations map[string]string
		want        prePull
		fault       string
	}{
		{nil, prePull{timeout: time.Hour}, ""},
		{map[string]string{PullAnnotation: "4", PullTimeoutAnnotation: "20m", PullPolicyAnnotation: "hold"}, prePull{4, 20 * time.Minute, true}, ""},
		{map[string]string{PullAnnotation: "all"}, prePull{}, `lab-layers.dev/pre-pull is "all": write how many nodes pull at once, such as 4`},
		{map[string]string{PullAnnotation: "0"}, prePull{}, `lab-layers.dev/pre-pull is "0": write how many nodes pull at once, such as 4`},
		{map[string]string{PullTimeoutAnnotation: "-1m"}, prePull{}, `lab-layers.dev/pre-pull-timeout is "-1m": write a time such as 1h`},
		{map[string]string{PullPolicyAnnotation: "hope"}, prePull{}, `lab-layers.dev/pre-pull-policy is "hope": take continue or hold`},
	} {
		got, faults := parsePrePull(test.annotations)
		if fault := strings.Join(faults, "; "); fault != test.fault || fault == "" && got != test.want {
			t.Errorf("%v: %+v, %s", test.annotations, got, fault)
		}
	}
}
