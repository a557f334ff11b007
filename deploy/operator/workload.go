package operator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/gates"
	"github.com/lab-layers/lab-layers/deploy/operator/api"
)

const (
	// environmentLabel is on all that is made for an environment.
	environmentLabel = api.Group + "/environment"
	managedByLabel   = "app.kubernetes.io/managed-by"
	// mainContainer is the one that has the layer's image.
	mainContainer = "main"
	// imageGate keeps pods off nodes until there is an image for them.
	imageGate = api.Group + "/image"
)

// object is the metadata of what is made for an environment.
func object(e *api.LabEnvironment) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: e.Namespace, Name: e.Name,
		Labels: map[string]string{environmentLabel: e.Name, managedByLabel: "lab-layers"},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: api.Version().String(), Kind: "LabEnvironment", Name: e.Name, UID: e.UID, Controller: new(true),
		}},
	}
}

// deployment is what an environment asks for, but for the image.
func deployment(e *api.LabEnvironment) *appsv1.Deployment {
	d := &appsv1.Deployment{ObjectMeta: object(e)}
	d.Annotations = annotations(e)
	d.Spec.Replicas = e.Spec.Replicas
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{environmentLabel: e.Name}}
	d.Spec.Strategy.Type = appsv1.DeploymentStrategyType(cmp.Or(e.Spec.Rollout.Strategy, string(appsv1.RollingUpdateDeploymentStrategyType)))
	d.Spec.Template.Labels = maps.Clone(d.Labels)
	d.Spec.Template.Spec = pod(e, "")
	return d
}

// annotations are what the engine and its gates read.
func annotations(e *api.LabEnvironment) map[string]string {
	s, r := &e.Spec, &e.Spec.Rollout
	all := map[string]string{
		deploy.LayerAnnotation + mainContainer: s.Layer,
		deploy.TrackAnnotation:                 s.Track,
		deploy.RepositoryAnnotation:            s.Repository,
		deploy.DriftAnnotation:                 strings.ToLower(r.Drift),
		gates.WindowAnnotation:                 string(r.Window),
		gates.FreezeAnnotation:                 string(r.Freeze),
	}
	if r.ProgressDeadline != nil {
		all[deploy.DeadlineAnnotation] = r.ProgressDeadline.Duration.String()
	}
	if r.Canary != nil {
		all[deploy.CanaryAnnotation] = strconv.FormatBool(*r.Canary)
	}
	if r.Smoke != nil {
		command, _ := json.Marshal(r.Smoke.Command) // strings always can be
		all[gates.SmokeAnnotation] = string(command)
		if r.Smoke.Timeout != nil {
			all[gates.TimeoutAnnotation] = r.Smoke.Timeout.Duration.String()
		}
	}
	if i := r.WhenIdle; i != nil {
		all[gates.IdleAnnotation] = i.For.Duration.String()
		all[gates.IdleLatestAnnotation] = strings.ToLower(i.Latest)
		all[gates.IdleUnknownAnnotation] = strings.ToLower(i.Unknown)
	}
	if p := r.PrePull; p != nil {
		all[deploy.PullAnnotation] = strconv.Itoa(int(p.Parallel))
		all[deploy.PullPolicyAnnotation] = strings.ToLower(p.Policy)
		if p.Timeout != nil {
			all[deploy.PullTimeoutAnnotation] = p.Timeout.Duration.String()
		}
	}
	if g := s.GPU; g != nil {
		all[gates.PolicyAnnotation] = strings.ToLower(g.DriverPolicy)
		all[gates.CapabilityAnnotation] = g.ComputeCapability
		if g.Memory != nil {
			all[gates.MemoryAnnotation] = g.Memory.String()
		}
	}
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

// pod is an environment's, with an image or none.
func pod(e *api.LabEnvironment, image string) corev1.PodSpec {
	c := &e.Spec.Container
	var devices *api.Devices
	if e.Spec.GPU != nil {
		devices = &e.Spec.GPU.Devices
	}
	spec := podOf(&c.Program, &e.Spec.Scheduling.Placement, devices, image)
	main := &spec.Containers[0]
	main.ReadinessProbe, main.LivenessProbe, main.StartupProbe = c.Readiness, c.Liveness, c.Startup
	for _, p := range c.Ports {
		main.Ports = append(main.Ports, corev1.ContainerPort{Name: p.Name, ContainerPort: p.Port, Protocol: corev1.ProtocolTCP})
	}
	if e.Spec.Scheduling.Spread {
		spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{environmentLabel: e.Name}},
		}}
	}
	return spec
}

