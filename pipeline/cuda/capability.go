package cuda

import (
	"fmt"
	"regexp"
	"strconv"
)

// Capability is a GPU's compute capability, such as 8.6. Its zero value is
// unknown.
type Capability struct{ Major, Minor int }

var capability = regexp.MustCompile(`^(\d{1,2})\.(\d{1,2})$`)

// ParseCapability reads two numbers with a dot between.
func ParseCapability(s string) (Capability, error) {
	match := capability.FindStringSubmatch(s)
	if match == nil {
		return Capability{}, fmt.Errorf("compute capability %.40q is not two numbers, such as 8.6", s)
	}
	var c Capability
	c.Major, _ = strconv.Atoi(match[1])
	c.Minor, _ = strconv.Atoi(match[2])
	if !c.Known() {
		return Capability{}, fmt.Errorf("there is no compute capability %q", s)
	}
	return c, nil
}

// Known is false for the zero value.
func (c Capability) Known() bool { return c.Major > 0 }

// String is 8.6, and nothing if unknown.
func (c Capability) String() string {
	if !c.Known() {
		return ""
	}
	return fmt.Sprintf("%d.%d", c.Major, c.Minor)
}

// Compare is below 0 if c is lower than d.
func (c Capability) Compare(d Capability) int {
	if c.Major != d.Major {
		return c.Major - d.Major
	}
	return c.Minor - d.Minor
}

// MarshalText writes what [Capability.String] does.
func (c Capability) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what [ParseCapability] reads, and nothing for unknown.
func (c *Capability) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*c = Capability{}
		return nil
	}
	*c, err = ParseCapability(string(text))
	return err
}
