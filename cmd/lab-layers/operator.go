package main

import (
	"context"
	"log/slog"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/lab-layers/lab-layers/deploy/operator"
)

// operate serves the custom resources of the cluster; nil if there is no
// cluster.
func (f *deployFlags) operate(s *stack, repositories map[string]string, log *slog.Logger) (*operator.Operator, error) {
	if f.kubeconfig == "" {
		return nil, nil
	}
	config, err := clusterConfig(f.kubeconfig)
	if err != nil {
		return nil, err
	}
	namespace, err := f.operatorNamespace()
	if err != nil {
		return nil, err
	}
	log = log.With("part", "operator")
	ctrl.SetLogger(logr.FromSlogHandler(log.Handler()))
	return &operator.Operator{
		Config: config, Records: s.store, Repositories: repositories, Registry: f.registryOf(s), Namespace: namespace, Log: log,
	}, nil
}

// accountNamespace has the namespace of the service account of a pod.
const accountNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

func (f *deployFlags) operatorNamespace() (string, error) {
	if f.operator != "" {
		return f.operator, nil
	}
	if f.kubeconfig == inCluster {
		text, err := os.ReadFile(accountNamespace)
		if err != nil {
			return "", inputf("give --operator-namespace: %w", err)
		}
		return strings.TrimSpace(string(text)), nil
	}
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: f.kubeconfig}
	namespace, _, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).Namespace()
	if err != nil {
		return "", inputf("--kubeconfig %s: %w", f.kubeconfig, err)
	}
	return namespace, nil
}

// operating serves custom resources until the returned function is called; a
// nil operator does nothing.
func operating(o *operator.Operator) (stop func(context.Context)) {
	if o == nil {
		return func(context.Context) {}
	}
	return keep(o.Serve)
}
