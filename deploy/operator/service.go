package operator

import (
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

// service leads to an environment's pods; nil if they listen on no port.
func service(e *api.LabEnvironment) *corev1.Service {
	if len(e.Spec.Container.Ports) == 0 {
		return nil
	}
	s := &corev1.Service{ObjectMeta: object(e)}
	s.Spec.Selector = map[string]string{environmentLabel: e.Name}
	for _, p := range e.Spec.Container.Ports {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: p.Name, Port: p.Port, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString(p.Name)})
	}
	return s
}

// budget lets a drain take one pod at a time.
func budget(e *api.LabEnvironment) *policyv1.PodDisruptionBudget {
	b := &policyv1.PodDisruptionBudget{ObjectMeta: object(e)}
	b.Spec.MaxUnavailable = new(intstr.FromInt32(1))
	b.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{environmentLabel: e.Name}}
	return b
}
