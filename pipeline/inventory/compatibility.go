package inventory

// Where the numbers below come from.
const compatibilitySource = "docs.nvidia.com/deploy/cuda-compatibility"

// floors are the oldest drivers on which any release of a major version of CUDA
// runs (minor version compatibility).
var floors = map[int]string{
	11: "450.80.02",
	12: "525.60.13",
	13: "580.65.06",
}

// shipped are the drivers that came with releases of CUDA, the oldest first:
// from them on a driver itself offers that version.
var shipped = []struct {
	cuda   cuda
	driver string
}{
	{cuda{11, 1}, "455.32.00"},
	{cuda{11, 2}, "460.32.03"},
	{cuda{11, 3}, "465.19.01"},
	{cuda{11, 4}, "470.82.01"},
	{cuda{11, 5}, "495.29.05"},
	{cuda{11, 6}, "510.47.03"},
	{cuda{11, 7}, "515.65.01"},
	{cuda{11, 8}, "520.61.05"},
	{cuda{12, 0}, "525.60.13"},
	{cuda{12, 1}, "530.30.02"},
	{cuda{12, 2}, "535.54.03"},
	{cuda{12, 3}, "545.23.06"},
	{cuda{12, 4}, "550.54.14"},
	{cuda{12, 5}, "555.42.02"},
	{cuda{12, 6}, "560.28.03"},
	{cuda{12, 8}, "570.86.10"},
	{cuda{12, 9}, "575.51.03"},
	{cuda{13, 0}, "580.65.06"},
	{cuda{13, 1}, "590.44.01"},
}

// floor is the oldest driver on which a version of CUDA runs at all; unknown for
// one that the table does not have.
func (c cuda) floor() DriverVersion {
	v, err := ParseDriver(floors[c.major])
	if err != nil {
		return DriverVersion{}
	}
	return v
}

// offered is the oldest driver that offers a version of CUDA; for one between
// two releases of the table that of the next, for one beyond it is unknown.
func (c cuda) offered() DriverVersion {
	for _, release := range shipped {
		if release.cuda.compare(c) >= 0 {
			if v, err := ParseDriver(release.driver); err == nil {
				return v
			}
		}
	}
	return DriverVersion{}
}

// Offered is the oldest driver that itself offers a version of CUDA, such as
// 12.4; ok is false if that is not known. On an older one, from [Floor] on,
// programs run that need nothing new of it.
func Offered(version string) (v DriverVersion, ok bool) {
	if c, is := parseCUDA(version); is {
		v = c.offered()
	}
	return v, v.Known()
}

// Floor is the oldest driver on which a version of CUDA, such as 12.4, runs at
// all; ok is false if that is not known.
func Floor(version string) (v DriverVersion, ok bool) {
	if c, is := parseCUDA(version); is {
		v = c.floor()
	}
	return v, v.Known()
}
