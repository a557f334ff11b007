package layers

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

// oneLayer plans a repository of one layer in directory "a".
func oneLayer(t testing.TB, files map[string]Entry, objects *memory) *PlannedLayer {
	t.Helper()
	cfg := &Config{Platform: "linux/amd64", Layers: []Layer{{Name: "a", Kind: Base, Context: "a", Dockerfile: "a/Dockerfile"}}}
	plan, err := NewPlanner(nil, Settings{}).Plan(context.Background(), objects.tree(files), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Layers[0]
}

// TestHostileDockerfiles holds that what would take hours or all memory is
// refused with a fault that says why.
func TestHostileDockerfiles(t *testing.T) {
	double := "FROM scratch\nENV A0=xxxxxxxxxxxxxxxx\n"
	for i := range 60 {
		double += fmt.Sprintf("ENV A%d=$A%d$A%d\n", i+1, i, i)
	}
	self := "FROM scratch\nENV A=xxxxxxxxxxxxxxxx\n" + strings.Repeat("ENV A=$A$A\n", 60)
	replace := "FROM scratch\nENV A=" + strings.Repeat("x", 1000) + "\n" + strings.Repeat("ENV A=${A//x/"+strings.Repeat("x", 1000)+"}\n", 20)
	cases := map[string]struct{ text, want string }{
		"large":               {"FROM scratch\n" + strings.Repeat("# comment\n", 1<<20), "too large"},
		"lines":               {"FROM scratch\n" + strings.Repeat("RUN true\n", 100_000), "lines, at most"},
		"instructions":        {"FROM scratch\n" + strings.Repeat("RUN true\n", 5_000), "instructions, at most"},
		"doubling":            {double, "may expand to more than"},
		"self":                {self, "may expand to more than"},
		"letters":             {strings.ReplaceAll(self, "A", "é"), "may expand to more than"},
		"digits":              {strings.ReplaceAll(self, "A", "1"), "may expand to more than"},
		"parameter":           {strings.ReplaceAll(self, "A", "@"), "may expand to more than"},
		"dollar":              {strings.ReplaceAll(self, "A", "$"), "may expand to more than"},
		"letter swap":         {strings.ReplaceAll(replace, "A", "é"), "may expand to more than"},
		"named by a variable": {"FROM scratch\nENV B=A\nENV A=xxxxxxxxxxxxxxxx\n" + strings.Repeat("ENV $B=$A$A\n", 60), "may expand to more than"},
		"quoted name":         {"FROM scratch\nENV A=xxxxxxxxxxxxxxxx\n" + strings.Repeat("ENV \"A\"=$A$A\n", 60), "may expand to more than"},
		"triggers":            {"FROM scratch AS s\nENV A=xxxxxxxxxxxxxxxx\n" + strings.Repeat("ONBUILD ENV A=$A$A\nFROM s AS s\n", 60), "may expand to more than"},
		"trigger":             {"FROM scratch AS a\nONBUILD ENV A=$B\nENV B=" + strings.Repeat("x", 60_000) + "\nFROM a\nENV C=" + strings.Repeat("$A", 30_000) + "\n", "may expand to more than"},
		"named step":          {"FROM busybox\nENV A=" + strings.Repeat("x", 60_000) + "\nRUN echo " + strings.Repeat("$A", 30_000) + "\n", "may expand to more than"},
		"steps":               {"FROM busybox\nENV A=" + strings.Repeat("x", 60_000) + "\n" + strings.Repeat("RUN true\n", 1000), "expand to comes to more than"},
		"nesting":             {"FROM scratch\nENV A=" + strings.Repeat("x", 2000) + "\nENV B=${A//x/${A//x/$A}}\n", "may expand to more than"},
		"quoted nesting":      {"FROM scratch\nENV A=" + strings.Repeat("x}", 1000) + "\nENV B=${A//\\}/${A//'}'/$A}}\n", "may expand to more than"},
		"variables":           {"FROM scratch\nENV" + strings.Repeat(" A=1 B=2 \\\n", 6_000) + "\n", "variables, at most"},
		"replacement":         {replace, "may expand to more than"},
		"empty":               {"", "is empty"},
		"binary":              {"\x00\x01\x02", "a/Dockerfile"},
		"NULs":                {"FROM scratch\nLABEL a=\"" + strings.Repeat("\x00", 1000) + "\"\n", "line 2: the file is no text"},
		"no characters":       {"FROM scratch\n\nLABEL a=\"" + strings.Repeat("\xff", 2000) + "\"\n", "line 3: the file is no text"},
		"frontend":            {"# syntax=evil.example/frontend\nFROM scratch\n", "frontend of its own"},
		"cycle":               {"FROM b AS a\nCOPY --from=c /x /\nFROM scratch AS b\nCOPY --from=c /x /\nFROM a AS c\n", "a/Dockerfile"},
		"no stage":            {"RUN true\n", "a/Dockerfile"},
		"no FROM name":        {"ARG X\nFROM $X\n", "should not be blank"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			objects := newMemory()
			layer := oneLayer(t, map[string]Entry{"a/Dockerfile": {Mode: ModeFile, ID: objects.blob(c.text)}}, objects)
			if !strings.Contains(layer.Fault, c.want) || layer.Key != "" {
				t.Errorf("fault %q, want one with %q", layer.Fault, c.want)
			}
		})
	}
}

