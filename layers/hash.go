package layers

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// fieldHash hashes fields, each with its length, so that no two different
// lists of fields run together into the same bytes.
type fieldHash struct {
	buffer []byte    // what is not hashed yet
	h      hash.Hash // nil while all of it fits into the buffer
}

// fieldBuffer is how much is collected: most hashes are of a few short fields,
// and one piece is hashed much faster than many.
const fieldBuffer = 1 << 10

// newHash starts a hash of one sort of thing.
func newHash(sort string) *fieldHash {
	f := &fieldHash{buffer: make([]byte, 0, fieldBuffer)}
	f.text(sort)
	return f
}

func (f *fieldHash) text(s string) {
	f.number(int64(len(s)))
	if f.room(len(s)) {
		f.buffer = append(f.buffer, s...)
	} else {
		f.h.Write([]byte(s))
	}
}

func (f *fieldHash) texts(list []string) {
	f.number(int64(len(list)))
	for _, s := range list {
		f.text(s)
	}
}

func (f *fieldHash) number(n int64) {
	f.room(8)
	f.buffer = binary.BigEndian.AppendUint64(f.buffer, uint64(n))
}

// room hashes what was collected if n more bytes do not fit. It reports whether
// they do now.
func (f *fieldHash) room(n int) bool {
	if len(f.buffer)+n <= cap(f.buffer) {
		return true
	}
	if f.h == nil {
		f.h = sha256.New()
	}
	f.h.Write(f.buffer)
	f.buffer = f.buffer[:0]
	return n <= cap(f.buffer)
}

func (f *fieldHash) sum() (sum [sha256.Size]byte) {
	if f.h == nil {
		return sha256.Sum256(f.buffer)
	}
	f.h.Write(f.buffer)
	f.buffer = f.buffer[:0]
	f.h.Sum(sum[:0])
	return sum
}

func (f *fieldHash) key() Key {
	sum := f.sum()
	return Key("sha256:" + hex.EncodeToString(sum[:]))
}
