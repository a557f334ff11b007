package cuda

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Variables with which an image tells the NVIDIA container toolkit what it
// needs: github.com/NVIDIA/nvidia-container-toolkit, internal/config/image.
const (
	RequirePrefix  = "NVIDIA_REQUIRE_"
	RequireCUDA    = "NVIDIA_REQUIRE_CUDA"
	RequireNothing = "NVIDIA_DISABLE_REQUIRE"
	VersionOnly    = "CUDA_VERSION"
	requireJetpack = "NVIDIA_REQUIRE_JETPACK" // for boards, not for GPUs of nodes
)

// term is one condition: PROPERTY OPERATOR VALUE.
type term struct{ property, operator, value string }

var termPattern = regexp.MustCompile(`^([^<>=!]*)(!=|<=|>=|==|=|<|>)(.*)$`)

// Requirement is what one variable asks for: one of the alternatives, and of it
// every term. Alternatives stand between spaces, terms between commas:
// github.com/NVIDIA/nvidia-container-toolkit, internal/requirements.
type Requirement [][]term

// ParseRequirement reads any text. A term of a property that the toolkit does
// not know is left out, and an alternative of nothing else with it; a term that
// cannot be read stays, and is undecided.
func ParseRequirement(s string) Requirement {
	var r Requirement
	for _, alternative := range strings.Fields(s) {
		var terms []term
		for _, text := range strings.Split(alternative, ",") {
			if t, ok := parseTerm(text); ok {
				terms = append(terms, t)
			}
		}
		if len(terms) > 0 {
			r = append(r, terms)
		}
	}
	return r
}

func parseTerm(text string) (t term, ok bool) {
	if text == "" {
		return term{}, false
	}
	match := termPattern.FindStringSubmatch(text)
	if match == nil {
		return term{}, true
	}
	switch match[1] {
	case "cuda", "driver", "arch", "brand":
		return term{match[1], match[2], match[3]}, true
	}
	return term{}, false
}

// Required is the requirements of an image's variables, by the variable. All of
// them count. The version alone, as images older than the variables have it,
// requires that version.
func Required(env map[string]string) map[string]Requirement {
	if off, _ := strconv.ParseBool(env[RequireNothing]); off {
		return nil
	}
	all := map[string]Requirement{}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if strings.HasPrefix(name, RequirePrefix) && !strings.HasPrefix(name, requireJetpack) {
			all[name] = ParseRequirement(env[name])
		}
	}
	if env[RequireCUDA] == "" {
		if v := Parse(env[VersionOnly]); v.Known() {
			all[VersionOnly] = Requirement{{{"cuda", ">=", v.String()}}}
		}
	}
	return all
}

// Lowest is the oldest driver that may meet the requirement on some GPU;
// unknown if it says nothing of drivers.
func (r Requirement) Lowest() Driver {
	var least Driver
	for i, terms := range r {
		var needs Driver
		for _, t := range terms {
			if d := t.driver(); d.Compare(needs) > 0 {
				needs = d
			}
		}
		if i == 0 || needs.Compare(least) < 0 {
			least = needs
		}
	}
	return least
}

// CUDA is the version that the first alternative to name one asks for.
func (r Requirement) CUDA() Version {
	for _, terms := range r {
		for _, t := range terms {
			if t.property == "cuda" && t.operator == ">=" {
				return Parse(t.value)
			}
		}
	}
	return Version{}
}

// driver is the oldest driver that meets a term; unknown if any does. Brand and
// arch are about the GPU.
func (t term) driver() Driver {
	switch t.operator {
	case ">=", ">", "=", "==":
	default:
		return Driver{}
	}
	switch t.property {
	case "driver":
		d, err := ParseDriver(t.value)
		if err != nil {
			return Driver{}
		}
		return d
	case "cuda":
		return atLeast(Parse(t.value)).Offered()
	}
	return Driver{}
}

// atLeast takes a version of which only the major is known for its first
// release. An unknown one stays unknown.
func atLeast(v Version) Version {
	v.Minor = max(v.Minor, 0)
	return v
}