// TestHostileParents holds that variables are bounded also where an image below
// brings them.
func TestHostileParents(t *testing.T) {
	objects := newMemory()
	large := "ENV A=" + strings.Repeat("x", 60_000) + "\n"
	for name, texts := range map[string][2]string{
		"value":   {"FROM scratch\nCOPY f /\n" + large, "FROM a\nENV B=" + strings.Repeat("$A", 30_000) + "\n"},
		"trigger": {"FROM scratch\nCOPY f /\n" + large + "ONBUILD ENV B=$A\n", "FROM a\nENV C=" + strings.Repeat("$B", 30_000) + "\n"},
		"outside": {"FROM scratch\nCOPY f /\n", "FROM a\nCOPY --from=out.example/image /f /\nFROM out.example/image AS last\nENV B=" + strings.Repeat("$A", 30_000) + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := &Config{Platform: "linux/amd64", Layers: []Layer{
				{Name: "a", Kind: Base, Context: "a", Dockerfile: "a/Dockerfile"},
				{Name: "b", Kind: Framework, Parent: "a", From: "a", Context: "b", Dockerfile: "b/Dockerfile"},
			}}
			outside := func(context.Context, string, string) (OutsideImage, bool, error) {
				config := fmt.Appendf(nil, `{"config":{"Env":["A=%s"]},"rootfs":{"type":"layers","diff_ids":[%q]}}`, strings.Repeat("x", 60_000), placeholder)
				return OutsideImage{Digest: placeholder, Config: config}, true, nil
			}
			plan, err := NewPlanner(outside, Settings{}).Plan(t.Context(), objects.tree(map[string]Entry{
				"a/Dockerfile": {Mode: ModeFile, ID: objects.blob(texts[0])},
				"a/f":          {Mode: ModeFile, ID: objects.blob("f")},
				"b/Dockerfile": {Mode: ModeFile, ID: objects.blob(texts[1])},
			}), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if fault := plan.Layers[1].Fault; !strings.Contains(fault, "may expand to more than") {
				t.Errorf("faults %q and %q", plan.Layers[0].Fault, fault)
			}
		})
	}
}

// TestCheckComments holds that a comment which settles BuildKit's checks, and
// which its parser reads, is no fault.
func TestCheckComments(t *testing.T) {
	objects := newMemory()
	text := "# check=skip=all\nFROM scratch\n# check=skip=JSONArgsRecommended\nCMD true\n"
	layer := oneLayer(t, map[string]Entry{"a/Dockerfile": {Mode: ModeFile, ID: objects.blob(text)}}, objects)
	if layer.Fault != "" || layer.Key == "" {
		t.Errorf("fault %q, key %q", layer.Fault, layer.Key)
	}
}

