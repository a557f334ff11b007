package scaffold

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
	"gopkg.in/yaml.v3"

	"github.com/lab-layers/lab-layers/layers"
)

var update = flag.Bool("update", false, "write what the cases expect")

const wanted = "want.yaml"

// TestProposals plays the repositories under testdata, each one shape that
// real repositories have: what is proposed for the files of an archive is its
// file want.yaml.
func TestProposals(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tree := map[string]string{}
			want := ""
			for _, f := range archive.Files {
				if f.Name == wanted {
					want = string(f.Data)
					continue
				}
				tree[f.Name] = string(f.Data)
			}
			p, err := Propose(treeOf(tree))
			if err != nil {
				t.Fatal(err)
			}
			check(t, p)
			if cfg, err := layers.ParseConfig(layers.ConfigFile, p.YAML()); err != nil {
				t.Error(err)
			} else if faults, err := layers.Check(t.Context(), treeOf(tree), cfg); faults != nil || err != nil {
				t.Error(faults, err)
			}
			got := string(p.YAML())
			if *update {
				archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == wanted })
				archive.Files = append(archive.Files, txtar.File{Name: wanted, Data: []byte(got)})
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("proposal:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// check holds every proposal to what a valid lab-layers.yaml needs, read back
// from the YAML, with and without what was left out.
func check(t testing.TB, p *Proposal) {
	t.Helper()
	checkYAML(t, p.YAML())
	checkYAML(t, uncommented(p.YAML()))
}

// uncommented takes the marks away before the layers that were left out.
func uncommented(text []byte) []byte {
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		for _, start := range []string{"  # - name: ", "  #   kind: ", "  #   parent: ", "  #   from: ", "  #   context: ", "  #   dockerfile: ", "  #   target: ", "  #   secrets: ", "  #   ssh: ", "  #   args:", "  #     "} {
			if strings.HasPrefix(line, start) {
				line = "  " + line[4:]
			}
		}
		out.WriteString(line)
	}
	return []byte(strings.Replace(out.String(), "layers: []", "layers:", 1))
}

func checkYAML(t testing.TB, text []byte) {
	t.Helper()
	var config struct {
		Version int
		Layers  []struct {
			Name, Kind, Parent, From, Context, Dockerfile, Target string
			Secrets, SSH                                          []string
			Args                                                  map[string]string
		}
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatalf("not valid: %v\n%s", err, text)
	}
	if len(config.Layers) > 0 {
		if _, err := layers.ParseConfig(layers.ConfigFile, text); err != nil {
			t.Fatalf("not accepted: %v\n%s", err, text)
		}
	}
	kinds := map[string]layers.Kind{}
	parents := map[string]string{}
	for _, l := range config.Layers {
		if validName(l.Name) != l.Name || l.Name == "" {
			t.Errorf("bad name %q", l.Name)
		}
		if _, ok := kinds[l.Name]; ok {
			t.Errorf("two layers are called %s\n%s", l.Name, text)
		}
		kinds[l.Name], parents[l.Name] = layers.Kind(l.Kind), l.Parent
		if l.Context == "" || strings.HasPrefix(l.Context, "/") || strings.HasPrefix(l.Context, "..") || strings.HasPrefix(l.Dockerfile, "..") {
			t.Errorf("%s: bad paths %q %q", l.Name, l.Context, l.Dockerfile)
		}
	}
	for name, parent := range parents {
		if rank(kinds[name]) < 0 {
			t.Errorf("%s has the kind %q", name, kinds[name])
		}
		if parent == "" {
			continue
		}
		if _, ok := kinds[parent]; !ok {
			t.Errorf("%s stands on %s, which is no layer", name, parent)
		}
		if rank(kinds[name]) < rank(kinds[parent]) {
			t.Errorf("%s is a %s on a %s", name, kinds[name], kinds[parent])
		}
		for steps, at := 0, parent; at != ""; at = parents[at] {
			if steps++; steps > len(parents) {
				t.Fatalf("%s stands on itself", name)
			}
		}
	}
}

