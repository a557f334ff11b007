package git

import (
	"crypto/sha1"
	"fmt"
	"strings"
	"testing"

	"github.com/lab-layers/lab-layers/layers"
)

func gitBlobID(data []byte) layers.ObjectID {
	sum := sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(data), data))
	return layers.ObjectID(sum[:])
}

// TestParseTree holds that only what git would write is read.
func TestParseTree(t *testing.T) {
	id := strings.Repeat("\x00 ", 10)
	file := func(name string) string { return "100644 " + name + "\x00" + id }
	dir := func(name string) string { return "40000 " + name + "\x00" + id }
	for name, c := range map[string]struct{ raw, want string }{
		"empty":           {"", ""},
		"order":           {file("foo-bar") + dir("foo") + file("foo0"), ""},
		"old mode":        {"100664 x\x00" + id, ""},
		"padded mode":     {"040000 x\x00" + id, ""},
		"spaces":          {file("a b") + file("c "), ""},
		"no text":         {file("\xff") + file("\xff\xfe"), ""},
		"cut id":          {file("x")[:25], "cut off"},
		"no zero":         {"100644 x", "cut off"},
		"no space":        {"100644\x00" + id, "mode"},
		"unknown mode":    {"100600 x\x00" + id, "mode"},
		"no mode":         {" x\x00" + id, "mode"},
		"empty name":      {file(""), "has the name"},
		"dot":             {file("."), "has the name"},
		"dots":            {dir(".."), "has the name"},
		"git":             {dir(".git"), "has the name"},
		"Git":             {dir(".GiT"), "has the name"},
		"slash":           {file("a/b"), "slash"},
		"twice":           {file("a") + file("a"), "second one"},
		"file and dir":    {file("a") + dir("a"), "second one"},
		"file, then dir":  {file("a") + file("a-b") + dir("a"), "second one"},
		"disorder":        {file("b") + file("a"), "not in order"},
		"dir before file": {dir("foo") + file("foo-bar"), "not in order"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseTree([]byte(c.raw))
			if (c.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// FuzzParseTree holds that nothing makes the parser panic, and that what it
// takes says the same when written again.
func FuzzParseTree(f *testing.F) {
	f.Add([]byte("100644 a\x0001234567890123456789" + "40000 b\x0001234567890123456789"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		entries, err := parseTree(raw)
		if err != nil {
			return
		}
		var again []byte
		for _, e := range entries {
			again = fmt.Appendf(again, "%o %s\x00%s", e.Mode, e.Name, string(e.ID))
		}
		if len(again) > len(raw) {
			t.Errorf("%q became %q", raw, again)
		}
		if _, err := parseTree(again); err != nil {
			t.Error(err)
		}
	})
}

// FuzzPackedRefs holds that nothing makes the reader of packed-refs panic.
func FuzzPackedRefs(f *testing.F) {
	id := strings.Repeat("1", 40)
	f.Add([]byte("# pack-refs with: peeled fully-peeled sorted \n" + id + " refs/tags/v1\n^" + id + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		refs, err := parsePackedRefs(data)
		if err == nil && refs[""] != (refValue{}) {
			t.Error("a ref without a name")
		}
	})
}