// TestHostileTrees holds that no path or link leads out of the repository or
// into a loop.
func TestHostileTrees(t *testing.T) {
	dockerfile := func(o *memory, text string) Entry { return Entry{Mode: ModeFile, ID: o.blob(text)} }
	link := func(o *memory, to string) Entry { return Entry{Mode: ModeSymlink, ID: o.blob(to)} }
	t.Run("link out of the repository", func(t *testing.T) {
		o := newMemory()
		layer := oneLayer(t, map[string]Entry{
			"a/Dockerfile": dockerfile(o, "FROM scratch\nCOPY passwd /\n"),
			"a/passwd":     link(o, "../../../../etc/passwd"),
		}, o)
		if layer.Fault != "" || layer.Key == "" {
			t.Errorf("fault %q: a link that leads nowhere is content like any other", layer.Fault)
		}
	})
	t.Run("ignore file is a directory", func(t *testing.T) {
		o := newMemory()
		layer := oneLayer(t, map[string]Entry{
			"a/Dockerfile":      dockerfile(o, "FROM scratch\nCOPY x /\n"),
			"a/x":               {Mode: ModeFile, ID: o.blob("x")},
			"a/.dockerignore/y": {Mode: ModeFile, ID: o.blob("*")},
		}, o)
		if layer.Fault != "" || layer.Key == "" {
			t.Errorf("fault %q", layer.Fault)
		}
	})
	t.Run("loop", func(t *testing.T) {
		o := newMemory()
		layer := oneLayer(t, map[string]Entry{
			"a/Dockerfile": dockerfile(o, "FROM scratch\nCOPY x/file /\n"),
			"a/x":          link(o, "y"),
			"a/y":          link(o, "x"),
		}, o)
		if layer.Key == "" {
			t.Errorf("fault %q", layer.Fault)
		}
	})
	t.Run("Dockerfile is a loop", func(t *testing.T) {
		o := newMemory()
		layer := oneLayer(t, map[string]Entry{"a/Dockerfile": link(o, "Dockerfile")}, o)
		if !strings.Contains(layer.Fault, "is a link to no file within its directory") {
			t.Errorf("fault %q", layer.Fault)
		}
	})
	t.Run("Dockerfile is a link out of its directory", func(t *testing.T) {
		o := newMemory()
		layer := oneLayer(t, map[string]Entry{
			"a/Dockerfile":      link(o, "../common/Dockerfile"),
			"common/Dockerfile": dockerfile(o, "FROM scratch\nCOPY x /\n"),
			"a/x":               {Mode: ModeFile, ID: o.blob("x")},
		}, o)
		if !strings.Contains(layer.Fault, "is a link to no file within its directory") {
			t.Errorf("fault %q", layer.Fault)
		}
	})
	t.Run("deep", func(t *testing.T) {
		o := newMemory()
		layer := oneLayer(t, map[string]Entry{
			"a/Dockerfile":                         dockerfile(o, "FROM scratch\nCOPY . /\n"),
			"a/" + strings.Repeat("d/", 300) + "x": {Mode: ModeFile, ID: o.blob("x")},
		}, o)
		if !strings.Contains(layer.Fault, "deep") {
			t.Errorf("fault %q", layer.Fault)
		}
	})
	t.Run("names that are no text", func(t *testing.T) {
		o := newMemory()
		for _, bad := range []map[string]Entry{
			{"a/\xff\xfe": {Mode: ModeFile, ID: o.blob("x")}},
			{"a/link": link(o, "\xff")},
		} {
			bad["a/Dockerfile"] = dockerfile(o, "FROM scratch\nCOPY . /\n")
			if layer := oneLayer(t, bad, o); !strings.Contains(layer.Fault, "not UTF-8") {
				t.Errorf("fault %q", layer.Fault)
			}
			bad["a/Dockerfile"] = dockerfile(o, "FROM scratch\nCOPY y /\n")
			if layer := oneLayer(t, bad, o); layer.Fault != "" {
				t.Errorf("fault %q where they are not sent", layer.Fault)
			}
		}
	})
	t.Run("a submodule that is ignored", func(t *testing.T) {
		o := newMemory()
		layer := oneLayer(t, map[string]Entry{
			"a/Dockerfile":    dockerfile(o, "FROM scratch\nCOPY . /\n"),
			"a/.dockerignore": dockerfile(o, "vendor\n"),
			"a/vendor":        {Mode: ModeSubmodule, ID: gitID("commit", "x")},
		}, o)
		if layer.Fault != "" {
			t.Fatalf("fault %q", layer.Fault)
		}
		made, err := layer.Recipe.Bind(t.Context(), "", nil, "")
		if err != nil {
			t.Fatal(err)
		}
		err = made.Files.Walk(t.Context(), "", func(name string, _ fs.DirEntry, err error) error {
			if name == "vendor" {
				t.Error("it is sent")
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("100,000 files in one directory", func(t *testing.T) {
		o := newMemory()
		files := map[string]Entry{"a/Dockerfile": dockerfile(o, "FROM scratch\nCOPY . /\n")}
		for i := range 100_000 {
			files[fmt.Sprintf("a/f%06d", i)] = Entry{Mode: ModeFile, ID: o.blob("x")}
		}
		if layer := oneLayer(t, files, o); layer.Key == "" {
			t.Errorf("fault %q", layer.Fault)
		}
	})
}

// TestMissingObjectsFailThePlan holds that an object database with a hole in it
// never gives a key: the filters on the way take "does not exist" for "is not
// in the context".
func TestMissingObjectsFailThePlan(t *testing.T) {
	o := newMemory()
	files := map[string]Entry{
		"a/Dockerfile": {Mode: ModeFile, ID: o.blob("FROM scratch\nCOPY . /\n")},
		"a/sub/x":      {Mode: ModeFile, ID: o.blob("x")},
		"a/link":       {Mode: ModeSymlink, ID: o.blob("sub")},
	}
	tree := o.tree(files)
	sub, err := tree.Entry("a/sub")
	if err != nil {
		t.Fatal(err)
	}
	cfg := &Config{Platform: "linux/amd64", Layers: []Layer{{Name: "a", Kind: Base, Context: "a", Dockerfile: "a/Dockerfile"}}}
	for name, id := range map[string]ObjectID{"tree": sub.ID, "link": files["a/link"].ID, "Dockerfile": files["a/Dockerfile"].ID, "root": tree.Root} {
		hole := newMemory()
		for k, v := range o.trees {
			if k != id {
				hole.trees[k] = v
			}
		}
		for k, v := range o.blobs {
			if k != id {
				hole.blobs[k] = v
			}
		}
		plan, err := NewPlanner(nil, Settings{}).Plan(context.Background(), Tree{Objects: hole, Root: tree.Root}, cfg)
		if err == nil {
			t.Errorf("without the %s: key %q, step %s, fault %q", name, plan.Layers[0].Key, plan.Layers[0].Step, plan.Layers[0].Fault)
		}
	}
}

// FuzzDockerfile holds that no Dockerfile makes the planner panic, and that
// planning is a function of the content.
func FuzzDockerfile(f *testing.F) {
	for _, seed := range []string{
		"FROM scratch\nCOPY . .\n",
		"ARG A=b\nFROM $A AS x\nFROM x\nRUN --mount=type=bind,target=/x true\n",
		"FROM scratch\nCOPY <<EOF /x\n$Y\nEOF\n",
		"FROM a AS b\nONBUILD COPY --exclude=*.md --parents x/./y /\nFROM b\n",
		"# syntax=docker/dockerfile:1\n# escape=`\nFROM scratch\nADD --checksum=sha256:00 https://x/y /\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o := newMemory()
		files := map[string]Entry{
			"a/Dockerfile": {Mode: ModeFile, ID: o.blob(text)},
			"a/x/y":        {Mode: ModeFile, ID: o.blob("x")},
			"a/link":       {Mode: ModeSymlink, ID: o.blob("x")},
		}
		one, two := oneLayer(t, files, o), oneLayer(t, files, o)
		if one.Key != two.Key || (one.Fault == "") != (two.Fault == "") {
			t.Errorf("planned twice: %q %q and %q %q", one.Key, one.Fault, two.Key, two.Fault)
		}
	})
}
