package inventory

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Variables with which an image tells the NVIDIA container toolkit what it
// needs: github.com/NVIDIA/nvidia-container-toolkit, internal/config/image.
const (
	requirePrefix  = "NVIDIA_REQUIRE_"
	requireCUDA    = "NVIDIA_REQUIRE_CUDA"
	requireNothing = "NVIDIA_DISABLE_REQUIRE"
	cudaVersion    = "CUDA_VERSION"
)

// term is one condition: PROPERTY OPERATOR VALUE.
type term struct{ property, operator, value string }

var termPattern = regexp.MustCompile(`^([a-z]+)(>=|<=|!=|==|=|<|>)(.+)$`)

// requirement is what one variable asks for: one of the alternatives, and of it
// every term. Alternatives stand between spaces, terms between commas.
type requirement [][]term

func parseRequirement(s string) requirement {
	var r requirement
	for _, alternative := range strings.Fields(s) {
		var terms []term
		for _, text := range strings.Split(alternative, ",") {
			if match := termPattern.FindStringSubmatch(text); match != nil {
				terms = append(terms, term{match[1], match[2], match[3]})
			}
		}
		r = append(r, terms)
	}
	return r
}

// lowest is the oldest driver that may meet the requirement on some GPU;
// unknown if it says nothing of drivers.
func (r requirement) lowest() DriverVersion {
	var least DriverVersion
	for i, terms := range r {
		var needs DriverVersion
		for _, t := range terms {
			if v := t.driver(); v.Compare(needs) > 0 {
				needs = v
			}
		}
		if i == 0 || needs.Compare(least) < 0 {
			least = needs
		}
	}
	return least
}

// driver is the oldest driver that meets a term; unknown if any does. Brand and
// arch are about the GPU, and any other property is skipped, as by the toolkit.
func (t term) driver() DriverVersion {
	switch t.operator {
	case ">=", ">", "=", "==":
	default:
		return DriverVersion{}
	}
	switch t.property {
	case "driver":
		v, err := ParseDriver(t.value)
		if err != nil {
			return DriverVersion{}
		}
		return v
	case "cuda":
		c, ok := parseCUDA(t.value)
		if !ok {
			return DriverVersion{}
		}
		c.minor = max(c.minor, 0)
		return c.offered()
	}
	return DriverVersion{}
}

// cuda is the version of CUDA that the first alternative to name one asks for.
func (r requirement) cuda() (cuda, bool) {
	for _, terms := range r {
		for _, t := range terms {
			if t.property == "cuda" && t.operator == ">=" {
				return parseCUDA(t.value)
			}
		}
	}
	return cuda{}, false
}

// required is the requirements of an image's variables, by the variable. All of
// them count.
func required(env map[string]string) map[string]requirement {
	switch strings.ToLower(env[requireNothing]) {
	case "1", "t", "true":
		return nil
	}
	all := map[string]requirement{}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if strings.HasPrefix(name, requirePrefix) {
			all[name] = parseRequirement(env[name])
		}
	}
	// Images older than the variables have the version alone.
	if _, ok := env[requireCUDA]; !ok {
		if c, ok := parseCUDA(env[cudaVersion]); ok {
			all[cudaVersion] = requirement{{{"cuda", ">=", c.String()}}}
		}
	}
	return all
}
