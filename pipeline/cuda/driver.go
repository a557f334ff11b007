package cuda

import (
	"fmt"
	"strconv"
	"strings"
)

// Driver is a version of the NVIDIA driver: 535.54.03, 565.77. It is no semantic
// version: it has two or three parts, and leading zeros. The zero value is
// unknown, and lower than all.
type Driver struct {
	text  string
	parts [4]int
}

// ParseDriver reads a version of one to four numbers; a missing one is 0.
func ParseDriver(s string) (Driver, error) {
	v := Driver{text: s}
	parts := strings.Split(s, ".")
	if len(parts) > len(v.parts) {
		return Driver{}, fmt.Errorf("driver version %.40q has more than %d parts", s, len(v.parts))
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return Driver{}, fmt.Errorf("driver version %.40q: %.40q is no number", s, part)
		}
		v.parts[i] = int(n)
	}
	if len(s) > 40 {
		return Driver{}, fmt.Errorf("driver version %.40q… is longer than any", s)
	}
	return v, nil
}

// String is the version as it was written.
func (v Driver) String() string { return v.text }

// Known is false for the zero value.
func (v Driver) Known() bool { return v.text != "" }

// Branch is the first number: 550 of 550.54.14.
func (v Driver) Branch() int { return v.parts[0] }

// Compare is below 0 if v is older than w, above 0 if it is newer, and 0 if they
// are the same version, however it is written.
func (v Driver) Compare(w Driver) int {
	for i := range v.parts {
		if d := v.parts[i] - w.parts[i]; d != 0 {
			return d
		}
	}
	return 0
}

// MarshalText writes the version as it was read.
func (v Driver) MarshalText() ([]byte, error) { return []byte(v.text), nil }

// UnmarshalText reads what [ParseDriver] reads, and nothing for unknown.
func (v *Driver) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*v = Driver{}
		return nil
	}
	*v, err = ParseDriver(string(text))
	return err
}
