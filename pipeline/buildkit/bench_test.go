package buildkit

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/pipeline"
)

// BenchmarkBuild changes one line of a file that is copied onto a parent of
// 100 MB, builds and pushes: by us with each setting, and by bare buildctl as
// a process at the same daemon. Each iteration is one build.
func BenchmarkBuild(b *testing.B) {
	big := make([]byte, 100<<20)
	random := rand.NewChaCha8([32]byte{})
	random.Read(big)
	parent := mustBuild(b, mustNew(b, Options{}), pipeline.Order{
		Layer: "big", Repository: sharedRegistry.host + "/lab/big",
		Build: solvable(b, "FROM scratch\nCOPY big /big\n", memFS{{path: "big", data: string(big)}}, nil, byContent),
	})
	dockerfile := "FROM " + parent.repository + "@" + parent.digest.String() + "\nCOPY train.py /lab/\n"
	n := 0
	content := func() string { n++; return fmt.Sprintf("lr = %09d\n", n) }

	for _, way := range []struct {
		name    string
		options Options
	}{
		{"zstd", Options{}},
		{"gzip", Options{Compression: Gzip}},
		{"reproducible", Options{Reproducible: true}},
		{"provenance", Options{Attestations: Attestations{Provenance: "min"}}},
	} {
		b.Run(way.name, func(b *testing.B) {
			builder := mustNew(b, way.options)
			for b.Loop() {
				files := memFS{{path: "train.py", data: content()}}
				o := pipeline.Order{Layer: "child", Repository: sharedRegistry.host + "/lab/child",
					Build: solvable(b, dockerfile, files, parent, byContent)}
				if _, err := builder.Build(b.Context(), o, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("buildctl", func(b *testing.B) {
		dir, path := b.TempDir(), buildctl(b)
		write(b, filepath.Join(dir, "Dockerfile"), dockerfile)
		for b.Loop() {
			write(b, filepath.Join(dir, "train.py"), content())
			out, err := exec.Command(path, "--addr", sharedDaemon.Address(), "build", "--frontend", "dockerfile.v0",
				"--local", "context="+dir, "--local", "dockerfile="+dir,
				"--output", "type=image,name="+sharedRegistry.host+"/lab/bare,push=true").CombinedOutput()
			if err != nil {
				b.Fatalf("%v\n%s", err, out)
			}
		}
	})
}

func buildctl(b *testing.B) string {
	if path, err := exec.LookPath("buildctl"); err == nil {
		return path
	}
	out, err := exec.Command("go", "tool", "-n", "buildctl").Output()
	if err != nil {
		b.Fatalf("no buildctl on PATH, and go tool -n buildctl: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func write(b *testing.B, path, data string) {
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		b.Fatal(err)
	}
}
