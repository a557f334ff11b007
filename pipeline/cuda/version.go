package cuda

import (
	"fmt"
	"regexp"
	"strconv"
)

// Version is a version of CUDA. Its zero value is unknown.
type Version struct {
	Major int
	Minor int // below 0 if only the major is known
}

var dotted = regexp.MustCompile(`^(\d{1,2})(?:\.(\d{1,2}))?(?:[.~+-]|$)`)

// Parse reads the start of a version: 12.4.127 is 12.4. It is unknown if there
// is none.
func Parse(version string) Version {
	match := dotted.FindStringSubmatch(version)
	if match == nil {
		return Version{}
	}
	return Of(match[1], match[2])
}

// ParseRun reads the digits that names run together: 124 is 12.4, 92 is 9.2, and
// 12 is 12 without more.
func ParseRun(digits string) Version {
	if len(digits) == 3 || len(digits) == 2 && digits[0] > '2' {
		return Of(digits[:len(digits)-1], digits[len(digits)-1:])
	}
	return Of(digits, "")
}

// Of is a version by its numbers; an empty minor is not known.
func Of(major, minor string) Version {
	v := Version{Minor: -1}
	var err error
	if v.Major, err = strconv.Atoi(major); err != nil || v.Major <= 0 {
		return Version{}
	}
	if minor != "" {
		if v.Minor, err = strconv.Atoi(minor); err != nil || v.Minor < 0 {
			return Version{}
		}
	}
	return v
}

// OfDriver is the version in the form of nvmlSystemGetCudaDriverVersion: 1000
// for the major and 10 for the minor, so 12040 is 12.4.
func OfDriver(n int) Version {
	if n < 1000 {
		return Version{}
	}
	return Version{Major: n / 1000, Minor: n % 1000 / 10}
}

// Known is false for the zero value.
func (v Version) Known() bool { return v.Major > 0 }

// String is 12.4, 12 if only that is known, and nothing if unknown.
func (v Version) String() string {
	switch {
	case !v.Known():
		return ""
	case v.Minor < 0:
		return strconv.Itoa(v.Major)
	}
	return fmt.Sprintf("%d.%d", v.Major, v.Minor)
}

// Compare is below 0 if v is older than w.
func (v Version) Compare(w Version) int {
	if v.Major != w.Major {
		return v.Major - w.Major
	}
	return v.Minor - w.Minor
}

// MarshalText writes what [Version.String] does.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what [Parse] reads; anything else is unknown.
func (v *Version) UnmarshalText(text []byte) error {
	*v = Parse(string(text))
	return nil
}
