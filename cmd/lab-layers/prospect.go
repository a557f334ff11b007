package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	clientgo "k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/deploy"
	"github.com/lab-layers/lab-layers/deploy/gates"
	"github.com/lab-layers/lab-layers/layers"
)

// planCluster says which cluster's environments a plan names.
type planCluster struct {
	kubeconfig string
	context    string
	namespaces []string
	into       string
	repository string
	records    recordFlags
	recorded   bool // whether records are named
}

func (f *planCluster) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "cluster whose environments are named that the commit would roll, by a kubeconfig file (default: no cluster is asked)")
	flags.StringVar(&f.context, "context", "", "context of the kubeconfig; without --kubeconfig, of kubectl's own")
	flags.StringSliceVar(&f.namespaces, "namespaces", nil, "namespaces of the cluster to look at (default: all)")
	flags.StringVar(&f.into, "into", "", "branch that the commit would be merged into (default: main, or master where there is no main)")
	flags.StringVar(&f.repository, "repository", "", "name of the repository in the agent's --repo; environments that name another are left out (default: none are)")
	flags.StringVar(&f.records.dataDir, "data-dir", "", "data directory of the agent: what it built of the commit is held against the nodes (or LAB_LAYERS_DATA_DIR)")
	flags.StringVar(&f.records.databaseURL, "database-url", "", "the same of an agent's PostgreSQL, if it has no private one (or LAB_LAYERS_DATABASE_URL)")
}

func (f *planCluster) check(cmd *cobra.Command) error {
	// Without either there need be no records, so the directory has no default here.
	f.records.dataDir = cmp.Or(f.records.dataDir, os.Getenv("LAB_LAYERS_DATA_DIR"))
	f.recorded = f.records.dataDir != "" || givenDatabase(f.records.databaseURL) != ""
	if f.asked() {
		return nil
	}
	for _, name := range []string{"namespaces", "into", "repository", "data-dir", "database-url"} {
		if cmd.Flags().Changed(name) {
			return inputf("--%s is about a cluster: name it with --kubeconfig", name)
		}
	}
	return nil
}

// asked reports whether a cluster is to be asked at all.
func (f *planCluster) asked() bool { return f.kubeconfig != "" || f.context != "" }

func (f *planCluster) client() (clientgo.Interface, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: f.context}).ClientConfig()
	if err != nil {
		return nil, notClusterOf(f.kubeconfig, err)
	}
	client, err := clientgo.NewForConfig(config)
	if err != nil {
		return nil, inputf("--kubeconfig %s: %w", f.kubeconfig, err)
	}
	return client, nil
}

// prospect is what a merge would roll.
type prospect struct {
	Into         layers.Ref       `json:"into"`
	Environments []deploy.Touched `json:"environments"`
	// Records is whether an agent's were looked at. Without them it is not known what
	// is pinned or built already.
	Records bool `json:"records"`
}

// plannedMerge is a plan's JSON where a cluster was asked: the plan, with the
// branch and the environments of it that would be rolled.
type plannedMerge struct {
	*layers.Plan
	prospect
}

// prospect asks the cluster what a plan's commit would roll. Images are held
// against the nodes where the records have some of the commit.
func (f *planCluster) prospect(ctx context.Context, v *view, plan *layers.Plan) (*prospect, error) {
	client, err := f.client()
	if err != nil {
		return nil, err
	}
	p := &prospect{Into: f.branch(v), Environments: []deploy.Touched{}, Records: f.recorded}
	merge := deploy.Merge{Repository: v.name, Into: p.Into, Images: map[layers.Name]string{}}
	for _, l := range plan.Layers {
		if l.Step != layers.Absent && (l.Step == layers.Build || l.Key != l.PreviousKey) {
			merge.Images[l.Name] = ""
		}
	}
	outlook := &deploy.Outlook{Client: client, Namespaces: f.namespaces, Times: gates.Calendar{Now: time.Now}, Fit: &gates.Driver{Now: time.Now}, Settings: gates.Settings{}, Idle: gates.WhenIdle, Now: time.Now}
	if f.repository != "" {
		outlook.Repositories = map[string]string{f.repository: v.name}
	}
	if f.recorded {
		store, closeStore, err := f.records.open(ctx)
		if err != nil {
			return nil, err
		}
		defer closeStore()
		outlook.Records, outlook.Fit = store, &gates.Driver{Images: store, Now: time.Now}
		built, err := recordedImages(ctx, store, plan.To)
		if err != nil {
			return nil, err
		}
		for name := range merge.Images {
			merge.Images[name] = built[name]
		}
	}
	touched, err := outlook.Touched(ctx, merge)
	if apierrors.IsForbidden(err) && len(f.namespaces) == 0 {
		err = fmt.Errorf("%w; if it reaches some namespaces only, name them with --namespaces NAMESPACE", err)
	}
	p.Environments = append(p.Environments, touched...)
	return p, err
}

