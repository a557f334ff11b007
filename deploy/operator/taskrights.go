package operator

import (
	"context"
	"errors"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

// A cluster may have no LabTasks, or an agent no rights to them: in an upgrade the
// program comes first. All else is served then, and tasks once they can be.

// errTasks says that LabTasks can be served in other namespaces than before.
var errTasks = errors.New("LabTasks can be served elsewhere now")

// rightsLook is how often it is looked whether LabTasks can be served where they
// cannot be.
const rightsLook = 5 * time.Second

// taskNamespaces are those whose LabTasks can be served; an empty name is all. why
// says why they are not all that are looked after.
func (o *Operator) taskNamespaces(ctx context.Context, c client.Client) (namespaces []string, why string, err error) {
	wanted := o.Namespaces
	if len(wanted) == 0 {
		wanted = []string{metav1.NamespaceAll}
	}
	for _, namespace := range wanted {
		var list metav1.PartialObjectMetadataList
		list.SetGroupVersionKind(api.Version().WithKind("LabTaskList"))
		switch err := c.List(ctx, &list, client.InNamespace(namespace), client.Limit(1)); {
		case err == nil:
			namespaces = append(namespaces, namespace)
		case apierrors.IsForbidden(err):
			why = deploy.Problem(err)
		case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
			why = "the cluster has none"
		default:
			return nil, "", err
		}
	}
	return namespaces, why, nil
}

// watchRights ends with errTasks once LabTasks can be served in other namespaces
// than now, as long as there are some in which they cannot be.
func (o *Operator) watchRights(ctx context.Context, c client.Client, served []string) error {
	ticker := time.NewTicker(rightsLook)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		now, _, err := o.taskNamespaces(ctx, c)
		if err == nil && ctx.Err() == nil && !slices.Equal(now, served) {
			return errTasks
		}
	}
}
