package layers

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"
)

// TestCheckCases checks the repositories of testdata/config/check against their
// own configuration. The faults stand in the file "want"; a repository without
// it has none.
func TestCheckCases(t *testing.T) {
	files, err := filepath.Glob("testdata/config/check/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			objects := newMemory()
			tree := map[string]Entry{}
			var kept []txtar.File
			var config []byte
			want, got := "", ""
			for _, f := range archive.Files {
				switch f.Name {
				case "want":
					want = string(f.Data)
					continue
				case ConfigFile:
					config = f.Data
				}
				kept = append(kept, f)
				tree[f.Name] = Entry{Mode: ModeFile, ID: objects.blob(string(f.Data))}
			}
			cfg, err := ParseConfig(ConfigFile, config)
			if err != nil {
				t.Fatal(err)
			}
			faults, err := Check(t.Context(), objects.tree(tree), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if faults != nil {
				got = faults.Error() + "\n"
			}
			if got == want {
				return
			}
			if !*update {
				t.Fatalf("got\n%swant\n%s", got, want)
			}
			archive.Files = append(kept, txtar.File{Name: "want", Data: []byte(got)})
			if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}
