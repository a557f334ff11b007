package operator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lab-layers/lab-layers/deploy/clustertest"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
	"github.com/lab-layers/lab-layers/layers"
)

// TestTables reads what kubectl prints: rows that a terminal has room for, and
// wide ones that leave nothing out.
func TestTables(t *testing.T) {
	l := newLab(t)
	one := clustertest.Runs.Digest(1)
	commit := string(l.Release(mainRef, map[layers.Name]string{"bert": one}))
	// What is in the way of the environment, and of the task, takes many words.
	taken := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: l.ns, Name: "train"}}
	taken.Spec.Ports = []corev1.ServicePort{{Port: 80}}
	l.check(l.client.Create(t.Context(), taken))
	l.check(l.client.Create(t.Context(), l.environment("train", "bert", func(s *api.LabEnvironmentSpec) {
		s.Container.Ports = []api.Port{{Name: "http", Port: 80}}
	})))
	l.submit("done", func(s *api.LabTaskSpec) { s.Layer = "bert" })
	l.submit("waits", func(s *api.LabTaskSpec) { s.Layer = strings.Repeat("x", 60) })
	l.operate()

	digest := strings.TrimPrefix(one, "sha256:")
	for resource, want := range map[string]struct {
		first string
		rows  int
		short []string
		wide  []string
	}{
		"labimages":       {"Name Ready Age", 1, []string{digest[:12], commit[:12]}, []string{"sha256:" + digest, commit}},
		"labenvironments": {"Name Ready Age", 1, []string{"a Service of this name is not of this environment: ", "…"}, []string{"delete it, or take another name"}},
		"labtasks":        {"Name State Age", 2, []string{"main has no image of xxx", "…"}, []string{"sha256:" + digest, commit, "yet: the first is waited for"}},
	} {
		l.await("the table of "+resource, func(ctx context.Context) error {
			heading, rows, err := l.table(ctx, resource)
			if err != nil {
				return err
			}
			if len(rows) != want.rows {
				return fmt.Errorf("there are %d rows", len(rows))
			}
			var short, wide string
			for _, row := range rows {
				for i, c := range heading {
					cell := fmt.Sprint(row.Cells[i])
					if wide += cell + "\n"; c.Priority > 0 {
						continue
					}
					if short += cell + "\n"; utf8.RuneCountInString(cell) > 75 {
						return fmt.Errorf("%s has %d characters: %s", c.Name, utf8.RuneCountInString(cell), cell)
					}
				}
			}
			var names []string
			for _, c := range heading {
				names = append(names, c.Name)
			}
			if line := strings.Join(names, " "); !strings.HasPrefix(line, want.first) {
				return fmt.Errorf("the columns are %s", line)
			}
			for _, text := range want.short {
				if !strings.Contains(short, text) {
					return fmt.Errorf("%q is not in %s", text, short)
				}
			}
			for _, text := range want.wide {
				if strings.Contains(short, text) || !strings.Contains(wide, text) {
					return fmt.Errorf("%q is in %s, or not in %s", text, short, wide)
				}
			}
			return nil
		})
	}
}

// table is what kubectl is sent of the objects of a resource.
func (l *lab) table(ctx context.Context, resource string) ([]metav1.TableColumnDefinition, []metav1.TableRow, error) {
	body, err := l.Client.Discovery().RESTClient().Get().AbsPath("/apis", api.Version().String(), "namespaces", l.ns, resource).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(ctx)
	if err != nil {
		return nil, nil, err
	}
	var t metav1.Table
	err = json.Unmarshal(body, &t)
	return t.ColumnDefinitions, t.Rows, err
}
