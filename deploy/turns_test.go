package deploy

import (
	"slices"
	"testing"
)

func TestTurnsInOrder(t *testing.T) {
	e := func(name string) Environment { return Environment{"vision", Deployment, name} }
	turns := newTurns(2)
	turns.has(e("rolls already"))
	for _, name := range []string{"a", "b", "c"} {
		if got := turns.take(e(name)); got != (name == "a") {
			t.Errorf("%s has its turn: %t", name, got)
		}
	}
	if turns.take(e("c")) {
		t.Error("c came before b")
	}
	if next := turns.done(e("a")); !slices.Equal(next, []Environment{e("b")}) {
		t.Errorf("after a come %v", next)
	}
	if turns.take(e("c")) || !turns.take(e("b")) || !turns.take(e("b")) {
		t.Error("b has not its turn")
	}
	turns.done(e("c")) // it waits no more
	if next := turns.done(e("b")); len(next) != 0 {
		t.Errorf("after b come %v", next)
	}
	if free := newTurns(0); !free.take(e("a")) || len(free.done(e("a"))) != 0 {
		t.Error("without a limit one had to wait")
	}
}