// TestHostile feeds what no person would write.
func TestHostile(t *testing.T) {
	deep := strings.Repeat("d/", 200)
	growing := "ARG A=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n" + strings.Repeat("ARG A=$A$A$A$A\n", 40) + "FROM $A\n"
	stages := &strings.Builder{}
	for i := range 700 {
		fmt.Fprintf(stages, "FROM s%d AS s%d\nRUN pip install torch\n", i-1, i)
	}
	for name, files := range map[string]map[string]string{
		"empty":            {"Dockerfile": ""},
		"checks":           {"Dockerfile": "# check=skip=all\nFROM ubuntu\n# check=skip=all\nCMD true\n"},
		"nothing":          {"README": "x"},
		"deep":             {deep + "Dockerfile": "FROM ubuntu\n"},
		"growing":          {"Dockerfile": growing},
		"many stages":      {"Dockerfile": stages.String()},
		"too large":        {"Dockerfile": "FROM ubuntu\n" + strings.Repeat("#", layers.MaxDockerfile)},
		"link loop":        {"a/Dockerfile@": "../b/Dockerfile", "b/Dockerfile@": "../a/Dockerfile"},
		"link outside":     {"a/Dockerfile@": "../../../etc/passwd"},
		"up and out":       {"Dockerfile": "FROM ubuntu\nCOPY ../../etc/passwd ../x* /\n"},
		"control in name":  {"a\x01\n- name: x/Dockerfile": "FROM ubuntu\n"},
		"not UTF-8":        {"a\xff/Dockerfile": "FROM ubuntu\n", "b/Dockerfile": "FROM a\xff\n"},
		"words of YAML":    {"yes/Dockerfile": "FROM ubuntu\n", "null/Dockerfile": "FROM yes\n", "123/Dockerfile": "FROM null\n", "a: b/Dockerfile": "FROM x\n"},
		"no letters":       {"___/Dockerfile": "FROM ubuntu\n", "∞/Dockerfile": "FROM ___\n"},
		"itself":           {"a/Dockerfile": "FROM a\n"},
		"cycle":            {"a/Dockerfile": "FROM c\n", "b/Dockerfile": "FROM a\n", "c/Dockerfile": "FROM b\n"},
		"open below":       {"a/Dockerfile": "FROM lab/b\n", "tests/b/Dockerfile": "ARG B\nFROM $B\n", "c/Dockerfile": "FROM lab/d\n", "d/Dockerfile": "ARG B\nFROM $B:1\n", "e/Dockerfile": "FROM lab/tests\n", "tests/Dockerfile": "FROM e\n"},
		"compose aliases":  {"Dockerfile": "FROM ubuntu\n", "compose.yml": "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c]\nservices: {x: {build: {context: *d}}}\n"},
		"compose outside":  {"Dockerfile": "FROM ubuntu\n", "compose.yml": "services: {x: {build: ../..}, y: {build: {context: /etc}}, z: {build: {dockerfile: ../../x}}}\n"},
		"make in circles":  {"Dockerfile": "FROM ubuntu\n", "Makefile": "A = $(B)$(B)\nB = $(A)$(A)\ninclude Makefile\nx: x\n\tdocker build -t $(A) -f $(B) .\n\t$(call f,$@,.,$<)\n"},
		"bake in circles":  {"Dockerfile": "FROM ubuntu\n", "docker-bake.hcl": "variable \"A\" { default = \"${B}${B}\" }\nvariable \"B\" { default = \"${A}${A}\" }\nfunction \"f\" {\n params = [x]\n result = concat(f(x), f(x), x)\n}\ntarget \"a\" {\n inherits = [" + strings.Repeat("\"a\", \"b\", ", 500) + "]\n context = A\n tags = f([A])\n contexts = { ubuntu = \"target:a\" }\n}\ntarget \"b\" { inherits = [\"a\", \"b\", \"a\"] }\n"},
		"bake in brackets": {"Dockerfile": "FROM ubuntu\n", "docker-bake.hcl": "x = " + strings.Repeat("[", 60_000) + "\n"},
		"bake in doubt":    {"Dockerfile": "FROM ubuntu\n", "docker-bake.hcl": "x = " + strings.Repeat("a?b:", 15_000) + "c\ntarget \"a\" { context = x }\n"},
		"bake in numbers":  {"Dockerfile": "ARG A\nFROM a:$A\n", "docker-bake.hcl": "target \"a\" { args = { A = 1e999999999 } }\n"},
		"gitlab aliases":   {"Dockerfile": "FROM ubuntu\n", ".gitlab-ci.yml": "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nj: {extends: [j, j, k], script: [*c, *c, docker build .]}\nk: {extends: [j, k, k], variables: *c, parallel: {matrix: [{A: *c}]}}\n"},
		"two of each name": {"a/x/Dockerfile": "FROM ubuntu\n", "A/X/Dockerfile": "FROM ubuntu\n", "a/x/dockerfile": "FROM ubuntu\n"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Propose(treeOf(files))
			if err != nil {
				t.Fatal(err)
			}
			check(t, p)
		})
	}
}

