package git

import (
	"bytes"
	"fmt"
	"sort"
	"strings"

	"github.com/lab-layers/lab-layers/layers"
)

// parseTree reads a tree object strictly: git's order, no name twice, and no
// name that means something else on a file system. Names and ids are parts of
// one string.
func parseTree(raw []byte) ([]layers.Entry, error) {
	count := 0
	for rest := raw; len(rest) > 0; count++ {
		end := bytes.IndexByte(rest, 0)
		if end < 0 || len(rest) < end+1+idSize {
			return nil, fmt.Errorf("entry %d is cut off", count)
		}
		rest = rest[end+1+idSize:]
	}
	entries := make([]layers.Entry, 0, count)
	for rest := string(raw); rest != ""; {
		end := strings.IndexByte(rest, 0)
		octal, name, ok := strings.Cut(rest[:end], " ")
		mode, known := parseMode(octal)
		if !ok || !known {
			return nil, fmt.Errorf("entry %d has the mode %.20q", len(entries), octal)
		}
		entry := layers.Entry{Name: name, Mode: mode, ID: layers.ObjectID(rest[end+1 : end+1+idSize])}
		if err := checkEntry(entries, entry); err != nil {
			return nil, fmt.Errorf("entry %d: %w", len(entries), err)
		}
		entries = append(entries, entry)
		rest = rest[end+1+idSize:]
	}
	return entries, nil
}

func parseMode(octal string) (layers.Mode, bool) {
	switch strings.TrimLeft(octal, "0") {
	case "40000":
		return layers.ModeDir, true
	case "100644", "100664": // the latter by early versions of git
		return layers.ModeFile, true
	case "100755":
		return layers.ModeExecutable, true
	case "120000":
		return layers.ModeSymlink, true
	case "160000":
		return layers.ModeSubmodule, true
	}
	return 0, false
}

// checkEntry judges the next entry of a tree.
func checkEntry(before []layers.Entry, e layers.Entry) error {
	switch {
	case e.Name == "" || e.Name == "." || e.Name == ".." || strings.EqualFold(e.Name, ".git"):
		return fmt.Errorf("has the name %q", e.Name)
	case strings.IndexByte(e.Name, '/') >= 0:
		return fmt.Errorf("has a slash in its name %.100q", e.Name)
	case len(before) == 0:
		return nil
	}
	last := before[len(before)-1]
	switch order := compareEntries(last, e); {
	case order == 0 || last.Name == e.Name:
		return fmt.Errorf("is the second one of the name %.100q", e.Name)
	case order > 0:
		return fmt.Errorf("%.100q is not in order after %.100q", e.Name, last.Name)
	}
	if !e.IsDir() {
		return nil
	}
	// A file of the same name would stand before, with others between.
	file := layers.Entry{Name: e.Name}
	i := sort.Search(len(before), func(i int) bool { return compareEntries(before[i], file) >= 0 })
	if i < len(before) && before[i].Name == e.Name {
		return fmt.Errorf("is the second one of the name %.100q", e.Name)
	}
	return nil
}

// compareEntries is git's order: a directory stands where its name with a
// slash would.
func compareEntries(a, b layers.Entry) int {
	n := min(len(a.Name), len(b.Name))
	if c := strings.Compare(a.Name[:n], b.Name[:n]); c != 0 {
		return c
	}
	return int(ending(a, n)) - int(ending(b, n))
}

func ending(e layers.Entry, n int) byte {
	switch {
	case n < len(e.Name):
		return e.Name[n]
	case e.IsDir():
		return '/'
	}
	return 0
}