// show prints a plan and, if there is a cluster, what it would roll. The plan is
// shown also where the cluster cannot be asked.
func (f *planCluster) show(cmd *cobra.Command, v *view, plan *layers.Plan, asJSON, explain bool) error {
	out := cmd.OutOrStdout()
	var found *prospect
	var failed error
	if f.asked() {
		found, failed = f.prospect(cmd.Context(), v, plan)
		if failed != nil {
			found, failed = nil, fmt.Errorf("which environments it would roll: %w", failed)
		}
	}
	var err error
	switch {
	case asJSON && found != nil:
		err = printJSON(out, plannedMerge{plan, *found})
	case asJSON:
		err = printJSON(out, plan)
	default:
		if err = printPlan(out, plan, explain); err == nil && found != nil {
			err = found.print(out)
		}
	}
	if err != nil {
		return err
	}
	return failed
}

// branch is the one that is merged into.
func (f *planCluster) branch(v *view) layers.Ref {
	name := f.into
	if name == "" {
		name = "main"
		if _, err := v.repo.Resolve(name); err != nil {
			if _, err := v.repo.Resolve("master"); err == nil {
				name = "master"
			}
		}
	}
	return layers.Ref("refs/heads/" + strings.TrimPrefix(name, "refs/heads/"))
}

// recordedImages are those of a commit, of whichever repository that environments
// follow has it.
func recordedImages(ctx context.Context, store *postgres.Store, commit layers.Commit) (map[layers.Name]string, error) {
	listed, err := store.Environments(ctx)
	if err != nil {
		return nil, err
	}
	asked := map[string]bool{"": true}
	for _, e := range listed {
		if asked[e.Repository] {
			continue
		}
		asked[e.Repository] = true
		_, images, err := store.CommitImages(ctx, e.Repository, string(commit))
		if err == nil || !errors.As(err, new(postgres.Refusal)) {
			return images, err
		}
	}
	return nil, nil
}

// print shows it to people.
func (p *prospect) print(w io.Writer) error {
	into := oneLine(strings.TrimPrefix(string(p.Into), "refs/heads/"))
	if len(p.Environments) == 0 {
		_, err := fmt.Fprintf(w, "\nmerging it into %s touches no environment\n", into)
		return err
	}
	plural := "s"
	if len(p.Environments) == 1 {
		plural = ""
	}
	fmt.Fprintf(w, "\nmerging it into %s touches %d environment%s\n", into, len(p.Environments), plural)
	rows := [][]string{{"ENVIRONMENT", "KIND", "GPUS", "LAYERS", "DRIVER AND GPU", "ROLLS", "WHY"}}
	for _, t := range p.Environments {
		var names []string
		for _, l := range t.Layers {
			names = append(names, string(l))
		}
		verdict, rolls := "not built yet", cmp.Or(t.Rolls(), "on merge")
		if t.Verdict != "" {
			verdict = string(verdicts[t.Verdict])
		}
		rows = append(rows, []string{t.Environment.Namespace + "/" + t.Environment.Name, t.Kind(), numberOf(t.GPUs), strings.Join(names, ", "), verdict, cut(rolls, 100), t.Reason})
	}
	if err := table(w, rows...); err != nil || p.Records {
		return err
	}
	_, err := fmt.Fprintln(w, "no records were looked at, so pins and images that are built already are not known: name the agent's with --data-dir or --database-url")
	return err
}
