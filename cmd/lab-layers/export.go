package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline/buildkit"
)

// exportFlags say how images are written. They are in the key of every layer.
type exportFlags struct {
	compression  string
	reproducible bool
	rebuild      rebuildTimes
}

func (f *exportFlags) add(cmd *cobra.Command) {
	*f = usualExport()
	cmd.Flags().StringVar(&f.compression, "compression", f.compression, "compression of image layers: zstd or gzip; it is in the keys, so keep to one")
	cmd.Flags().BoolVar(&f.reproducible, "reproducible", f.reproducible, "give the same digest on any BuildKit where RUN steps allow, at some cost; it is in the keys")
	cmd.Flags().StringVar(&f.rebuild.expression, "rebuild", "", "when to build everything on main anew, fetching again what RUN instructions fetch; a cron expression, whose last time is in the keys (default: never)")
}

// usualExport is how images are written unless somebody says otherwise.
func usualExport() exportFlags { return exportFlags{compression: string(buildkit.Zstd)} }

// check also reads the times of the rebuilds.
func (f *exportFlags) check() error {
	if err := buildkit.Compression(f.compression).Check(); err != nil {
		return inputf("--compression: %w", err)
	}
	if err := f.rebuild.parse(); err != nil {
		return inputf("--rebuild: %w", err)
	}
	return nil
}

// settings are those of a planner whose keys the images then have.
func (f exportFlags) settings() layers.Settings {
	return layers.Settings{Reproducible: f.reproducible, Compression: f.compression, Salt: func() string { return f.rebuild.salt(time.Now()) }}
}
