package layers

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

func TestPlannerConfig(t *testing.T) {
	const text = "version: 1\nlayers:\n  - {name: base, kind: base, context: base}\n"
	objects := newMemory()
	at := func(text string) Tree {
		return objects.tree(map[string]Entry{ConfigFile: {Mode: ModeFile, ID: objects.blob(text)}})
	}
	p := NewPlanner(nil, Settings{})
	first, err := p.Config(at(text))
	if err != nil || len(first.Layers) != 1 {
		t.Fatalf("%v, %v", first, err)
	}
	if again, err := p.Config(at(text)); err != nil || again != first {
		t.Errorf("the same file was read again: %v", err)
	}
	if other, err := p.Config(at(strings.ReplaceAll(text, "base", "root"))); err == nil || other != nil {
		t.Errorf("a bad configuration was taken: %v", other)
	}
	if other, err := p.Config(at(text + "# more\n")); err != nil || other == first {
		t.Errorf("another file gave the same configuration: %v", err)
	}
	var faults Faults
	if _, err := p.Config(at("version: 1\nlayers: 3\n")); !errors.As(err, &faults) {
		t.Errorf("a mistake gave %v", err)
	}
	if _, err := p.Config(objects.tree(nil)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file gave %v", err)
	}
	if _, err := p.Config(at(strings.Repeat("#", MaxConfig+1))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a long file gave %v", err)
	}
}
