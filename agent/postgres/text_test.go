package postgres

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/lab-layers/lab-layers/layers"
)

// takes reports whether PostgreSQL takes a text.
func takes(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

func TestCut(t *testing.T) {
	for _, s := range []string{"", "plain", "\x00\xff", strings.Repeat("é", 500), strings.Repeat("\xff\x00", 500), "head" + strings.Repeat("x", 1000) + "tail"} {
		got := cut(s, 200)
		if !takes(got) || len(got) > 200 {
			t.Errorf("%.20q became %d bytes, %q", s, len(got), got)
		}
		if len(s) <= 200 && takes(s) && got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
	if got := cut("head"+strings.Repeat("x", 1000)+"tail", 200); !strings.HasPrefix(got, "head") || !strings.HasSuffix(got, "tail") {
		t.Errorf("cut to %q", got)
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"refs/heads/main", "a\x00\xff\\x41", `\`, `\x`, "\\u0000", "\u2028\U0010FFFF"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name := encodeRef(layers.Ref(s))
		if !takes(name) {
			t.Errorf("%q is stored as %q", s, name)
		}
		if back := decodeRef(name); string(back) != s {
			t.Errorf("%q came back as %q", s, back)
		}
		text, err := document([]string{s})
		if err != nil {
			t.Fatal(err)
		}
		var back []string
		if err := json.Unmarshal(text, &back); err != nil || len(back) != 1 || !takes(back[0]) {
			t.Errorf("%q became the document %s: %v", s, text, err)
		}
		if takes(s) && back[0] != s {
			t.Errorf("%q became %q", s, back[0])
		}
		for limit := 150; limit < 160; limit++ {
			if got := cut(s, limit); !takes(got) || len(got) > limit {
				t.Errorf("%q is cut to %q", s, got)
			}
		}
	})
}
