package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/agent/hook"
)

func newHook() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hook",
		Short: "Have a bare repository tell the agent of pushes",
		Long: `hook puts a post-receive hook into a Git repository that people push to. The hook
wakes the agent, and tells those who push what their push builds. A push never
fails by it, nor waits longer than two seconds. A hook that is there runs after
it, with the same input, and its exit code counts.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newHookInstall(), newHookUninstall(), newHookRun())
	return cmd
}

func newHookInstall() *cobra.Command {
	var repo, dataDir string
	var t hook.Target
	cmd := &cobra.Command{
		Use:   "install --repo DIR --agent URL",
		Short: "Put the hook into a repository, or change what it tells whom",
		Example: `  lab-layers hook install --repo /srv/git/lab.git --agent http://127.0.0.1:7070
  lab-layers hook install --repo /srv/git/lab.git --agent https://lab-layers.example.org \
      --url git@git.example.org:lab.git --secret-file /etc/lab-layers/webhook-secret`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := checkAgentURL(t.Agent); err != nil {
				return err
			}
			if t.Repository == "" {
				if t.Repository, err = filepath.Abs(repo); err != nil {
					return err
				}
			}
			if t.SecretFile == "" {
				if t.DataDir, err = filepath.Abs(dataDir); err != nil {
					return err
				}
			} else {
				if t.SecretFile, err = filepath.Abs(t.SecretFile); err != nil {
					return err
				}
				if _, err := hook.ReadSecret(t.SecretFile); err != nil {
					return inputf("--secret-file: %w", err)
				}
			}
			program, err := os.Executable()
			if err != nil {
				return err
			}
			i := hook.Installer{Program: program, Environ: os.Environ()}
			file, err := i.Install(cmd.Context(), repo, t)
			if err != nil {
				return hookError(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s tells %s of pushes\n", file, t.Agent)
			if _, err := os.Lstat(file + hook.Before); err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "and then runs the hook that was there, now %s\n", filepath.Base(file)+hook.Before)
			}
			return nil
		},
	}
	addHookRepo(cmd, &repo)
	cmd.Flags().StringVar(&t.Agent, "agent", "http://"+defaultListen, "URL of the agent, as this machine reaches it")
	cmd.Flags().StringVar(&t.Repository, "url", "", "URL by which the agent watches the repository (default: its path)")
	cmd.Flags().StringVar(&t.SecretFile, "secret-file", "", "file with the agent's webhook secret; who runs the hook must be able to read it")
	cmd.Flags().StringVar(&dataDir, "data-dir", defaultDataDir(), "data directory of an agent on this machine; without a secret, those are told of runs who can read the agent's own token there")
	return cmd
}

func newHookUninstall() *cobra.Command {
	var repo string
	cmd := &cobra.Command{
		Use:     "uninstall --repo DIR",
		Short:   "Take the hook out, and put back the one that was there before",
		Example: `  lab-layers hook uninstall --repo /srv/git/lab.git`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			i := hook.Installer{Environ: os.Environ()}
			file, found, err := i.Uninstall(cmd.Context(), repo)
			switch {
			case err != nil:
				return hookError(err)
			case !found:
				fmt.Fprintf(cmd.OutOrStdout(), "%s is no hook of lab-layers for this repository: nothing to take out\n", file)
			default:
				fmt.Fprintf(cmd.OutOrStdout(), "%s tells nobody of pushes to this repository any more\n", file)
			}
			return nil
		},
	}
	addHookRepo(cmd, &repo)
	return cmd
}

func addHookRepo(cmd *cobra.Command, repo *string) {
	cmd.Flags().StringVar(repo, "repo", ".", "directory of the repository that is pushed to")
}

func hookError(err error) error {
	if errors.Is(err, hook.ErrNoRepository) || errors.Is(err, hook.ErrNoHook) || errors.Is(err, hook.ErrTwoHooks) {
		return inputError{err}
	}
	return err
}
