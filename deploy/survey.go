package deploy

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
)

// surveyed is what a cluster had at one moment.
type surveyed struct {
	workloads []*workload
	nodes     []*corev1.Node
	// unseen is why nodes may not be read; empty if they may.
	unseen string
}

// survey asks a cluster once for the workloads of some namespaces, none is all,
// and for its nodes. What may not be read is left out, as an engine goes without
// it; but where that is every kind of workload there is nothing to tell of.
func survey(ctx context.Context, client kubernetes.Interface, namespaces []string) (found surveyed, err error) {
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	cached := metav1.ListOptions{ResourceVersion: "0"} // what the API server has at hand
	lists := []func() (runtime.Object, error){
		func() (runtime.Object, error) { return client.CoreV1().Nodes().List(ctx, cached) },
	}
	for _, ns := range namespaces {
		lists = append(lists,
			func() (runtime.Object, error) { return client.AppsV1().Deployments(ns).List(ctx, cached) },
			func() (runtime.Object, error) { return client.AppsV1().StatefulSets(ns).List(ctx, cached) },
			func() (runtime.Object, error) { return client.AppsV1().DaemonSets(ns).List(ctx, cached) },
			func() (runtime.Object, error) { return client.BatchV1().CronJobs(ns).List(ctx, cached) },
		)
	}
	var forbidden error
	seen := false
	for i, list := range lists {
		objects, err := list()
		if apierrors.IsForbidden(err) {
			switch {
			case i == 0:
				found.unseen = Problem(err)
			case forbidden == nil:
				forbidden = err
			}
			continue
		}
		seen = seen || i > 0
		if err == nil {
			err = meta.EachListItem(objects, found.add)
		}
		if err != nil {
			return found, err
		}
	}
	if !seen {
		return found, forbidden
	}
	return found, nil
}

func (s *surveyed) add(object runtime.Object) error {
	if node, ok := object.(*corev1.Node); ok {
		s.nodes = append(s.nodes, node)
	} else if w := view(object); w != nil {
		s.workloads = append(s.workloads, w)
	}
	return nil
}
