package git

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"github.com/lab-layers/lab-layers/layers"
)

const (
	// maxDeltas is the longest chain of deltas that git makes.
	maxDeltas = 4096
	// maxDeltified is the largest object that is read as a delta, which takes
	// it whole in memory; git stores those over 512 MiB plain.
	maxDeltified = 1 << 30
)

// errTooLarge says that an object is over the limit of its kind.
var errTooLarge = errors.New("the object is too large")

// pack reads objects out of one pack file. It is safe for use by several
// goroutines, and goes on reading after git has removed the file.
type pack struct {
	name  string // of the .pack file
	dir   int    // which of the database's directories it is in
	index *packIndex
	// find is where in the pack an object begins; the index's, if there is one.
	find  func(layers.ObjectID) (offset int64, ok bool, err error)
	bases *lru[packPlace, object]

	mu   sync.Mutex
	file *os.File // opened when first needed
}

type packPlace struct {
	pack   *pack
	offset int64
}

// object is one object in memory.
type object struct {
	kind plumbing.ObjectType
	data []byte
}

func (p *pack) open() (*os.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file != nil {
		return p.file, nil
	}
	file, err := openFile(p.name)
	if err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := file.ReadAt(head[:], 0); err != nil || string(head[:4]) != "PACK" || binary.BigEndian.Uint32(head[4:]) != 2 {
		file.Close()
		return nil, fmt.Errorf("%w: %s is not a pack of version 2", errDamaged, p.name)
	}
	p.file = file
	return file, nil
}

// packEntry is what a pack says of an object before its data.
type packEntry struct {
	kind   plumbing.ObjectType
	size   int64 // of the data, which may be a delta
	base   int64 // offset, of a delta
	baseID layers.ObjectID
}

// entry reads the header at an offset, and leaves the inflater at the data,
// for the caller to release.
func (p *pack) entry(offset int64) (packEntry, *inflater, error) {
	file, err := p.open()
	if err != nil {
		return packEntry{}, nil, err
	}
	f := newInflater(file, offset)
	e, err := readEntry(f.in, offset)
	if err == nil {
		err = f.begin()
	}
	if err != nil {
		f.release()
		return packEntry{}, nil, p.fault(offset, err)
	}
	return e, f, nil
}

func (p *pack) fault(offset int64, err error) error {
	return fmt.Errorf("read %s at %d: %w", p.name, offset, err)
}

func readEntry(r io.ByteReader, offset int64) (packEntry, error) {
	c, err := r.ReadByte()
	if err != nil {
		return packEntry{}, damaged(err)
	}
	e := packEntry{kind: plumbing.ObjectType(c >> 4 & 7), size: int64(c & 15)}
	for shift := 4; c&0x80 != 0; shift += 7 {
		if c, err = r.ReadByte(); err != nil {
			return e, damaged(err)
		}
		if shift > 55 {
			return e, fmt.Errorf("%w: size of an object overflows", errDamaged)
		}
		e.size |= int64(c&0x7f) << shift
	}
	switch e.kind {
	case plumbing.CommitObject, plumbing.TreeObject, plumbing.BlobObject, plumbing.TagObject:
	case plumbing.OFSDeltaObject:
		back, err := readBack(r)
		if err != nil {
			return e, err
		}
		if e.base = offset - back; back <= 0 || e.base < 12 {
			return e, fmt.Errorf("%w: base of a delta lies outside the pack", errDamaged)
		}
	case plumbing.REFDeltaObject:
		var id [idSize]byte
		for i := range id {
			if id[i], err = r.ReadByte(); err != nil {
				return e, damaged(err)
			}
		}
		e.baseID = layers.ObjectID(id[:])
	default:
		return e, fmt.Errorf("%w: object of kind %d", errDamaged, e.kind)
	}
	return e, nil
}

// readBack reads how far before a delta its base begins.
func readBack(r io.ByteReader) (int64, error) {
	c, err := r.ReadByte()
	if err != nil {
		return 0, damaged(err)
	}
	back := int64(c & 0x7f)
	for c&0x80 != 0 {
		if c, err = r.ReadByte(); err != nil {
			return 0, damaged(err)
		}
		if back >= 1<<55 {
			return 0, fmt.Errorf("%w: offset of a base overflows", errDamaged)
		}
		back = (back+1)<<7 | int64(c&0x7f)
	}
	return back, nil
}

