package main

import (
	"cmp"
	"log/slog"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/lab-layers/lab-layers/agent/git"
	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/deploy/operator"
)

func newOperator() *cobra.Command {
	var records recordFlags
	var deploying deployFlags
	var logging logFlags
	var listening listenFlags
	var repoArgs []string
	cmd := &cobra.Command{
		Use:   "operator",
		Short: "Roll the workloads of a cluster, without building",
		Long: `operator does what an agent with --kubeconfig does in the cluster, and nothing
else: it rolls annotated workloads and LabEnvironments to the images that agents on
the same database release, runs LabTasks in them, and shows their builds as
LabImages. Of several, agents included, one is at work and another takes over when
it ends.`,
		Example: `  lab-layers operator --repo https://git.example.org/lab.git --deploy-registry registry.example.org/labs \
      --database-url postgres://lab@db/lab`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := setFromEnvironment(cmd.Flags(), os.LookupEnv); err != nil {
				return err
			}
			if deploying.registry == "" {
				return inputf("give --deploy-registry: the registry as nodes reach it, as HOST or HOST/PREFIX")
			}
			if deploying.kubeconfig == "" {
				return inputf("give --kubeconfig: a kubeconfig file, or %s", inCluster)
			}
			named, err := recordedRepos(repoArgs)
			if err != nil {
				return err
			}
			store, closeStore, err := records.open(cmd.Context())
			if err != nil {
				return err
			}
			defer closeStore()
			log := logging.logger(cmd.ErrOrStderr())
			rolls, err := deploying.rolling(cmd.Context(), store, "", named, log)
			if err != nil {
				return err
			}
			stop, err := listening.serveProbes(cmd.Context(), store, rolls, log)
			if err != nil {
				return err
			}
			defer stop(cmd.Context())
			rolls.serve(cmd.Context())
			return nil
		},
	}
	records.add(cmd)
	deploying.add(cmd)
	logging.add(cmd)
	listening.addProbes(cmd)
	cmd.Flags().StringSliceVar(&repoArgs, "repo", nil, "repositories whose images are rolled out, as the agents have them: a URL, or NAME=URL for several")
	kubeconfig := cmd.Flags().Lookup("kubeconfig")
	kubeconfig.DefValue, deploying.kubeconfig = inCluster, inCluster
	kubeconfig.Usage = "cluster whose workloads are rolled to new images: a kubeconfig file, or in-cluster for the service account of the operator's own pod"
	cmd.Flags().Lookup("deploy-registry").Usage = "the registry as nodes reach it, as HOST or HOST/PREFIX; it must be given"
	return cmd
}

// recordedRepos are repositories by name, as the records know them.
func recordedRepos(args []string) (map[string]string, error) {
	repos, err := parseRepos(args)
	if err != nil {
		return nil, err
	}
	named := map[string]string{}
	for _, repo := range repos {
		url, err := git.Remote{URL: repo.url}.Name()
		if err != nil {
			return nil, inputf("--repo %s: %w", shown(repo.url), err)
		}
		named[repo.name] = url
	}
	return named, nil
}

// operate serves the custom resources of the cluster; nil if there is no
// cluster.
func (f *deployFlags) operate(store *postgres.Store, registry string, repositories map[string]string, log *slog.Logger) (*operator.Operator, error) {
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
	ctrl.SetLogger(logr.FromSlogHandler(slog.DiscardHandler)) // the operator tells by itself what it meets
	return &operator.Operator{
		Config: config, Records: store, Repositories: repositories, Registry: cmp.Or(f.registry, registry),
		Namespace: namespace, Namespaces: f.namespaces, Log: log,
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
