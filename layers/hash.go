package layers

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// fieldHash hashes fields, each with its length, so that no two different
// lists of fields run together into the same bytes.
type fieldHash struct{ h hash.Hash }

// newHash starts a hash of one sort of thing.
func newHash(sort string) fieldHash {
	f := fieldHash{sha256.New()}
	f.text(sort)
	return f
}

func (f fieldHash) text(s string) {
	f.number(int64(len(s)))
	f.h.Write([]byte(s))
}

func (f fieldHash) texts(list []string) {
	f.number(int64(len(list)))
	for _, s := range list {
		f.text(s)
	}
}

func (f fieldHash) number(n int64) {
	var buf [8]byte
	binary.BigEndian.PutUint64(buf[:], uint64(n))
	f.h.Write(buf[:])
}

func (f fieldHash) sum() (sum [sha256.Size]byte) {
	f.h.Sum(sum[:0])
	return sum
}

func (f fieldHash) key() Key {
	sum := f.sum()
	return Key("sha256:" + hex.EncodeToString(sum[:]))
}
