package operator_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
	"github.com/lab-layers/lab-layers/layers"
)

// crashing are records that nothing is written to once a task has a Job: as if the
// operator ended there.
type crashing struct {
	*postgres.Store
	writes  atomic.Int64
	crashed chan struct{}
}

func (c *crashing) RecordTask(ctx context.Context, t deploy.Task) error {
	if c.writes.Add(1) == 1 { // that it has an image
		return c.Store.RecordTask(ctx, t)
	}
	select {
	case c.crashed <- struct{}{}:
	default:
	}
	return errors.New("killed")
}

// TestOneJob kills the operator when it has made a Job, and before it tells so.
func TestOneJob(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns})
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Unready.Digest(1)})
	records := &crashing{Store: l.store, crashed: make(chan struct{}, 1)}
	o := l.operator(l.log())
	o.Records = records
	stop := l.serve(o.Serve)
	task := l.submit("train", nil)
	<-records.crashed
	stop()
	l.check(l.client.Get(t.Context(), client.ObjectKeyFromObject(task), task))
	before := l.jobs()
	if len(before) != 1 || task.Status.Job != "" || task.Status.Digest != clustertest.Unready.Digest(1) {
		t.Fatalf("there are %d Jobs, and the task tells %+v", len(before), task.Status)
	}
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Crashes.Digest(2)})
	l.operate()
	after := l.awaitTask("train", in("Running", api.Running, "True Running"))
	if jobs := l.jobs(); len(jobs) != 1 || jobs[0].UID != before[0].UID || after.Status.Job != string(jobs[0].UID) || after.Status.Digest != clustertest.Unready.Digest(1) {
		t.Errorf("there are %d Jobs, and the task tells %+v", len(jobs), after.Status)
	}
}

// TestTasksWithoutRights: all else is served without the rights to tasks, and tasks
// are once there are some.
func TestTasksWithoutRights(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns})
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Runs.Digest(1)})
	var binding rbacv1.RoleBinding
	l.check(l.client.Get(t.Context(), types.NamespacedName{Namespace: l.ns, Name: "lab-layers-tasks"}, &binding))
	l.check(l.client.Delete(t.Context(), &binding))
	l.submit("train", nil)
	var told logged
	l.serve(l.operator(slog.New(slog.NewTextHandler(&told, nil))).Serve)
	l.roll()
	l.check(l.client.Create(t.Context(), l.environment("bert", "bert", nil)))
	l.awaitEnvironment("bert", ready)
	if log := told.String(); strings.Count(log, "LabTasks are not served for now") != 1 || strings.Contains(log, "served now") {
		t.Error(log)
	}
	l.check(l.client.Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: l.ns, Name: binding.Name}, RoleRef: binding.RoleRef, Subjects: binding.Subjects}))
	l.awaitTask("train", in("Succeeded", api.Complete, "True Succeeded"))
	if log := told.String(); strings.Count(log, `level=INFO msg="custom resources are served now" tasks=true`) != 1 {
		t.Error(log)
	}
}
