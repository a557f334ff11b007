package operator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
	"github.com/lab-layers/lab-layers/layers"
)

// TestInStep sets windows while no operator serves, which hold all the same.
func TestInStep(t *testing.T) {
	l := newLab(t)
	l.AddNode(t, clustertest.Node{Name: l.ns})
	stop := l.operate()
	l.roll()
	l.check(l.client.Create(t.Context(), l.environment("bert", "bert", nil)))
	l.check(l.client.Create(t.Context(), l.environment("class", "bert", func(s *api.LabEnvironmentSpec) { s.Students = []string{"ada"} })))
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Runs.Digest(1)})
	for _, name := range []string{"bert", "class-ada"} {
		l.awaitEnvironment(name, ready)
	}
	stop()
	for _, name := range []string{"bert", "class"} {
		l.edit(name, func(s *api.LabEnvironmentSpec) { s.Rollout.Window = "0 2 29 2 * for 1h" })
	}
	l.Release(mainRef, map[layers.Name]string{"bert": clustertest.Runs.Digest(2)})
	l.awaitRecorded("bert", deploy.Held, "its LabEnvironment has changed (lab-layers.dev/window): waits for the operator to change it, too")
	l.awaitRecorded("class-ada", deploy.Held, "LabEnvironment class has changed: waits for the operator to change it, too")
	l.operate()
	for _, name := range []string{"bert", "class-ada"} {
		l.awaitEnvironment(name, func(s api.LabEnvironmentStatus) bool {
			return s.State == string(deploy.Held) && strings.HasPrefix(s.Reason, "outside its window")
		})
	}
	// Who is new does not wait for a window, as there is nothing to disturb.
	l.edit("class", func(s *api.LabEnvironmentSpec) { s.Students = append(s.Students, "emmy") })
	l.awaitEnvironment("class-emmy", ready)
	l.awaitEnvironment("class", func(s api.LabEnvironmentStatus) bool {
		return s.State == string(deploy.Held) && strings.HasPrefix(s.Reason, "1 of 2 students have theirs; ada: outside its window")
	})
	for _, name := range []string{"bert", "class"} {
		l.edit(name, func(s *api.LabEnvironmentSpec) { s.Rollout.Window = "" })
	}
	l.awaitEnvironment("class", func(s api.LabEnvironmentStatus) bool { return ready(s) && s.Digest == clustertest.Runs.Digest(2) })
	l.awaitEnvironment("bert", func(s api.LabEnvironmentStatus) bool { return ready(s) && s.Digest == clustertest.Runs.Digest(2) })
}

// awaitRecorded waits until the records have an environment in a state for a reason.
func (l *lab) awaitRecorded(name string, state deploy.State, reason string) {
	l.Helper()
	l.await(name+" to be recorded as "+string(state), func(ctx context.Context) error {
		listed, err := l.store.Environments(ctx)
		if err != nil {
			return err
		}
		for _, e := range listed {
			if e.Environment.Name != name {
				continue
			}
			if e.State == state && e.Reason == reason {
				return nil
			}
			err = fmt.Errorf("it is %s: %s", e.State, e.Reason)
		}
		return err
	})
}
