package layers

import (
	"encoding/hex"
	"fmt"
	"io"
)

// ObjectID is the raw (binary) id of a Git object: 20 bytes, or 32 in a
// SHA-256 repository. As text it is hexadecimal.
type ObjectID string

// ParseObjectID reads the hexadecimal form.
func ParseObjectID(s string) (ObjectID, error) {
	raw, err := hex.DecodeString(s)
	if err != nil || (len(raw) != 20 && len(raw) != 32) {
		return "", fmt.Errorf("parse object id %.80q: want 40 or 64 hexadecimal digits", s)
	}
	return ObjectID(raw), nil
}

func (id ObjectID) String() string { return hex.EncodeToString([]byte(id)) }

// MarshalText makes the id hexadecimal in JSON.
func (id ObjectID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads the hexadecimal form.
func (id *ObjectID) UnmarshalText(text []byte) error {
	parsed, err := ParseObjectID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

// Mode is the mode of a Git tree entry.
type Mode uint32

// The modes that Git writes. Older repositories also hold 0100664, which
// counts as [ModeFile].
const (
	ModeDir        Mode = 0o040000
	ModeFile       Mode = 0o100644
	ModeExecutable Mode = 0o100755
	ModeSymlink    Mode = 0o120000
	ModeSubmodule  Mode = 0o160000
)

// Entry is one entry of a Git tree.
type Entry struct {
	Name string
	Mode Mode
	ID   ObjectID
}

// IsDir reports whether the entry is a tree.
func (e Entry) IsDir() bool { return e.Mode == ModeDir }

// Objects reads a Git object database. Implementations are safe for use by
// several goroutines. An id names the same content for ever, so answers may be
// kept; callers do not change what they are given.
type Objects interface {
	// Tree returns the entries of a tree object, in Git's order.
	Tree(id ObjectID) ([]Entry, error)
	// Size returns the length of a blob in bytes.
	Size(id ObjectID) (int64, error)
	// Open reads a blob. A reader that ends early returns an error, never a
	// plain io.EOF.
	Open(id ObjectID) (io.ReadCloser, error)
}
