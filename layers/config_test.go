package layers

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the cases of testdata/config expect, and the schema")

// TestConfigCases reads the files of testdata/config. What is expected of X.yaml
// stands in X.faults, or in X.layers if it has none.
func TestConfigCases(t *testing.T) {
	files, err := filepath.Glob("testdata/config/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := ParseConfig(ConfigFile, data)
			stem := strings.TrimSuffix(file, ".yaml")
			faults, layers := "", ""
			var all Faults
			if errors.As(err, &all) {
				faults = err.Error() + "\n"
			} else if err != nil {
				t.Fatalf("%T is not Faults", err)
			} else {
				layers = describeConfig(t, cfg)
			}
			golden(t, stem+".faults", faults)
			golden(t, stem+".layers", layers)
			again, err2 := ParseConfig(ConfigFile, data)
			if !reflect.DeepEqual(cfg, again) || fmt.Sprint(err) != fmt.Sprint(err2) {
				t.Error("the same text gave another result")
			}
		})
	}
}

// golden compares with a file that is not there when nothing is expected.
func golden(t *testing.T, file, got string) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if string(want) == got {
		return
	}
	if !*update {
		t.Errorf("%s: got\n%swant\n%s", file, got, want)
		return
	}
	if got == "" {
		err = os.Remove(file)
	} else {
		err = os.WriteFile(file, []byte(got), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func describeConfig(t *testing.T, cfg *Config) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "version %d, %s\n", cfg.Version, cfg.Platform)
	for _, l := range cfg.Layers {
		text, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", text)
	}
	for _, r := range cfg.Refs {
		fmt.Fprintf(&b, "%s %q %s immutable=%t\n", r.Ref, r.Tags, r.TTL, r.Immutable)
	}
	return b.String()
}

