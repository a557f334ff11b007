package git

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/lab-layers/lab-layers/layers"
)

// loosePath is where an object lies in an objects directory when it is in no
// pack.
func loosePath(dir string, id layers.ObjectID) string {
	hex := id.String()
	return filepath.Join(dir, hex[:2], hex[2:])
}

// looseObject is an open loose object, its inflater at the first byte of the
// content.
type looseObject struct {
	file *os.File
	in   *inflater
	kind plumbing.ObjectType
	size int64
}

func (o *looseObject) close() {
	o.in.release()
	o.file.Close()
}

func openLoose(name string) (*looseObject, error) {
	file, err := openFile(name)
	if err != nil {
		return nil, err
	}
	o := &looseObject{file: file, in: newInflater(file, 0)}
	if err = o.in.begin(); err == nil {
		err = o.readHeader()
	}
	if err != nil {
		o.close()
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return o, nil
}

// readHeader reads "KIND SIZE" and a zero byte.
func (o *looseObject) readHeader() error {
	var head [32]byte
	for i := range head {
		if _, err := io.ReadFull(o.in, head[i:i+1]); err != nil {
			return damaged(err)
		}
		if head[i] != 0 {
			continue
		}
		kind, size, _ := bytes.Cut(head[:i], []byte(" "))
		var err, bad error
		o.kind, bad = plumbing.ParseObjectType(string(kind))
		o.size, err = strconv.ParseInt(string(size), 10, 64)
		if err := errors.Join(bad, err); err != nil || o.size < 0 || o.kind.IsDelta() {
			return fmt.Errorf("%w: object header %q", errDamaged, head[:i])
		}
		return nil
	}
	return fmt.Errorf("%w: object header %q", errDamaged, head)
}

func readLoose(name string, limit int64) (object, error) {
	o, err := openLoose(name)
	if err != nil {
		return object{}, err
	}
	defer o.close()
	if o.size > limit {
		return object{}, fmt.Errorf("read %s: %w: %d bytes", name, errTooLarge, o.size)
	}
	data, err := o.in.all(o.size)
	if err != nil {
		return object{}, fmt.Errorf("read %s: %w", name, err)
	}
	return object{o.kind, data}, nil
}
