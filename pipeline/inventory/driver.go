package inventory

import (
	"fmt"
	"strconv"
	"strings"
)

// DriverVersion is a version of the NVIDIA driver: 535.54.03, 565.77. It is no
// semantic version: it has two or three parts, and leading zeros. The zero value
// is unknown, and lower than all.
type DriverVersion struct {
	text  string
	parts [4]int
}

// ParseDriver reads a version of one to four numbers; a missing one is 0.
func ParseDriver(s string) (DriverVersion, error) {
	v := DriverVersion{text: s}
	parts := strings.Split(s, ".")
	if len(parts) > len(v.parts) {
		return DriverVersion{}, fmt.Errorf("driver version %q has more than %d parts", s, len(v.parts))
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return DriverVersion{}, fmt.Errorf("driver version %q: %q is no number", s, part)
		}
		v.parts[i] = int(n)
	}
	return v, nil
}

// String is the version as it was written.
func (v DriverVersion) String() string { return v.text }

// Known is false for the zero value.
func (v DriverVersion) Known() bool { return v.text != "" }

// Compare is below 0 if v is older than w, above 0 if it is newer, and 0 if they
// are the same version, however it is written.
func (v DriverVersion) Compare(w DriverVersion) int {
	for i := range v.parts {
		if d := v.parts[i] - w.parts[i]; d != 0 {
			return d
		}
	}
	return 0
}
