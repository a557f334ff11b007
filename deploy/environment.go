package deploy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lab-layers/lab-layers/layers"
)

// Kind is a kind of workload, as the API server writes it.
type Kind string

// The kinds that can be environments.
const (
	Deployment  Kind = "Deployment"
	StatefulSet Kind = "StatefulSet"
	DaemonSet   Kind = "DaemonSet"
	CronJob     Kind = "CronJob"
)

var kindNames = map[Kind][]string{
	Deployment:  {"deployment", "deployments", "deploy"},
	StatefulSet: {"statefulset", "statefulsets", "sts"},
	DaemonSet:   {"daemonset", "daemonsets", "ds"},
	CronJob:     {"cronjob", "cronjobs", "cj"},
}

// ParseKind reads a kind as people write it, also by kubectl's short names.
func ParseKind(text string) (Kind, error) {
	for kind, names := range kindNames {
		if slices.Contains(names, strings.ToLower(text)) {
			return kind, nil
		}
	}
	return "", fmt.Errorf("%q is no kind of workload: take deployment, statefulset, daemonset or cronjob", text)
}

// Environment names what runs: a workload of the cluster.
type Environment struct {
	Namespace string `json:"namespace"`
	Kind      Kind   `json:"kind"`
	Name      string `json:"name"`
}

// String is NAMESPACE/KIND/NAME, the kind in lower case.
func (e Environment) String() string {
	return e.Namespace + "/" + strings.ToLower(string(e.Kind)) + "/" + e.Name
}

// Pick finds the one environment that a text names: NAMESPACE/KIND/NAME, or without
// the kind where that is clear.
func Pick(text string, all []Environment) (Environment, error) {
	found, err := PickAll(text, all)
	switch {
	case err != nil:
		return Environment{}, err
	case len(found) > 1:
		return Environment{}, fmt.Errorf("%s is %s: name one", text, written(found, ", "))
	}
	return found[0], nil
}

// PickAll finds what [Pick] does and, for a text with a * at its end, all environments
// whose names begin so.
func PickAll(text string, all []Environment) ([]Environment, error) {
	parts := strings.Split(text, "/")
	wanted := Environment{Namespace: parts[0], Name: parts[len(parts)-1]}
	switch len(parts) {
	case 2:
	case 3:
		kind, err := ParseKind(parts[1])
		if err != nil {
			return nil, err
		}
		wanted.Kind = kind
	default:
		return nil, fmt.Errorf("%q names no environment: write NAMESPACE/KIND/NAME, such as vision/deployment/resnet50", text)
	}
	begin, several := strings.CutSuffix(wanted.Name, "*")
	var fits, students []Environment
	var names []string
	for _, e := range all {
		if e.Namespace != wanted.Namespace || wanted.Kind != "" && e.Kind != wanted.Kind {
			continue
		}
		names = append(names, e.Name)
		switch {
		case e.Name == wanted.Name, several && strings.HasPrefix(e.Name, begin):
			fits = append(fits, e)
		case strings.HasPrefix(e.Name, wanted.Name+"-"):
			students = append(students, e)
		}
	}
	nearest, near := layers.Nearest(wanted.Name, names)
	switch {
	case len(fits) == 1, several && len(fits) > 0:
		return fits, nil
	case len(fits) > 1:
		return nil, fmt.Errorf("%s could be %s: name one", text, written(fits, " or "))
	case len(students) > 0:
		return nil, fmt.Errorf("there is no environment %s; if it is of students, theirs are %s: name one, or all by '%s-*'", text, written(students, ", "), text)
	case near:
		return nil, fmt.Errorf("there is no environment %s; did you mean %s/%s?", text, wanted.Namespace, nearest)
	}
	return nil, fmt.Errorf("there is no environment %s; \"lab-layers environments\" lists them", text)
}

// written are the first of environments, by name.
func written(all []Environment, between string) string {
	var names []string
	for _, e := range all {
		names = append(names, e.String())
	}
	slices.Sort(names)
	if left := len(names) - maxNames; left > 0 {
		names = append(names[:maxNames], fmt.Sprintf("%d more", left))
	}
	return strings.Join(names, between)
}
