package postgres

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lab-layers/lab-layers/layers"
)

// Bounds of what is stored, in bytes, below those of the schema.
const (
	maxShort = 4000
	maxError = 60_000
	maxLog   = 2 << 20
	maxRef   = 1000
)

// clean makes a text of any bytes that PostgreSQL takes: valid UTF-8 without
// NUL.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// cut is clean, and keeps head and tail of a text that is too long.
func cut(s string, limit int) string {
	if s = clean(s); len(s) <= limit {
		return s
	}
	mark := fmt.Sprintf("\n… %d bytes are left out …\n", len(s)-limit)
	half := (limit - len(mark)) / 2
	// Runes that are cut in two become U+FFFD, which may be longer.
	head, tail := s[:half-utf8.UTFMax], s[len(s)-half+utf8.UTFMax:]
	return clean(head) + mark + clean(tail)
}

// document is a JSON value for a jsonb column, which takes no \u0000.
func document(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil || !bytes.Contains(text, []byte(`\u0000`)) {
		return text, err
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		i++ // whatever is escaped, a backslash included
		if bytes.HasPrefix(text[i:], []byte("u0000")) {
			copy(text[i:], "ufffd")
		}
	}
	return text, nil
}

// encodeRef writes a ref's name so that PostgreSQL takes it, and so that two
// names never become one: bytes which are not UTF-8 become \xff. Git allows no
// backslash in a ref.
func encodeRef(ref layers.Ref) string {
	s := string(ref)
	if utf8.ValidString(s) && !strings.ContainsAny(s, "\\\x00") {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 || r == 0 || r == '\\' {
			fmt.Fprintf(&b, `\x%02x`, s[0])
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

func decodeRef(s string) layers.Ref {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, `\x`)
		b.WriteString(before)
		if !found {
			return layers.Ref(b.String())
		}
		s = after
		if len(s) >= 2 {
			if c, err := strconv.ParseUint(s[:2], 16, 8); err == nil {
				b.WriteByte(byte(c))
				s = s[2:]
			}
		}
	}
}

// orNull is for columns where an empty text means that there is none.
func orNull[T ~string](s T) *string {
	if s == "" {
		return nil
	}
	text := string(s)
	return &text
}
