package git

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/objfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"github.com/lab-layers/lab-layers/layers"
)

const (
	// maxReceived bounds the objects of one pack: one takes about 150 bytes
	// of memory while it is received.
	maxReceived = 20_000_000
	// explodeObjects and explodeBytes are below what a pack is stored as
	// loose objects, lest there be one pack for every push.
	explodeObjects = 100 // git's fetch.unpackLimit
	explodeBytes   = 4 << 20
)

// receivedPack is a pack from a remote on its way into the mirror. Where
// go-git's parser reads each object into memory, this one streams those that
// are no deltas, and refuses an object by its stated size.
type receivedPack struct {
	checksum plumbing.Hash
	entries  []receivedEntry
	pack     *pack
	bytes    int64
}

type receivedEntry struct {
	offset int64
	crc    uint32
	kind   plumbing.ObjectType // of a delta, until it is resolved
	id     plumbing.Hash
}

// readPack reads a pack to its end: the objects' places, and the ids of those
// that are no deltas.
func readPack(ctx context.Context, r io.Reader, limits Limits) (*receivedPack, error) {
	scanner := packfile.NewScanner(r)
	_, count, err := scanner.Header()
	if err != nil {
		return nil, err
	}
	if count > maxReceived {
		return nil, fmt.Errorf("%w: %d objects, at most %d are taken", errTooMuch, count, maxReceived)
	}
	p := &receivedPack{}
	for range count {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		header, err := scanner.NextObjectHeader()
		if err != nil {
			return nil, fmt.Errorf("object %d of %d: %w", len(p.entries)+1, count, err)
		}
		if header.Length > limits.Object {
			return nil, fmt.Errorf("%w: an object of %d bytes, at most %d are taken", errTooMuch, header.Length, limits.Object)
		}
		entry := receivedEntry{offset: header.Offset, kind: header.Type}
		into := io.Discard
		hasher := plumbing.NewHasher(header.Type, header.Length)
		if !header.Type.IsDelta() {
			into = hasher
		}
		if _, entry.crc, err = scanner.NextObject(into); err != nil {
			return nil, fmt.Errorf("object %d of %d: %w", len(p.entries)+1, count, err)
		}
		if !header.Type.IsDelta() {
			entry.id = hasher.Sum()
		}
		p.bytes += header.Length
		p.entries = append(p.entries, entry)
	}
	p.checksum, err = scanner.Checksum()
	return p, err
}

// resolve finds the ids of the deltas. A delta whose base is named by id may
// come before it.
func (p *receivedPack) resolve(ctx context.Context, file *os.File, limits Limits) error {
	offsets := map[layers.ObjectID]int64{}
	missing := false
	p.pack = &pack{
		name: file.Name(), file: file,
		bases: newLRU[packPlace, object](3 * baseCacheBytes),
		find: func(id layers.ObjectID) (int64, bool, error) {
			offset, ok := offsets[id]
			missing = missing || !ok
			return offset, ok, nil
		},
	}
	var open []int
	for i, entry := range p.entries {
		if entry.kind.IsDelta() {
			open = append(open, i)
		} else {
			offsets[layers.ObjectID(entry.id[:])] = entry.offset
		}
	}
	for len(open) > 0 {
		var still []int
		for _, i := range open {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			entry := &p.entries[i]
			missing = false
			o, err := p.pack.read(entry.offset, limits.Object)
			if err != nil && missing {
				still = append(still, i)
				continue
			} else if err != nil {
				return err
			}
			entry.kind, entry.id = o.kind, plumbing.ComputeHash(o.kind, o.data)
			offsets[layers.ObjectID(entry.id[:])] = entry.offset
		}
		if len(still) == len(open) {
			return errors.New("the pack has deltas whose bases it lacks")
		}
		open = still
	}
	return nil
}

func (p *receivedPack) small() bool {
	return len(p.entries) < explodeObjects && p.bytes < explodeBytes
}

// explode stores each object as a file of its own.
func (p *receivedPack) explode(temp tempDir, objects string) error {
	for _, entry := range p.entries {
		o, err := p.pack.read(entry.offset, explodeBytes)
		if err != nil {
			return err
		}
		var loose bytes.Buffer
		w := objfile.NewWriter(&loose)
		if err := w.WriteHeader(o.kind, int64(len(o.data))); err != nil {
			return err
		}
		if _, err := w.Write(o.data); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		name := loosePath(objects, layers.ObjectID(entry.id[:]))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		if err := temp.writeFile(name, loose.String()); err != nil {
			return err
		}
	}
	return nil
}

// install puts the pack and its index in their places. A pack counts by its
// index, which comes last.
func (p *receivedPack) install(temp tempDir, file *os.File, dir string) error {
	var writer idxfile.Writer
	if err := writer.OnHeader(uint32(len(p.entries))); err != nil {
		return err
	}
	for _, entry := range p.entries {
		writer.Add(entry.id, uint64(entry.offset), entry.crc)
	}
	if err := writer.OnFooter(p.checksum); err != nil {
		return err
	}
	index, err := writer.Index()
	if err != nil {
		return err
	}
	var encoded bytes.Buffer
	if _, err := idxfile.NewEncoder(&encoded).Encode(index); err != nil {
		return err
	}
	base := filepath.Join(dir, "pack-"+hex.EncodeToString(p.checksum[:]))
	if err := os.Rename(file.Name(), base+".pack"); err != nil {
		return err
	}
	return temp.writeFile(base+".idx", encoded.String())
}
