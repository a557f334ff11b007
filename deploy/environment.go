package deploy

import (
	"fmt"
	"slices"
	"strings"
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

// Pick finds the one environment that a text names: NAMESPACE/KIND/NAME, or
// without the kind where that is clear.
func Pick(text string, all []Environment) (Environment, error) {
	parts := strings.Split(text, "/")
	wanted := Environment{Namespace: parts[0], Name: parts[len(parts)-1]}
	switch len(parts) {
	case 2:
	case 3:
		kind, err := ParseKind(parts[1])
		if err != nil {
			return wanted, err
		}
		wanted.Kind = kind
	default:
		return wanted, fmt.Errorf("%q names no environment: write NAMESPACE/KIND/NAME, such as vision/deployment/resnet50", text)
	}
	var fits []Environment
	var names []string
	for _, e := range all {
		if e.Namespace == wanted.Namespace && e.Name == wanted.Name && (wanted.Kind == "" || e.Kind == wanted.Kind) {
			fits, names = append(fits, e), append(names, e.String())
		}
	}
	switch len(fits) {
	case 1:
		return fits[0], nil
	case 0:
		return wanted, fmt.Errorf("there is no environment %s; \"lab-layers environments\" lists them", text)
	}
	slices.Sort(names)
	return wanted, fmt.Errorf("%s could be %s: name one", text, strings.Join(names, " or "))
}
