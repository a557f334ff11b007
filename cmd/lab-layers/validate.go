package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/layers"
)

func newValidate() *cobra.Command {
	var repo, rev, config string
	var schema bool
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Report every fault of a lab-layers.yaml at once",
		Long: `validate checks lab-layers.yaml and the Dockerfiles that it names, and prints
every fault with file, line, column and remedy. Without --rev it takes the
lab-layers.yaml of the working directory, and the Dockerfiles of HEAD. The exit code
is 1 if there are faults.`,
		Example: `  lab-layers validate
  lab-layers validate --rev feature/x
  lab-layers validate --schema > lab-layers.schema.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if schema {
				text, err := layers.Schema()
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(text)
				return err
			}
			faults, count, err := validate(cmd, repo, rev, config)
			if err != nil {
				return err
			}
			for _, fault := range faults {
				fmt.Fprintln(cmd.ErrOrStderr(), printable(fault.String()))
			}
			if len(faults) > 0 {
				return silentError{faults}
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d layers, no faults\n", count)
			return err
		},
	}
	cmd.Flags().StringVar(&repo, "repo", ".", "repository: a directory or a URL")
	cmd.Flags().StringVar(&rev, "rev", "", "commit to check (default: the working directory's file against HEAD)")
	cmd.Flags().StringVar(&config, "config", "", "file to check instead of the repository's lab-layers.yaml")
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of lab-layers.yaml for editors")
	return cmd
}

func validate(cmd *cobra.Command, repo, rev, config string) (layers.Faults, int, error) {
	view, err := openView(cmd.Context(), repo, "", usualExport())
	if err != nil {
		return nil, 0, err
	}
	at := rev
	if at == "" {
		at = "HEAD"
	}
	commit, err := view.repo.Resolve(at)
	if err != nil {
		return nil, 0, inputError{err}
	}
	tree, err := view.repo.Tree(commit)
	if err != nil {
		return nil, 0, err
	}
	name := layers.ConfigFile
	var text []byte
	switch {
	case config != "":
		name = config
		text, err = os.ReadFile(config)
	case rev == "":
		if text, err = readWithin(repo, name); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		fallthrough // a bare repository or a URL
	default:
		text, err = tree.ReadFile(name, layers.MaxConfig)
	}
	if errors.Is(err, fs.ErrNotExist) && config == "" {
		return nil, 0, inputf("%s has no %s: write one with \"lab-layers init\"", shown(repo), name)
	}
	if err != nil {
		return nil, 0, inputError{err}
	}
	cfg, err := layers.ParseConfig(name, text)
	var faults layers.Faults
	if errors.As(err, &faults) {
		return faults, 0, nil
	}
	if err != nil {
		return nil, 0, inputError{err}
	}
	faults, err = layers.Check(cmd.Context(), tree, cfg)
	return faults, len(cfg.Layers), err
}

// readWithin reads a configuration in a working directory, which may hold
// anything: neither what lies outside of it nor what is no file is read, and no
// more than a configuration may have.
func readWithin(dir, name string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", name)
	}
	file, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, layers.MaxConfig+1))
}
