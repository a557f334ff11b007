package gpu

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lab-layers/lab-layers/pipeline/cuda"
)

// Node is what is known of a node's GPUs. The zero value knows nothing.
type Node struct {
	Name string `json:"name"`
	// Source is who says so; empty if nobody.
	Source string      `json:"source,omitempty"`
	Driver cuda.Driver `json:"driver"`
	// CUDA is the version that the driver offers.
	CUDA     cuda.Version `json:"cuda"`
	Products []string     `json:"products,omitempty"`
	Count    int          `json:"count,omitempty"`
	// MemoryMiB and Capability are the least of its GPUs'.
	MemoryMiB  int64           `json:"memory_mib,omitempty"`
	Capability cuda.Capability `json:"capability"`
	// Brands that its GPUs have or, by their names, may have.
	Brands []string `json:"brands,omitempty"`
	// Shared reports whether several pods get the same GPU, memory and all.
	Shared bool `json:"shared,omitempty"`
	// Broken is why there is no GPU to be had, as the node itself says.
	Broken string `json:"broken,omitempty"`
	// Fault is why what is said cannot be relied on.
	Fault string `json:"fault,omitempty"`
}

// Sources of what is known.
const (
	discovery = "GPU Feature Discovery"
	probe     = "node-probe"
)

// ReadNode gathers what a node's labels and annotations say: those of GPU
// Feature Discovery, else node-probe's. If both say something of the driver and
// do not agree, that is a fault, and so is what cannot be read.
func ReadNode(name string, labels, annotations map[string]string) Node {
	labelled, known := fromLabels(labels)
	report, reported, err := readReport(annotations)
	n := labelled
	switch {
	case err != nil:
		n.Fault = err.Error()
	case reported && report.Fault != "" && known:
		n.Fault = "its labels say driver " + n.Driver.String() + ", node-probe says " + report.Fault
	case reported && report.Fault != "":
		n.Source, n.Broken = probe, report.Fault
	case reported && known:
		if n.Driver.Known() && n.Driver.Compare(report.Driver) != 0 {
			n.Fault = fmt.Sprintf("its labels say driver %s, node-probe says %s", n.Driver, report.Driver)
		}
		n.add(report)
	case reported:
		n.Source = probe
		n.add(report)
	}
	n.Name = name
	return n
}

// fromLabels reads what GPU Feature Discovery says.
func fromLabels(labels map[string]string) (n Node, ok bool) {
	var faults []string
	fault := func(err error) {
		if err != nil {
			faults = append(faults, err.Error())
		}
	}
	var err error
	if text := dotted(labels, gfdDriver, "full", "major", "minor", "revision"); text != "" {
		n.Driver, err = cuda.ParseDriver(text)
		fault(err)
	} else if text := dotted(labels, gfdDriverOld, "", "major", "minor", "rev"); text != "" {
		n.Driver, err = cuda.ParseDriver(text)
		fault(err)
	}
	n.CUDA = cuda.Parse(dotted(labels, gfdCUDA, "full", "major", "minor"))
	if !n.CUDA.Known() {
		n.CUDA = cuda.Parse(dotted(labels, gfdCUDAOld, "", "major", "minor"))
	}
	if product := labels[gfdProduct]; product != "" {
		n.Products, n.Brands = []string{product}, brandsOf(product)
		n.Shared = strings.HasSuffix(product, "-SHARED")
	}
	if major := labels[gfdComputeMajor]; major != "" {
		n.Capability, err = cuda.ParseCapability(major + "." + labels[gfdComputeMinor])
		fault(err)
	}
	n.Count, err = number(labels, gfdCount)
	fault(err)
	memory, err := number(labels, gfdMemory)
	fault(err)
	n.MemoryMiB = int64(memory)
	replicas, err := number(labels, gfdReplicas)
	fault(err)
	n.Shared = n.Shared || replicas > 1
	n.Fault = strings.Join(faults, "; ")
	if n.Driver.Known() || len(n.Products) > 0 || n.Fault != "" {
		n.Source = discovery
		return n, true
	}
	return Node{}, false
}

// add fills in what a report says and the labels do not. A report knows the
// brands, which labels only let guess.
func (n *Node) add(r Report) {
	if !n.Driver.Known() {
		n.Driver = r.Driver
	}
	if !n.CUDA.Known() {
		n.CUDA = r.CUDA
	}
	var brands, products []string
	for _, d := range r.GPUs {
		if d.Brand == "" {
			brands = append(brands, brandsOf(d.Product)...)
		} else {
			brands = append(brands, d.Brand)
		}
		products = append(products, d.Product)
	}
	if len(n.Products) == 0 {
		n.Products = distinct(products)
	}
	if len(brands) > 0 {
		n.Brands = distinct(brands)
	}
	least := r.Least()
	if n.MemoryMiB == 0 {
		n.MemoryMiB = least.MemoryMiB
	}
	if !n.Capability.Known() {
		n.Capability = least.Capability
	}
	if n.Count == 0 {
		n.Count = len(r.GPUs)
	}
}

func distinct(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

func readReport(annotations map[string]string) (r Report, ok bool, err error) {
	text, ok := annotations[ReportAnnotation]
	if !ok {
		return Report{}, false, nil
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return Report{}, false, fmt.Errorf("annotation %s cannot be read: %.100s", ReportAnnotation, err)
	}
	return r, true, nil
}

// dotted is a version that stands in one label, or in several that are its
// parts. A part that is missing or empty ends it.
func dotted(labels map[string]string, prefix, whole string, parts ...string) string {
	if text := labels[prefix+whole]; whole != "" && text != "" {
		return text
	}
	var found []string
	for _, part := range parts {
		text := labels[prefix+part]
		if text == "" {
			break
		}
		found = append(found, text)
	}
	return strings.Join(found, ".")
}

func number(labels map[string]string, name string) (int, error) {
	text, ok := labels[name]
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("label %s is %.63q, not a number", name, text)
	}
	return int(n), nil
}

// facts are those that requirements are about, for people.
func (n Node) facts() string {
	parts := []string{"driver " + n.Driver.String()}
	if n.CUDA.Known() {
		parts = append(parts, "CUDA "+n.CUDA.String())
	}
	return strings.Join(append(parts, n.Products...), ", ")
}

// readings are the facts that may be true of the node's GPUs: one for each brand
// that they may be of, and where only the driver is known, and is newer than all
// that the tables have, with the least and the most CUDA that it may offer.
func (n Node) readings() []cuda.Facts {
	versions := []cuda.Version{n.CUDA}
	if offers := n.Driver.Offers(); !n.CUDA.Known() && offers.Known() {
		versions = []cuda.Version{offers}
		if offers.Newest() {
			versions = append(versions, cuda.Version{Major: 99})
		}
	}
	brands := n.Brands
	if len(brands) == 0 {
		brands = []string{""}
	}
	var all []cuda.Facts
	for _, v := range versions {
		for _, brand := range brands {
			all = append(all, cuda.Facts{Driver: n.Driver, CUDA: v, Capability: n.Capability, Brand: brand})
		}
	}
	return all
}
