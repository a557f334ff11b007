package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// owner is the user that PostgreSQL runs as.
type owner struct {
	uid, gid int
	other    bool // than the user of this process
}

// ownerOf finds who runs the cluster in a directory, which may not exist yet.
// PostgreSQL refuses to run as root.
func ownerOf(data string) (owner, error) {
	info, err := os.Stat(data)
	if errors.Is(err, os.ErrNotExist) {
		return newOwner()
	}
	if err != nil {
		return owner{}, err
	}
	stat := info.Sys().(*syscall.Stat_t)
	is := owner{uid: int(stat.Uid), gid: int(stat.Gid), other: int(stat.Uid) != os.Geteuid()}
	switch {
	case is.uid == 0:
		return owner{}, fmt.Errorf("%s belongs to root, and PostgreSQL refuses to run as root: give it back to whom it belonged (chown -R postgres %[1]s)", data)
	case is.other && os.Geteuid() != 0:
		return owner{}, fmt.Errorf("%s belongs to user %d: run as that user or as root", data, is.uid)
	}
	return is, nil
}

func newOwner() (owner, error) {
	if os.Geteuid() != 0 {
		return owner{uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return owner{uid: uid, gid: gid, other: true}, nil
		}
	}
	return owner{}, errors.New("PostgreSQL refuses to run as root, and there is neither a user postgres nor a user nobody to run it as: add one (useradd --system postgres), or run as another user")
}

// give makes a directory that we made the owner's.
func (o owner) give(dir string) error {
	if !o.other {
		return nil
	}
	return os.Chown(dir, o.uid, o.gid)
}
