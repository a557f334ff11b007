package cuda

import "strings"

// Facts is what is known of a machine's GPUs. Its zero value is nothing.
type Facts struct {
	Driver     Driver
	CUDA       Version // that the driver offers
	Capability Capability
	// Brand as the container toolkit writes what NVML says: tesla, nvidia,
	// nvidiartx, geforce. Empty is unknown.
	Brand string
}

// Answer is whether a requirement is met; its zero value is undecided.
type Answer int

const (
	Undecided Answer = iota // a fact is missing, or a term cannot be read
	Met
	Unmet
)

// On says whether a requirement is met by facts, whatever those that are missing
// are. One without alternatives is met.
func (r Requirement) On(f Facts) Answer {
	if len(r) == 0 {
		return Met
	}
	answer := Unmet
	for _, terms := range r {
		switch all(terms, f) {
		case Met:
			return Met
		case Undecided:
			answer = Undecided
		}
	}
	return answer
}

// ForwardOn says whether facts meet an alternative that asks for a driver and
// for no CUDA: so NVIDIA's images list the branches on which their forward
// compatibility package works.
func (r Requirement) ForwardOn(f Facts) bool {
	for _, terms := range r {
		names := map[string]bool{}
		for _, t := range terms {
			names[t.property] = true
		}
		if names["driver"] && !names["cuda"] && all(terms, f) == Met {
			return true
		}
	}
	return false
}

func all(terms []term, f Facts) Answer {
	answer := Met
	for _, t := range terms {
		switch t.on(f) {
		case Unmet:
			return Unmet
		case Undecided:
			answer = Undecided
		}
	}
	return answer
}

func (t term) on(f Facts) Answer {
	switch t.property {
	case "driver":
		if want, err := ParseDriver(t.value); err == nil && f.Driver.Known() {
			return t.compared(f.Driver.Compare(want))
		}
	case "cuda":
		if want := Parse(t.value); want.Known() && f.CUDA.Known() {
			return t.compared(f.CUDA.Compare(atLeast(want)))
		}
	case "arch":
		value := t.value
		if !strings.Contains(value, ".") {
			value += ".0"
		}
		if want, err := ParseCapability(value); err == nil && f.Capability.Known() {
			return t.compared(f.Capability.Compare(want))
		}
	case "brand":
		if f.Brand != "" {
			return t.compared(strings.Compare(strings.ToLower(f.Brand), strings.ToLower(t.value)))
		}
	}
	return Undecided
}

func (t term) compared(order int) Answer {
	holds := false
	switch t.operator {
	case "=", "==":
		holds = order == 0
	case "!=":
		holds = order != 0
	case "<":
		holds = order < 0
	case "<=":
		holds = order <= 0
	case ">":
		holds = order > 0
	case ">=":
		holds = order >= 0
	}
	if holds {
		return Met
	}
	return Unmet
}
