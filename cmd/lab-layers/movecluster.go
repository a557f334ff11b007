package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent/postgres"
	"github.com/lab-layers/lab-layers/deploy"
)

func newMoveCluster() *cobra.Command {
	var records recordFlags
	var kubeconfig string
	cmd := &cobra.Command{
		Use:   "move-cluster",
		Short: "Make the records those of another cluster",
		Long: `move-cluster makes a database that has the rollouts of one cluster that of another,
which takes its place: one that was built anew, say. Agents and operators with a
cluster must have been ended before. Environments, pins and tasks stay recorded; those
that the new cluster does not have are taken for deleted once it is served.`,
		Example: `  lab-layers move-cluster --kubeconfig /etc/lab-layers/kubeconfig --database-url postgres://lab@db/lab`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := setFromEnvironment(cmd.Flags(), os.LookupEnv); err != nil {
				return err
			}
			client, err := newClient(kubeconfig)
			if err != nil {
				return err
			}
			uid, err := deploy.ClusterUID(cmd.Context(), client)
			if err != nil {
				return fmt.Errorf("ask the cluster which one it is: %s", deploy.Problem(err))
			}
			store, closeStore, err := records.open(cmd.Context())
			if err != nil {
				return err
			}
			defer closeStore()
			before, err := store.MoveCluster(cmd.Context(), uid)
			if errors.As(err, new(postgres.Refusal)) {
				return inputError{err}
			}
			if err != nil {
				return err
			}
			switch before {
			case uid:
				fmt.Fprintf(cmd.OutOrStdout(), "these are its records already (kube-system %s)\n", uid)
			case "":
				fmt.Fprintf(cmd.OutOrStdout(), "these are its records from now on (kube-system %s)\n", uid)
			default:
				fmt.Fprintf(cmd.OutOrStdout(), "these are its records from now on (kube-system %s), and no more those of kube-system %s\n", uid, printable(before))
			}
			return nil
		},
	}
	records.add(cmd)
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", inCluster, "the cluster that is to be served: a kubeconfig file, or in-cluster")
	return cmd
}
