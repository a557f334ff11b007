package gpu

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Short says how the GPUs of every node fall short of what a pod wishes for, in one
// line. It is empty if those of one do not.
func Short(w Wish, list []Node) string {
	having := map[string][]string{}
	for _, node := range list {
		has := node.short(w)
		if has == "" {
			return ""
		}
		having[has] = append(having[has], node.Name)
	}
	var have []string
	for _, has := range slices.Sorted(maps.Keys(having)) {
		slices.Sort(having[has])
		have = append(have, Remark{Has: "have " + has, Nodes: having[has]}.String())
	}
	if len(have) == 0 {
		return ""
	}
	return line("asks for GPUs with " + w.text() + "; " + strings.Join(have, ", "))
}

// text is what is wished for of each GPU.
func (w Wish) text() string {
	var all []string
	if w.MemoryMiB > 0 {
		all = append(all, "at least "+mebibytes(w.MemoryMiB)+" of memory")
	}
	if w.Capability.Known() {
		all = append(all, fmt.Sprintf("compute capability ≥ %s", w.Capability))
	}
	return strings.Join(all, " and ")
}

// short is what a node has instead of what is wished for; empty if that will do.
func (n Node) short(w Wish) string {
	var has []string
	if n.MemoryMiB < w.MemoryMiB {
		has = append(has, mebibytes(n.MemoryMiB))
	}
	if w.Capability.Known() && (!n.Capability.Known() || n.Capability.Compare(w.Capability) < 0) {
		has = append(has, "compute capability "+cmp.Or(n.Capability.String(), "unknown"))
	}
	return strings.Join(has, ", ")
}

// mebibytes is an amount of memory as labels have it, and as people write it where
// that is the same: a card of 48 GB has somewhat less than 48Gi.
func mebibytes(n int64) string {
	switch {
	case n <= 0:
		return "an unknown amount"
	case n%1024 == 0:
		return fmt.Sprintf("%d MiB (%dGi)", n, n>>10)
	}
	return fmt.Sprintf("%d MiB", n)
}