// TestExample holds that the example at the top of the repository is valid,
// says what a file without refs would, and fits the sample lab.
func TestExample(t *testing.T) {
	data, err := os.ReadFile("../" + ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := ParseConfig(ConfigFile, data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(cfg.Refs, DefaultRefs()) {
		t.Errorf("refs are %v, the default is %v", cfg.Refs, DefaultRefs())
	}
	parents := map[Name]Name{}
	for _, l := range cfg.Layers {
		parents[l.Name] = l.Parent
	}
	want := map[Name]Name{
		"base": "", "pytorch": "base", "tensorflow": "base", "bert-base": "tensorflow",
		"resnet50": "pytorch", "yolov7": "pytorch", "gpt-2": "pytorch", "unet": "pytorch",
	}
	if !reflect.DeepEqual(parents, want) {
		t.Errorf("parents are %v, want %v", parents, want)
	}
	objects := newMemory()
	files := map[string]Entry{}
	err = filepath.WalkDir("../testdata/lab", func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		files[filepath.ToSlash(strings.TrimPrefix(name, "../testdata/lab/"))] = Entry{Mode: ModeFile, ID: objects.blob(string(text))}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if faults, err := Check(t.Context(), objects.tree(files), cfg); faults != nil || err != nil {
		t.Errorf("the sample lab has faults:\n%v%v", faults, err)
	}
}

// TestConfigLimits holds that a hostile file is refused in a moment.
func TestConfigLimits(t *testing.T) {
	many := func(n int, line string) string {
		var b strings.Builder
		b.WriteString("layers:\n")
		for i := range n {
			fmt.Fprintf(&b, line, i)
		}
		return b.String()
	}
	bomb := "layers:\n  - {name: a, kind: base, args: &x {"
	for i := range 5000 {
		bomb += fmt.Sprintf("A%d: 1, ", i)
	}
	bomb += "}}\n" + strings.TrimPrefix(many(9000, "  - {name: l%d, kind: base, args: *x}\n"), "layers:\n")
	cases := map[string]struct{ text, want string }{
		"size":        {strings.Repeat("#", MaxConfig+1), "the file has 1048577 bytes, at most 1048576 are read"},
		"layers":      {many(10_001, "  - {name: l%d, kind: base}\n"), "has 10001 entries, at most 10000 are allowed"},
		"alias bomb":  {bomb, "aliases stand for more than 100000 values"},
		"deep":        {strings.Repeat("[", MaxConfig), "not YAML"},
		"deep blocks": {strings.Repeat("- ", MaxConfig/2), "not YAML"},
		"many faults": {many(10_000, "  - {name: L%d, kind: x, parent: nobody%[1]d}\n"), "more faults"},
		"one cycle":   {many(10_000, "  - {name: l%d, kind: base, parent: l%[1]d1}\n"), "which is not there"},
		"syntax":      {many(5_000, "  - {name: l%d, kind: base}\n") + " x: [\n", "not YAML"},
		"quotes":      {"a: \"" + strings.Repeat("x\n", MaxConfig/2-10), "not YAML"},
		"long name":   {"layers: [{name: " + strings.Repeat("é", 100_000) + ", kind: base}]", "at most 128"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, err := ParseConfig(ConfigFile, []byte(c.text))
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("took %s", took)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("no %q in %.1000v", c.want, err)
			}
			if n := len(fmt.Sprint(err)); n > 1<<20 {
				t.Errorf("the error has %d bytes", n)
			}
		})
	}
}

// TestLongCycle holds that a chain of any length is followed, and a circle of
// it told in one fault.
func TestLongCycle(t *testing.T) {
	var b strings.Builder
	b.WriteString("layers:\n")
	for i := range 10_000 {
		fmt.Fprintf(&b, "  - {name: l%d, kind: base, parent: l%d}\n", i, (i+1)%10_000)
	}
	_, err := ParseConfig(ConfigFile, []byte(b.String()))
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 1 || !strings.Contains(faults[0].Problem, "l0 on l1 on ") || !strings.Contains(faults[0].Problem, "(9950 more) on l0") {
		t.Errorf("faults %v", err)
	}
}

func BenchmarkParseConfig(b *testing.B) {
	var text strings.Builder
	text.WriteString("version: 1\nlayers:\n  - {name: base, kind: base}\n")
	for i := range 999 {
		fmt.Fprintf(&text, "  - name: exp-%d\n    kind: experiment\n    parent: base\n    context: experiments/%d\n", i, i)
	}
	for b.Loop() {
		if _, err := ParseConfig(ConfigFile, []byte(text.String())); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzParseConfig holds that no text makes the parser panic, that faults have a
// place and one line each, and that what is valid keeps its promises.
func FuzzParseConfig(f *testing.F) {
	files, err := filepath.Glob("testdata/config/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := ParseConfig(ConfigFile, data)
		if err != nil {
			for _, fault := range err.(Faults) {
				if fault.File != ConfigFile || fault.Line < 1 || fault.Column < 1 || fault.Problem == "" || strings.ContainsAny(fault.String(), "\n\r\x00") {
					t.Errorf("fault %q at %q", fault, fault.Position)
				}
			}
			return
		}
		placed := map[Name]Kind{"": Base}
		for _, l := range cfg.Layers {
			parent, ok := placed[l.Parent]
			if !ok || l.Kind.rank() < parent.rank() {
				t.Errorf("%s of kind %s stands before or below %q", l.Name, l.Kind, l.Parent)
			}
			if _, again := placed[l.Name]; again || !namePattern.MatchString(string(l.Name)) {
				t.Errorf("name %q", l.Name)
			}
			if !filepath.IsLocal(l.Context) || !filepath.IsLocal(l.Dockerfile) {
				t.Errorf("paths %q and %q", l.Context, l.Dockerfile)
			}
			placed[l.Name] = l.Kind
		}
		for _, r := range cfg.Refs {
			if ref := strings.ReplaceAll(r.Ref, "*", "x"); len(r.Tags) > 0 {
				if _, ok := cfg.TagsFor(Ref(ref), "0123456789abcdef0123456789abcdef01234567"); !ok {
					t.Errorf("no tags for %s", ref)
				}
			}
		}
	})
}
