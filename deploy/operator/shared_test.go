package operator

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

// TestShared has an answer asked for once, and anew once it is too old.
func TestShared(t *testing.T) {
	var s shared[int64]
	var asks atomic.Int64
	ask := func() int64 { return asks.Add(1) }
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got := s.get(now, time.Minute, ask); got != 1 {
				t.Errorf("it is %d", got)
			}
		})
	}
	all.Wait()
	for after, want := range map[time.Duration]int64{59 * time.Second: 1, time.Minute: 2} {
		s := shared[int64]{answer: 1, until: s.until}
		if got := s.get(now.Add(after), time.Minute, func() int64 { return 2 }); got != want {
			t.Errorf("%v later it is %d, not %d", after, got, want)
		}
	}
}

// countedCluster has one node and no Kueue, and counts how often it is asked.
type countedCluster struct {
	client.Client
	discoveries, lists int
}

func (c *countedCluster) RESTMapper() meta.RESTMapper {
	c.discoveries++
	return meta.NewDefaultRESTMapper(nil)
}

func (c *countedCluster) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	c.lists++
	list := into.(*metav1.PartialObjectMetadataList)
	list.Items = []metav1.PartialObjectMetadata{{ObjectMeta: metav1.ObjectMeta{Name: "gpu-1", Labels: map[string]string{
		"nvidia.com/gpu.product": "A100", "nvidia.com/gpu.memory": "40960",
	}}}}
	return nil
}

// TestManyTasksAskOnce: what waiting tasks ask the cluster does not grow with them.
func TestManyTasksAskOnce(t *testing.T) {
	cluster := &countedCluster{}
	r := &tasks{client: cluster, live: cluster}
	for range 100 {
		if !r.kueueIsMissing() {
			t.Fatal("there is Kueue")
		}
		short := r.shortage(t.Context(), &api.Devices{Count: 1, Memory: new(resource.MustParse("80Gi"))})
		if !strings.Contains(short, "node gpu-1 has 40960 MiB") {
			t.Fatalf("nodes fall short thus: %q", short)
		}
	}
	if cluster.discoveries != 1 || cluster.lists != 1 {
		t.Errorf("%d discoveries, %d lists of nodes", cluster.discoveries, cluster.lists)
	}
}

// TestLookedAtAgain: nothing tells of Kueue or nodes, so who waits for them is looked
// at again, not all at once.
func TestLookedAtAgain(t *testing.T) {
	for code, least := range map[string]time.Duration{noKueue: kueueAge, corev1.PodReasonUnschedulable: nodesAge} {
		different := map[time.Duration]bool{}
		for range 10 {
			after := again(standing{code: code}).RequeueAfter
			if after < least || after > 2*least {
				t.Errorf("%s is looked at after %v", code, after)
			}
			different[after] = true
		}
		if len(different) == 1 {
			t.Errorf("all %s are looked at at once", code)
		}
	}
	if after := again(standing{code: "Running"}).RequeueAfter; after != 0 {
		t.Errorf("one that runs is looked at after %v", after)
	}
}
