package git

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"sync/atomic"

	"github.com/lab-layers/lab-layers/layers"
)

// idSize is the length of a SHA-1 object id.
const idSize = 20

// errDamaged says that a file of an object database does not hold what its
// format demands.
var errDamaged = errors.New("the object database is damaged")

// packIndex finds objects in a pack, by a version 2 index (git-scm.com/docs/
// gitformat-pack). It reads a 256th of the index at a time, when it is first
// asked about an id there.
type packIndex struct {
	file    *os.File
	fanout  [256]uint32
	buckets [256]atomic.Pointer[indexBucket]
}

// indexBucket holds the ids that begin with one byte, and where they are.
type indexBucket struct{ ids, offsets []byte }

const (
	// maxBucket bounds the ids that begin with one byte. A file with holes may
	// claim any number and take no space.
	maxBucket   = 1 << 22
	indexHeader = 8
	indexIDs    = indexHeader + 256*4
)

func openPackIndex(name string) (*packIndex, error) {
	file, err := openFile(name)
	if err != nil {
		return nil, err
	}
	x := &packIndex{file: file}
	if err := x.readFanout(); err != nil {
		file.Close()
		return nil, fmt.Errorf("read pack index %s: %w", name, err)
	}
	return x, nil
}

func (x *packIndex) readFanout() error {
	var head [indexIDs]byte
	if _, err := x.file.ReadAt(head[:], 0); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	if !bytes.Equal(head[:indexHeader], []byte("\xfftOc\x00\x00\x00\x02")) {
		return fmt.Errorf("%w: not a pack index of version 2", errDamaged)
	}
	var last uint32
	for i := range x.fanout {
		x.fanout[i] = binary.BigEndian.Uint32(head[indexHeader+4*i:])
		if x.fanout[i] < last {
			return fmt.Errorf("%w: fan-out table falls", errDamaged)
		}
		if x.fanout[i]-last > maxBucket {
			return fmt.Errorf("%w: more than %d ids begin with one byte", errDamaged, maxBucket)
		}
		last = x.fanout[i]
	}
	info, err := x.file.Stat()
	if err != nil {
		return err
	}
	if least := indexIDs + int64(last)*(idSize+4+4) + 2*idSize; info.Size() < least {
		return fmt.Errorf("%w: %d bytes, want %d", errDamaged, info.Size(), least)
	}
	return nil
}

// find returns where in the pack an object begins.
func (x *packIndex) find(id layers.ObjectID) (offset int64, ok bool, err error) {
	bucket, err := x.bucket(id[0])
	if err != nil {
		return 0, false, err
	}
	n := len(bucket.offsets) / 4
	i := sort.Search(n, func(i int) bool { return string(bucket.ids[i*idSize:(i+1)*idSize]) >= string(id) })
	if i == n || string(bucket.ids[i*idSize:(i+1)*idSize]) != string(id) {
		return 0, false, nil
	}
	small := binary.BigEndian.Uint32(bucket.offsets[4*i:])
	if small < 1<<31 {
		return int64(small), true, nil
	}
	var large [8]byte
	at := indexIDs + int64(x.fanout[255])*(idSize+4+4) + int64(small&(1<<31-1))*8
	if _, err := x.file.ReadAt(large[:], at); err != nil {
		return 0, false, fmt.Errorf("read pack index %s: %w: %w", x.file.Name(), errDamaged, err)
	}
	return int64(binary.BigEndian.Uint64(large[:]) &^ (1 << 63)), true, nil
}

// withPrefix returns the ids that begin with the given bytes, at least one.
func (x *packIndex) withPrefix(prefix string) ([]layers.ObjectID, error) {
	bucket, err := x.bucket(prefix[0])
	if err != nil {
		return nil, err
	}
	n := len(bucket.offsets) / 4
	var found []layers.ObjectID
	for i := sort.Search(n, func(i int) bool { return string(bucket.ids[i*idSize:(i+1)*idSize]) >= prefix }); i < n; i++ {
		id := bucket.ids[i*idSize : (i+1)*idSize]
		if !bytes.HasPrefix(id, []byte(prefix)) {
			break
		}
		found = append(found, layers.ObjectID(id))
	}
	return found, nil
}

func (x *packIndex) bucket(first byte) (*indexBucket, error) {
	if b := x.buckets[first].Load(); b != nil {
		return b, nil
	}
	var from uint32
	if first > 0 {
		from = x.fanout[first-1]
	}
	n := int64(x.fanout[first] - from)
	b := &indexBucket{ids: make([]byte, n*idSize), offsets: make([]byte, n*4)}
	count := int64(x.fanout[255])
	for _, part := range []struct {
		into []byte
		at   int64
	}{
		{b.ids, indexIDs + int64(from)*idSize},
		{b.offsets, indexIDs + count*(idSize+4) + int64(from)*4},
	} {
		if _, err := x.file.ReadAt(part.into, part.at); err != nil && !(errors.Is(err, io.EOF) && len(part.into) == 0) {
			return nil, fmt.Errorf("read pack index %s: %w: %w", x.file.Name(), errDamaged, err)
		}
	}
	x.buckets[first].Store(b)
	return b, nil
}
