package cuda

// Source is where the drivers below come from.
const Source = "docs.nvidia.com/deploy/cuda-compatibility"

// floors are the oldest drivers on which any release of a major version of CUDA
// runs: minor version compatibility, table 1 of [Source].
var floors = map[int]string{
	11: "450.80.02",
	12: "525.60.13",
	13: "580.65.06",
}

// shipped are the drivers that came with releases of CUDA, the oldest first:
// from them on a driver itself offers that version. From "CUDA Toolkit and
// Corresponding Driver Versions" in the release notes,
// docs.nvidia.com/cuda/cuda-toolkit-release-notes.
var shipped = []struct {
	cuda   Version
	driver string
}{
	{Version{11, 1}, "455.32.00"},
	{Version{11, 2}, "460.32.03"},
	{Version{11, 3}, "465.19.01"},
	{Version{11, 4}, "470.82.01"},
	{Version{11, 5}, "495.29.05"},
	{Version{11, 6}, "510.47.03"},
	{Version{11, 7}, "515.65.01"},
	{Version{11, 8}, "520.61.05"},
	{Version{12, 0}, "525.60.13"},
	{Version{12, 1}, "530.30.02"},
	{Version{12, 2}, "535.54.03"},
	{Version{12, 3}, "545.23.06"},
	{Version{12, 4}, "550.54.14"},
	{Version{12, 5}, "555.42.02"},
	{Version{12, 6}, "560.28.03"},
	{Version{12, 8}, "570.86.10"},
	{Version{12, 9}, "575.51.03"},
	{Version{13, 0}, "580.65.06"},
	{Version{13, 1}, "590.44.01"},
}

// Floor is the oldest driver on which a version of CUDA runs at all; unknown for
// one that the table does not have.
func (v Version) Floor() Driver {
	d, err := ParseDriver(floors[v.Major])
	if err != nil {
		return Driver{}
	}
	return d
}

// Offered is the oldest driver that itself offers a version of CUDA; for one
// between two releases of the table that of the next, for one beyond it is
// unknown. On an older driver, from [Version.Floor] on, programs run that need
// nothing new of it.
func (v Version) Offered() Driver {
	if !v.Known() {
		return Driver{}
	}
	for _, release := range shipped {
		if release.cuda.Compare(v) >= 0 {
			if d, err := ParseDriver(release.driver); err == nil {
				return d
			}
		}
	}
	return Driver{}
}

// Offers is the newest version of CUDA that a driver itself offers, of those
// that the table has; unknown if it is older than all of them. A driver newer
// than the table offers more than this says.
func (d Driver) Offers() Version {
	var newest Version
	for _, release := range shipped {
		if from, err := ParseDriver(release.driver); err == nil && d.Compare(from) >= 0 {
			newest = release.cuda
		}
	}
	return newest
}

// Newest reports whether the table has no newer version.
func (v Version) Newest() bool { return v.Compare(shipped[len(shipped)-1].cuda) >= 0 }

// Runs is the newest major version of CUDA that runs on a driver; 0 if none of
// the table does.
func (d Driver) Runs() int {
	newest := 0
	for major := range floors {
		if d.Compare(Version{Major: major}.Floor()) >= 0 {
			newest = max(newest, major)
		}
	}
	return newest
}

// Oldest is the lowest compute capability that a version of CUDA makes programs
// for: what it dropped is named in the release notes of 11.0, 12.0 (Kepler) and
// 13.0 (Maxwell, Pascal, Volta). It is unknown for other versions.
func (v Version) Oldest() Capability {
	switch v.Major {
	case 11:
		return Capability{3, 5}
	case 12:
		return Capability{5, 0}
	case 13:
		return Capability{7, 5}
	}
	return Capability{}
}

// Since is the first version of CUDA that makes programs for GPUs of a
// capability's major number, which its minors run as well: the release notes of
// 9.0, 11.0, 11.8 and 12.8. Older ones run there only as far as they brought
// intermediate code (PTX). It is unknown for other capabilities.
func (c Capability) Since() Version {
	switch c.Major {
	case 7:
		return Version{9, 0}
	case 8:
		return Version{11, 0}
	case 9:
		return Version{11, 8}
	case 10, 12:
		return Version{12, 8}
	}
	return Version{}
}
