package deploy_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
)

// TestOtherCluster has an engine come with another cluster to records that have the
// environments of a first: it does nothing, and says so once, until they are moved.
func TestOtherCluster(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: "other"})
	first := deploy.Environment{Namespace: l.ns, Kind: deploy.Deployment, Name: "first"}
	l.check(l.store.ServeCluster(t.Context(), "first"))
	l.check(l.store.Observe(t.Context(), deploy.Standing{Environment: first, UID: "1", Track: "main", State: deploy.Healthy}))
	e := l.deployment(workload{name: "unet", layer: "unet", image: "registry.example/lab/unet:old", replicas: 1})
	commit := l.push("unet", runs(1))
	var log logged
	logger := slog.New(slog.NewTextHandler(&log, nil))
	identity := &deploy.Identity{Client: l.Client, Serve: l.store.ServeCluster, Log: logger}
	refused := make(chan error, 100)
	l.start(l.engine(func(e *deploy.Engine) {
		e.Log = logger
		e.Identify = func(ctx context.Context) error {
			err := identity.Check(ctx)
			refused <- err
			return err
		}
	}))
	for range 2 {
		var other deploy.OtherCluster
		if err := <-refused; !errors.As(err, &other) || other.Recorded != "first" || other.This == "" {
			t.Fatalf("it is let in: %v", err)
		}
	}
	if l.listed(first) == nil || l.listed(e) != nil {
		t.Error("it has recorded something")
	}
	uid, err := deploy.ClusterUID(t.Context(), l.Client)
	l.check(err)
	_, err = l.store.MoveCluster(t.Context(), uid)
	l.check(err)
	l.await(e, deploy.Healthy, commit)
	if v := l.listed(first); v != nil {
		t.Errorf("the environment of the other cluster is %s", v.State)
	}
	if got := log.about("level=WARN", "is interrupted", "lab-layers move-cluster"); len(got) != 1 {
		t.Errorf("it tells %q", got)
	}
}

// TestUnknownCluster goes on without the right to ask which cluster it is.
func TestUnknownCluster(t *testing.T) {
	l := newLab(t)
	config := rest.CopyConfig(l.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "nobody", Groups: []string{"system:authenticated"}}
	client, err := kubernetes.NewForConfig(config)
	l.check(err)
	var log logged
	identity := &deploy.Identity{Client: client, Log: slog.New(slog.NewTextHandler(&log, nil)), Serve: func(_ context.Context, uid string) error {
		t.Errorf("it is %q", uid)
		return nil
	}}
	for range 2 {
		l.check(identity.Check(t.Context()))
	}
	if got := log.about("the role lacks get on namespaces"); len(got) != 1 || !strings.Contains(got[0], "level=INFO") {
		t.Errorf("it tells %q", got)
	}
}
