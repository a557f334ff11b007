package operator

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// changes have a controller look at objects that the records say something new of.
type changes chan event.GenericEvent

// source is what the controller is to watch.
func (c changes) source() source.Source {
	return source.Channel((<-chan event.GenericEvent)(c), &handler.EnqueueRequestForObject{})
}

// look has one object looked at. Of objects the controller is given the names alone.
func (c changes) look(ctx context.Context, key types.NamespacedName) {
	named := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	select {
	case c <- event.GenericEvent{Object: named}:
	case <-ctx.Done():
	}
}
