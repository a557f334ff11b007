package gpu

import (
	"fmt"
	"maps"
	"slices"

	"github.com/lab-layers/lab-layers/pipeline/cuda"
)

// check is one image on one node.
type check struct {
	need Need
	wish Wish
	node Node
}

// remarks are what speaks against it.
func (c check) remarks() []Remark {
	switch {
	case c.node.Broken != "":
		return c.remark(Refuse, c.need.text(), "have no GPU to use ("+c.node.Broken+")", "mend it, or keep it off by node affinity")
	case c.node.Fault != "":
		return c.remark(Unknown, c.need.text(), "tell no sound facts ("+c.node.Fault+")", "mend the labels or annotations")
	case !c.node.Driver.Known():
		return c.remark(Unknown, c.need.text(), "tell no driver", "run GPU Feature Discovery or lab-layers node-probe there")
	}
	return slices.Concat(c.driver(), c.capability(), c.memory())
}

func (c check) remark(level Level, needs, has, remedy string) []Remark {
	return []Remark{{Level: level, Needs: needs, Has: has, Nodes: []string{c.node.Name}, Remedy: remedy}}
}

// driver is the gravest that speaks against the node's driver.
func (c check) driver() []Remark {
	has := "have " + c.node.Driver.String()
	if c.need.Driver.Known() && c.node.Driver.Compare(c.need.Driver) < 0 {
		if variable, ok := c.forward(); ok {
			return c.remark(Warn, c.need.driverText(), has, "it runs only by the image's forward compatibility package, which "+variable+" speaks of")
		}
		return c.remark(Refuse, c.need.driverText(), has, c.pin())
	}
	for _, name := range slices.Sorted(maps.Keys(c.need.required)) {
		switch c.answer(c.need.required[name]) {
		case cuda.Unmet:
			return c.remark(Refuse, fmt.Sprintf("its %s allows no such node", name), "have "+c.node.facts(), "pin "+c.older()+" or upgrade")
		case cuda.Undecided:
			return c.remark(Unknown, fmt.Sprintf("whether its %s allows the node is unknown", name), "have "+c.node.facts(), "lab-layers node-probe tells a GPU's brand")
		}
	}
	return c.offered(has)
}

// offered warns where the driver is older than the CUDA that the image brings.
func (c check) offered(has string) []Remark {
	needs := fmt.Sprintf("brings CUDA %s, which driver ≥ %s offers (%s)", c.need.CUDA, c.need.CUDA.Offered(), brief(c.need.CUDAEvidence))
	const remedy = "what needs more than an older CUDA of the same major fails"
	switch from := c.need.CUDA.Offered(); {
	case !c.need.CUDA.Known() || c.node.CUDA.Known() && c.node.CUDA.Compare(c.need.CUDA) >= 0:
	case !from.Known():
		return c.remark(Warn, fmt.Sprintf("brings CUDA %s, of which it is unknown which driver offers it (%s)", c.need.CUDA, brief(c.need.CUDAEvidence)), has, remedy)
	case c.node.Driver.Compare(from) < 0:
		return c.remark(Warn, needs, has, remedy)
	}
	return nil
}

func (c check) capability() []Remark {
	have := c.node.Capability
	has := fmt.Sprintf("have GPUs of %s", have)
	oldest, since := c.need.CUDA.Oldest(), have.Since()
	switch {
	case !have.Known():
		return c.remark(Unknown, c.need.text(), "tell no compute capability", "run GPU Feature Discovery or lab-layers node-probe there")
	case have.Compare(c.wish.Capability) < 0:
		return c.remark(Refuse, fmt.Sprintf("asks for compute capability ≥ %s", c.wish.Capability), has, "keep it off by node affinity")
	case oldest.Known() && have.Compare(oldest) < 0:
		return c.remark(Refuse, fmt.Sprintf("CUDA %s is for compute capability ≥ %s (%s)", c.need.CUDA, oldest, brief(c.need.CUDAEvidence)), has, c.pinFor(c.need.CUDA.Major-1))
	case since.Known() && c.need.CUDA.Known() && c.need.CUDA.Minor >= 0 && c.need.CUDA.Compare(since) < 0:
		return c.remark(Warn, fmt.Sprintf("CUDA %s is older than its GPUs, which CUDA ≥ %s makes programs for (%s)", c.need.CUDA, since, brief(c.need.CUDAEvidence)), has, "take a newer build")
	}
	return nil
}

func (c check) memory() []Remark {
	asks := fmt.Sprintf("asks for %d MiB of GPU memory", c.wish.MemoryMiB)
	switch have := c.node.MemoryMiB; {
	case c.wish.MemoryMiB <= 0:
	case have == 0:
		return c.remark(Unknown, asks, "tell none", "")
	case have < c.wish.MemoryMiB:
		return c.remark(Refuse, asks, fmt.Sprintf("have %d MiB", have), "ask for less, or keep it off by node affinity")
	case c.node.Shared:
		return c.remark(Warn, asks, "share each GPU's memory among pods", "")
	}
	return nil
}

// answer is whether the node meets a requirement, whatever of the facts that it
// may have are true.
func (c check) answer(r cuda.Requirement) cuda.Answer {
	var answer cuda.Answer
	for i, facts := range c.node.readings() {
		switch a := r.On(facts); {
		case i == 0:
			answer = a
		case a != answer:
			return cuda.Undecided
		}
	}
	return answer
}

// forward reports whether an older driver may do by the forward compatibility
// package of the image: on GPUs in data centres only, and where the image says
// that it serves their driver.
func (c check) forward() (variable string, ok bool) {
	for _, brand := range c.node.Brands {
		if !slices.Contains(dataCentre, brand) {
			return "", false
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.need.required)) {
		serves := len(c.node.Brands) > 0
		for _, facts := range c.node.readings() {
			serves = serves && c.need.required[name].ForwardOn(facts)
		}
		if serves {
			return name, true
		}
	}
	return "", false
}

// indexes are PyTorch's package indexes with the longest life of a major version
// of CUDA: download.pytorch.org/whl.
var indexes = map[int]string{11: "cu118", 12: "cu126", 13: "cu130"}

// pin is what to do about a driver that is too old.
func (c check) pin() string {
	if !c.need.byCUDA() {
		return "pin " + c.older() + " or upgrade"
	}
	return c.pinFor(c.node.Driver.Runs())
}

func (c check) pinFor(major int) string {
	if index, ok := indexes[major]; ok {
		return "pin " + index + " or upgrade"
	}
	return "upgrade"
}

// older is the CUDA that the node offers.
func (c check) older() string {
	v := c.node.CUDA
	if !v.Known() {
		v = c.node.Driver.Offers()
	}
	if !v.Known() {
		return "an older CUDA"
	}
	return "CUDA " + v.String()
}
