package git

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/klauspost/compress/zlib"
)

// inflater reads one compressed object at a place in a file. Its buffers are
// large, so it comes from a pool.
type inflater struct {
	file   io.ReaderAt
	offset int64
	in     *bufio.Reader
	z      io.ReadCloser
}

// inflaters is a pool of buffers, which hold nothing between uses.
var inflaters = sync.Pool{New: func() any { return &inflater{in: bufio.NewReaderSize(nil, 4096)} }}

// newInflater starts at an offset. The caller reads what comes before the
// compressed data from in, then calls begin, and release at the end.
func newInflater(file io.ReaderAt, offset int64) *inflater {
	f := inflaters.Get().(*inflater)
	f.file, f.offset = file, offset
	f.in.Reset(section{f})
	return f
}

// section reads an inflater's file onwards from its offset.
type section struct{ f *inflater }

func (s section) Read(p []byte) (int, error) {
	n, err := s.f.file.ReadAt(p, s.f.offset)
	s.f.offset += int64(n)
	return n, err
}

func (f *inflater) begin() error {
	if f.z == nil {
		z, err := zlib.NewReader(f.in)
		if err != nil {
			return damaged(err)
		}
		f.z = z
		return nil
	}
	if err := f.z.(zlib.Resetter).Reset(f.in, nil); err != nil {
		return damaged(err)
	}
	return nil
}

func (f *inflater) Read(p []byte) (int, error) {
	n, err := f.z.Read(p)
	if err != nil && err != io.EOF {
		err = damaged(err)
	}
	return n, err
}

func (f *inflater) release() {
	f.file = nil
	inflaters.Put(f)
}

// all reads data of a stated size to its end, where its checksum is.
func (f *inflater) all(size int64) ([]byte, error) {
	data, err := readSized(f, size)
	if err != nil {
		return nil, err
	}
	var more [1]byte
	if n, err := f.Read(more[:]); n > 0 || err != io.EOF {
		if err == nil || err == io.EOF {
			err = fmt.Errorf("%w: an object is longer than it says", errDamaged)
		}
		return nil, err
	}
	return data, nil
}

// readSized reads exactly size bytes. It believes a large size only as far as
// data comes.
func readSized(r io.Reader, size int64) ([]byte, error) {
	const believed = 1 << 20
	data := make([]byte, min(size, believed))
	for read := 0; ; {
		n, err := io.ReadFull(r, data[read:])
		if err != nil {
			return nil, damaged(err)
		}
		read += n
		if int64(read) == size {
			return data, nil
		}
		grown := make([]byte, min(size, 2*int64(read)))
		copy(grown, data)
		data = grown
	}
}

// damaged marks an error of a decoder; one of the disk stays what it is.
func damaged(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if disk := new(fs.PathError); errors.Is(err, errDamaged) || errors.As(err, &disk) {
		return err
	}
	return fmt.Errorf("%w: %w", errDamaged, err)
}
