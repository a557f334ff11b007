package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tonistiigi/fsutil"

	"github.com/lab-layers/lab-layers/pipeline"
)

// TestFaultyContext holds that no build succeeds that BuildKit was not given
// every byte of, and that none hangs.
func TestFaultyContext(t *testing.T) {
	b := mustNew(t, Options{})
	broken := errors.New("object is corrupt")
	long := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB
	for _, test := range []struct {
		name string
		file memFile
		want string
	}{
		{"does not open", memFile{data: "x", openErr: broken}, "open f: object is corrupt"},
		{"is gone", memFile{data: "x", openErr: fs.ErrNotExist}, "open f: file does not exist"},
		{"is empty", memFile{data: "", extra: 8}, "read f: it ends 8 bytes early"},
		{"is short", memFile{data: long, extra: 1}, "read f: it ends 1 bytes early"},
		{"is long", memFile{data: long, extra: -1}, "read f: it is longer than it was listed"},
		{"breaks in the middle", memFile{data: long, extra: 5, readErr: broken}, "read f: object is corrupt"},
		{"breaks at the end", memFile{data: long, readErr: broken}, "read f: object is corrupt"},
		{"has no size", memFile{data: "x", infoErr: broken}, "list f: object is corrupt"},
		{"is not there when listed", memFile{data: "x", infoErr: fs.ErrNotExist}, "list f: file does not exist"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.file.path = "f"
			files := memFS{{path: "a", data: "sound"}, test.file}
			o := order(t, solvable(t, "FROM scratch\nCOPY . /\n", files, nil, byContent))
			o.Repository = sharedRegistry.host + "/lab/faulty"
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			built, err := b.Build(ctx, o, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want %q in it", err, test.want)
			}
			if built.Digest != "" {
				t.Errorf("reported as built: %s", built.Digest)
			}
			var mistake *pipeline.BuildError
			if errors.As(err, &mistake) {
				t.Errorf("counts as the user's mistake: %v", err)
			}
		})
	}
}

// TestFaultPasses holds that what a fault left in BuildKit's cache does no
// harm to the next attempt, which has the same hint.
func TestFaultPasses(t *testing.T) {
	b := mustNew(t, Options{})
	long := strings.Repeat("0123456789abcdef", 1<<16)
	broken := errors.New("object is corrupt")
	for i, faulty := range []memFile{
		{data: long, openErr: broken},
		{data: long[:100], extra: int64(len(long)) - 100},
		{data: long[:1<<19], extra: int64(len(long)) - 1<<19, readErr: broken},
	} {
		hint := func(memFS) string { return fmt.Sprint(t.Name(), i) }
		faulty.path = "f"
		o := order(t, solvable(t, "FROM scratch\nCOPY f /\n", memFS{faulty}, nil, hint))
		if _, err := b.Build(t.Context(), o, nil); err == nil {
			t.Fatal("a faulty context builds")
		}
		o.Build = solvable(t, "FROM scratch\nCOPY f /\n", memFS{{path: "f", data: long}}, nil, hint)
		if got, _ := mustBuild(t, b, o).file(t, "f"); got != long {
			t.Errorf("after the fault f has %d bytes, want %d", len(got), len(long))
		}
	}
}

// TestGuardPassesTrees sends what else a context holds besides plain files.
func TestGuardPassesTrees(t *testing.T) {
	dir := t.TempDir()
	for path, data := range map[string]string{"a/b/c.py": "deep", "a-b": "", "z": "last"} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"link": "a/b/c.py", "dangling": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	files, err := fsutil.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	o := order(t, solvable(t, "FROM scratch\nCOPY . /all/\nCOPY link /one\n", nil, nil, byContent))
	o.Build.Files = files
	img := mustBuild(t, mustNew(t, Options{}), o)
	for path, want := range map[string]string{"/all/a/b/c.py": "deep", "/all/a-b": "", "/all/z": "last", "/one": "deep"} {
		if got, ok := img.file(t, path); !ok || got != want {
			t.Errorf("%s is %q, %t", path, got, ok)
		}
	}
}

func TestGuardLeavesAnswersAlone(t *testing.T) {
	g := newGuard(memFS{{path: "a", data: "x"}}, func(err error) { t.Errorf("stopped: %v", err) })
	// A target that is not there is an answer.
	err := g.Walk(t.Context(), "missing", func(_ string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	// So is what the caller itself has to say.
	mine := errors.New("connection lost")
	err = g.Walk(t.Context(), "/", func(string, fs.DirEntry, error) error { return mine })
	if !errors.Is(err, mine) {
		t.Error(err)
	}
	// A reader may stop before the end.
	if err := g.Walk(t.Context(), "/", func(_ string, e fs.DirEntry, _ error) error { _, err := e.Info(); return err }); err != nil {
		t.Fatal(err)
	}
	f, err := g.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if g.Fault() != nil {
		t.Error(g.Fault())
	}
}

func TestGuardStopsOnce(t *testing.T) {
	var stops []error
	g := newGuard(memFS{{path: "a", data: "x", extra: 1}}, func(err error) { stops = append(stops, err) })
	if err := g.Walk(t.Context(), "/", func(_ string, e fs.DirEntry, _ error) error { _, err := e.Info(); return err }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		f, err := g.Open("a")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(f); err == nil {
			t.Error("a short file reads without error")
		}
	}
	if _, err := g.Open("never listed"); err == nil {
		t.Error("an unlisted file opens")
	}
	if len(stops) != 1 || g.Fault() != stops[0] {
		t.Errorf("stopped %d times; the fault is %v", len(stops), g.Fault())
	}
}