// podOf runs a program in an image, in its main container. devices is nil where
// it needs no GPU.
func podOf(p *api.Program, place *api.Placement, devices *api.Devices, image string) corev1.PodSpec {
	main := corev1.Container{
		Name: mainContainer, Image: image, Command: p.Command, Args: p.Args, Env: p.Env, Resources: *p.Resources.DeepCopy(),
	}
	spec := corev1.PodSpec{
		AutomountServiceAccountToken: new(false),
		NodeSelector:                 place.NodeSelector, Tolerations: place.Tolerations, PriorityClassName: place.PriorityClassName,
	}
	for _, v := range p.Volumes {
		main.VolumeMounts = append(main.VolumeMounts, corev1.VolumeMount{Name: v.Name, MountPath: v.MountPath, SubPath: v.SubPath, ReadOnly: v.ReadOnly})
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: v.Name, VolumeSource: volumeSource(v)})
	}
	for _, name := range p.PullSecrets {
		spec.ImagePullSecrets = append(spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	if devices != nil {
		if main.Resources.Limits == nil {
			main.Resources.Limits = corev1.ResourceList{}
		}
		device := cmp.Or(devices.Resource, defaultGPU)
		main.Resources.Limits[corev1.ResourceName(device)] = *resource.NewQuantity(int64(devices.Count), resource.DecimalSI)
		spec.Tolerations = append(spec.Tolerations, corev1.Toleration{Key: device, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule})
		if terms := nodesWith(devices); len(terms) > 0 {
			spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
				RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms},
			}}
		}
	}
	spec.Containers = []corev1.Container{main}
	return spec
}

func volumeSource(v api.Volume) (s corev1.VolumeSource) {
	switch {
	case v.Claim != "":
		s.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: v.Claim, ReadOnly: v.ReadOnly}
	case v.ConfigMap != "":
		s.ConfigMap = &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: v.ConfigMap}}
	case v.Secret != "":
		s.Secret = &corev1.SecretVolumeSource{SecretName: v.Secret}
	default:
		s.EmptyDir = &corev1.EmptyDirVolumeSource{SizeLimit: v.Scratch}
	}
	return s
}

const (
	defaultGPU = "nvidia.com/gpu"
	// gfd begins the labels of GPU Feature Discovery.
	gfd = "nvidia.com/gpu."
)

// nodesWith are the nodes whose GPUs will do, by the labels of GPU Feature
// Discovery; none is any.
func nodesWith(g *api.Devices) (terms []corev1.NodeSelectorTerm) {
	need := func(key string, op corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorRequirement {
		return corev1.NodeSelectorRequirement{Key: gfd + key, Operator: op, Values: values}
	}
	var all []corev1.NodeSelectorRequirement
	if len(g.Products) > 0 {
		all = append(all, need("product", corev1.NodeSelectorOpIn, g.Products...))
	}
	if g.Memory != nil && g.Memory.Value() > 1<<20 {
		all = append(all, need("memory", corev1.NodeSelectorOpGt, strconv.FormatInt(g.Memory.Value()>>20-1, 10)))
	}
	var major, minor int
	if _, err := fmt.Sscanf(g.ComputeCapability, "%d.%d", &major, &minor); err != nil {
		if len(all) > 0 {
			terms = append(terms, corev1.NodeSelectorTerm{MatchExpressions: all})
		}
		return terms
	}
	// A higher major version, or the same and at least the minor one.
	newer := append(all[:len(all):len(all)], need("compute.major", corev1.NodeSelectorOpGt, strconv.Itoa(major)))
	same := append(all[:len(all):len(all)], need("compute.major", corev1.NodeSelectorOpIn, strconv.Itoa(major)))
	if minor > 0 {
		same = append(same, need("compute.minor", corev1.NodeSelectorOpGt, strconv.Itoa(minor-1)))
	}
	return []corev1.NodeSelectorTerm{{MatchExpressions: newer}, {MatchExpressions: same}}
}
