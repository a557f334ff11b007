package main

import (
	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline/buildkit"
)

// exportFlags say how images are written. They are in the key of every layer.
type exportFlags struct {
	compression  string
	reproducible bool
}

func (f *exportFlags) add(cmd *cobra.Command) {
	*f = usualExport()
	cmd.Flags().StringVar(&f.compression, "compression", f.compression, "compression of image layers: zstd or gzip; it is in the keys, so keep to one")
	cmd.Flags().BoolVar(&f.reproducible, "reproducible", f.reproducible, "give the same digest on any BuildKit where RUN steps allow, at some cost; it is in the keys")
}

// usualExport is how images are written unless somebody says otherwise.
func usualExport() exportFlags { return exportFlags{compression: string(buildkit.Zstd)} }

func (f exportFlags) check() error {
	if err := buildkit.Compression(f.compression).Check(); err != nil {
		return inputf("--compression: %w", err)
	}
	return nil
}

// settings are those of a planner whose keys the images then have.
func (f exportFlags) settings() layers.Settings {
	return layers.Settings{Reproducible: f.reproducible, Compression: f.compression}
}