// FuzzPropose holds that nothing in a repository makes it panic, hang or
// propose what is not valid.
func FuzzPropose(f *testing.F) {
	f.Add("FROM ubuntu AS base\nRUN pip install torch\nFROM base AS exp\nCOPY --from=0 a* /\n", "ARG B=lab/${X:-a}\nFROM ${B}:$T\nONBUILD COPY . /\n",
		"services: {a: {build: {context: a, args: [T=1]}}}", "T := 1\na: b\n\tdocker build -t x/a:$(T) a\n", "{\"target\": {\"a\": {\"context\": \"a\", \"args\": {\"T\": \"1\"}}}}",
		"f() {\n  for n in a ${B:-b}; do docker build -t x/$1:$(date) $n; done\n}\ncd \"$(dirname \"$0\")/..\" && f x <<E\nE\n",
		"on: {workflow_call: {inputs: {d: {default: a}}}}\nenv: {R: lab}\njobs: {j: {strategy: {matrix: {d: [a], include: [{d: b}]}}, uses: ./.github/workflows/x.yml, with: {d: '${{ matrix.d }}'}}, k: {steps: [{uses: docker/build-push-action@v6, with: {context: '${{ inputs.d }}', tags: '${{ env.R }}/a:1', build-args: 'B=${{ env.R }}/b'}}, {run: docker build -t x a}]}}\n")
	f.Add("ARG I=<b>\nFROM $I\n", "FROM a\n", "images: {a: {depend_on: b}}", "define x\nendef\n",
		"variable \"V\" { default = [\"a\"] }\nfunction \"f\" {\n params = [x]\n result = x == \"\" ? V[0] : \"t/${x}\"\n}\ntarget \"t\" {\n name = \"t${m}\"\n matrix = { m = [1, 2] }\n inherits = [\"u\"]\n context = f(\"\")\n contexts = { a = \"target:t1\" }\n args = { I = concat(V, V) }\n}\n",
		"docker build .\n",
		"variables: {D: a}\n.t: {variables: {E: $D}, script: [[docker build -t lab/$E $E]]}\nj: {extends: .t, parallel: {matrix: [{E: [a, b]}]}}\n")
	f.Fuzz(func(t *testing.T, a, b, compose, makefile, bake, script, workflow string) {
		began := time.Now()
		p, err := Propose(treeOf(map[string]string{
			"a/Dockerfile": a, "b/gpu.Dockerfile": b, "compose.yml": compose, "spec.yml": compose, "Makefile": makefile,
			"docker-bake.json": bake, "docker-bake.hcl": bake, "build.sh": script, ".github/workflows/x.yml": workflow, ".gitlab-ci.yml": workflow, "a/x": "", "build-args/gpu.conf": makefile,
		}))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("took %s", took)
		}
		check(t, p)
	})
}
