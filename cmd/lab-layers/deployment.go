package main

import (
	"cmp"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"
	clientgo "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/gates"
)

// Limits on what the API server is asked, in requests a second. Watches are no
// part of it.
const (
	apiRate  = 50
	apiBurst = 100
)

// smokeTests is how many smoke tests run at once.
const smokeTests = 10

// inCluster is a --kubeconfig for an agent that runs in the cluster itself.
const inCluster = "in-cluster"

// deployFlags say which cluster's workloads are rolled to new images.
type deployFlags struct {
	kubeconfig string
	namespaces []string
	registry   string
	parallel   int
	canary     bool
	// operator is the namespace of what the operator has for itself.
	operator string
}

func (f *deployFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.kubeconfig, "kubeconfig", "", "cluster whose annotated workloads are rolled to new images: a kubeconfig file, or in-cluster for the agent's own service account (default: none)")
	cmd.Flags().StringSliceVar(&f.namespaces, "namespaces", nil, "namespaces whose workloads are looked after (default: all)")
	cmd.Flags().StringVar(&f.registry, "deploy-registry", "", "the registry as nodes reach it, as HOST or HOST/PREFIX, if they do by another name")
	cmd.Flags().StringVar(&f.operator, "operator-namespace", "", "namespace of the LabImages and of the lease of who serves custom resources (default: the service account's, or that of the kubeconfig's context)")
	cmd.Flags().IntVar(&f.parallel, "rollouts", 50, "rollouts that go on side by side; 0 is no limit")
	cmd.Flags().BoolVar(&f.canary, "canary", true, "of the environments on a base have one get a release first, and the others only once it is healthy")
}

// client speaks with the cluster; nil if there is none.
func (f *deployFlags) client() (clientgo.Interface, error) {
	if f.kubeconfig == "" {
		return nil, nil
	}
	return newClient(f.kubeconfig)
}

// newClient speaks with the cluster that a --kubeconfig names.
func newClient(kubeconfig string) (clientgo.Interface, error) {
	config, err := clusterConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	client, err := clientgo.NewForConfig(config)
	if err != nil {
		return nil, inputf("--kubeconfig %s: %w", kubeconfig, err)
	}
	return client, nil
}

// clusterConfig says how to speak with the cluster that a --kubeconfig names.
func clusterConfig(kubeconfig string) (config *rest.Config, err error) {
	if kubeconfig == inCluster {
		config, err = rest.InClusterConfig()
	} else {
		config, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	}
	if err != nil {
		return nil, notClusterOf(kubeconfig, err)
	}
	config.QPS, config.Burst, config.UserAgent = apiRate, apiBurst, "lab-layers"
	return config, nil
}

// notClusterOf says why a --kubeconfig leads to no cluster; without a name it is
// kubectl's own.
func notClusterOf(kubeconfig string, err error) error {
	if clientcmd.IsEmptyConfig(err) {
		err = errors.New("it names no cluster: is it empty, or no kubeconfig?")
	}
	return inputf("--kubeconfig %s: %w", cmp.Or(kubeconfig, "of kubectl"), err)
}

// engine deploys what the records have of some repositories, given as URLs by
// their names; nil if there is no cluster.
func (f *deployFlags) engine(store *postgres.Store, registry string, repositories map[string]string, log *slog.Logger) (*deploy.Engine, error) {
	client, err := f.client()
	if err != nil || client == nil {
		return nil, err
	}
	klog.SetSlogLogger(log.With("part", "client-go"))
	if host, _, err := net.SplitHostPort(registry); f.registry == "" && err == nil && net.ParseIP(host).IsLoopback() {
		log.Warn("nodes on other machines cannot pull from the registry: give --deploy-registry", "registry", registry)
	}
	return &deploy.Engine{
		Client: client, Store: store, Repositories: repositories, Registry: cmp.Or(f.registry, registry), Namespaces: f.namespaces,
		Gates:    []deploy.Gate{gates.Calendar{Now: time.Now}, &gates.Driver{Images: store, Now: time.Now}},
		Tests:    []deploy.Gate{&gates.Smoke{Client: client, Parallel: smokeTests, Now: time.Now}},
		Last:     []deploy.Gate{gates.Idle{Now: time.Now}},
		Settings: gates.Settings{}, Parallel: f.parallel, Canary: f.canary, Now: time.Now, Log: log,
	}, nil
}
