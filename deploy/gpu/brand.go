package gpu

import (
	"regexp"
	"slices"
	"strings"
)

// Brands of GPUs in data centres, on which forward compatibility packages work:
// https://docs.nvidia.com/deploy/cuda-compatibility, "Forward Compatibility".
// RTX cards are brands of their own.
var dataCentre = []string{"tesla", "nvidia"}

// model matches the names of GPUs in data centres, which NVML calls Tesla or,
// from Ampere on, NVIDIA, depending on the driver.
var model = regexp.MustCompile(`^(?:(?:NVIDIA|Tesla)-)?(?:GH200|GB\d{3}|[AHBTLVPK]\d{1,3}[SX]?)(?:-|$)`)

// brandsOf are the brands that a product may have by its name, as labels write
// it; none if that is not known.
func brandsOf(product string) []string {
	name := strings.ReplaceAll(product, " ", "-")
	switch {
	case strings.Contains(name, "GeForce"):
		return []string{"geforce", "geforcertx"}
	case strings.Contains(name, "Quadro"):
		return []string{"quadro", "quadrortx"}
	case strings.Contains(name, "TITAN"):
		return []string{"titan", "titanrtx"}
	case strings.Contains(name, "RTX"):
		return []string{"nvidiartx", "quadrortx"}
	case strings.HasPrefix(name, "Tesla"), model.MatchString(name):
		return slices.Clone(dataCentre)
	}
	return nil
}