// baseOf is the offset of a delta's base, which is in the same pack.
func (p *pack) baseOf(e packEntry) (int64, error) {
	if e.kind == plumbing.OFSDeltaObject {
		return e.base, nil
	}
	offset, ok, err := p.find(e.baseID)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %s lacks %s, the base of a delta", errDamaged, p.name, e.baseID)
	}
	return offset, err
}

// read returns the object at an offset, of at most limit bytes.
func (p *pack) read(offset, limit int64) (object, error) {
	type delta struct {
		at   int64
		data []byte
	}
	var deltas []delta
	var at object
	for {
		var ok bool
		if at, ok = p.bases.get(packPlace{p, offset}); ok {
			break
		}
		e, f, err := p.entry(offset)
		if err != nil {
			return object{}, err
		}
		most := limit
		if e.kind.IsDelta() || len(deltas) > 0 {
			most = max(limit, maxDeltified)
		}
		if e.size > most {
			f.release()
			return object{}, p.fault(offset, fmt.Errorf("%w: %d bytes", errTooLarge, e.size))
		}
		data, err := f.all(e.size)
		f.release()
		if err != nil {
			return object{}, p.fault(offset, err)
		}
		if !e.kind.IsDelta() {
			at = object{e.kind, data}
			p.bases.put(packPlace{p, offset}, at, len(data)+128)
			break
		}
		if len(deltas) == maxDeltas {
			return object{}, p.fault(offset, fmt.Errorf("%w: deltas of deltas without end", errDamaged))
		}
		deltas = append(deltas, delta{offset, data})
		if offset, err = p.baseOf(e); err != nil {
			return object{}, err
		}
	}
	for i := len(deltas) - 1; i >= 0; i-- {
		d := deltas[i]
		if size, err := deltaSize(d.data); err != nil || size > maxDeltified {
			return object{}, p.fault(d.at, errors.Join(err, fmt.Errorf("%w: a delta of %d bytes", errTooLarge, size)))
		}
		data, err := packfile.PatchDelta(at.data, d.data)
		if err != nil {
			return object{}, p.fault(d.at, damaged(err))
		}
		at.data = data
		p.bases.put(packPlace{p, d.at}, at, len(data)+128)
	}
	if int64(len(at.data)) > limit {
		return object{}, p.fault(offset, fmt.Errorf("%w: %d bytes", errTooLarge, len(at.data)))
	}
	return at, nil
}

// deltaSize is the length of what a delta makes, which it states second.
func deltaSize(delta []byte) (int64, error) {
	_, n := binary.Uvarint(delta) // the same as LEB128
	if n > 0 {
		if size, m := binary.Uvarint(delta[n:]); m > 0 && size < 1<<62 {
			return int64(size), nil
		}
	}
	return 0, fmt.Errorf("%w: a delta without sizes", errDamaged)
}

// size returns the length and the kind of the object at an offset, reading the
// beginnings of its deltas only.
func (p *pack) size(offset int64) (plumbing.ObjectType, int64, error) {
	size := int64(-1)
	for range maxDeltas {
		e, f, err := p.entry(offset)
		if err != nil {
			return 0, 0, err
		}
		if e.kind.IsDelta() && size < 0 {
			head, err := readSized(f, min(e.size, 2*binary.MaxVarintLen64))
			if err == nil {
				size, err = deltaSize(head)
			}
			if err != nil {
				f.release()
				return 0, 0, p.fault(offset, err)
			}
		}
		f.release()
		if !e.kind.IsDelta() {
			if size < 0 {
				size = e.size
			}
			return e.kind, size, nil
		}
		if offset, err = p.baseOf(e); err != nil {
			return 0, 0, err
		}
	}
	return 0, 0, p.fault(offset, fmt.Errorf("%w: deltas of deltas without end", errDamaged))
}
