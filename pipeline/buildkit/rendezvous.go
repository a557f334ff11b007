package buildkit

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// rank orders the nodes for a name by rendezvous hashing: each node draws a
// number with the name, the highest comes first. So a name keeps its node, and
// when one goes only its own names move, evenly to the others.
func rank(nodes []*node, name string) []*node {
	ranked := slices.Clone(nodes)
	slices.SortStableFunc(ranked, func(a, b *node) int {
		return cmp.Compare(weight(b.address, name), weight(a.address, name))
	})
	return ranked
}

func weight(address, name string) uint64 {
	sum := sha256.Sum256([]byte(address + "\x00" + name))
	return binary.BigEndian.Uint64(sum[:])
}
