package deploy

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// OtherCluster says that records are of another cluster than the one at hand. Both are
// told by the uids of their namespaces kube-system.
type OtherCluster struct {
	Recorded, This string
	// Since is when the recorded one was first served.
	Since time.Time
}

func (o OtherCluster) Error() string {
	return fmt.Sprintf("the database has the rollouts of another cluster (since %s that whose kube-system has the uid %s; here it is %s): give each cluster a database of its own, or, where this cluster takes the place of that one, end all that serves that one and run lab-layers move-cluster",
		o.Since.UTC().Format(time.DateOnly), o.Recorded, o.This)
}

// ClusterUID is what tells a cluster from all others: the uid of its namespace
// kube-system, which nobody can delete.
func ClusterUID(ctx context.Context, client kubernetes.Interface) (string, error) {
	namespace, err := client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return string(namespace.UID), nil
}

// Identity makes sure that records are those of a cluster.
type Identity struct {
	Client kubernetes.Interface
	// Serve records which cluster the records are of, by its uid. The error is an
	// [OtherCluster] if they are another's.
	Serve func(ctx context.Context, uid string) error
	Log   *slog.Logger

	unknown sync.Once
}

// Check fails where the records are another cluster's, and where that cannot be found
// out for now. Without the right to ask it lets all pass.
func (i *Identity) Check(ctx context.Context) error {
	uid, err := ClusterUID(ctx, i.Client)
	if apierrors.IsForbidden(err) {
		i.unknown.Do(func() {
			i.Log.Info("the cluster cannot be told from others, so nothing notices another one on this database", "problem", Problem(err))
		})
		return nil
	}
	if err != nil {
		return fmt.Errorf("ask the cluster which one it is: %s", Problem(err))
	}
	return i.Serve(ctx, uid)
}
