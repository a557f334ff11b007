package cuda

import (
	"slices"
	"testing"
)

func TestDriverOrder(t *testing.T) {
	ordered := []string{"418", "450.80.02", "470", "525.60.13", "535.54.03", "535.104.05", "550.54.14", "550.54.15", "565.57.01", "565.77", "565.77.01", "580.65.06", "580.65.6.1", "590.44.01"}
	for i, a := range ordered {
		for j, b := range ordered {
			if got, want := sign(driver(t, a).Compare(driver(t, b))), sign(i-j); got != want {
				t.Errorf("%s against %s is %d, want %d", a, b, got, want)
			}
		}
		if driver(t, a).String() != a {
			t.Errorf("%s became %s", a, driver(t, a))
		}
		if (Driver{}).Compare(driver(t, a)) >= 0 {
			t.Errorf("unknown is not below %s", a)
		}
	}
	for _, same := range [][2]string{{"565.77", "565.77.00"}, {"580.65.06", "580.65.6"}, {"470", "470.0.0.0"}} {
		if driver(t, same[0]).Compare(driver(t, same[1])) != 0 {
			t.Errorf("%s and %s differ", same[0], same[1])
		}
	}
	for _, bad := range []string{"", ".", "525.", "525.60.13.1.2", "525.x", "-525", "+525", "525 ", "99999999999.1"} {
		if v, err := ParseDriver(bad); err == nil {
			t.Errorf("%q is taken for %s", bad, v)
		}
	}
}

func TestCompatibilityTable(t *testing.T) {
	if !slices.IsSortedFunc(shipped, func(a, b struct {
		cuda   Version
		driver string
	}) int {
		return a.cuda.Compare(b.cuda)
	}) {
		t.Error("the releases are not in order")
	}
	last := Driver{}
	for _, release := range shipped {
		v := driver(t, release.driver)
		if v.Compare(last) <= 0 {
			t.Errorf("CUDA %s came with %s, the release before with %s", release.cuda, v, last)
		}
		if floor := release.cuda.Floor(); !floor.Known() || floor.Compare(v) > 0 {
			t.Errorf("CUDA %s came with %s, below its floor %s", release.cuda, v, floor)
		}
		last = v
	}
	for version, want := range map[string][2]string{ // floor, offered
		"12.4": {"525.60.13", "550.54.14"}, "12.4.127": {"525.60.13", "550.54.14"}, "12": {"525.60.13", "525.60.13"},
		"12.7": {"525.60.13", "570.86.10"}, "13.0": {"580.65.06", "580.65.06"}, "11.0": {"450.80.02", "455.32.00"},
		"14.0": {"", ""}, "13.9": {"580.65.06", ""}, "": {"", ""}, "x": {"", ""},
	} {
		v := Parse(version)
		if got := [2]string{v.Floor().String(), v.Offered().String()}; got != want {
			t.Errorf("CUDA %q: %v, want %v", version, got, want)
		}
	}
}

func TestRequirement(t *testing.T) {
	for text, want := range map[string]string{
		"":           "",
		"cuda>=12.4": "550.54.14",
		"cuda>=12.4 brand=tesla,driver>=470,driver<471":  "470",
		"brand=tesla,driver>=418,driver<419 driver>=450": "418",
		"cuda>=11.0,driver>=510.39":                      "510.39",
		"driver=535.54.03":                               "535.54.03",
		"driver<600":                                     "",
		"driver>=560 brand=tesla":                        "", // a Tesla will do
		"arch>=8.0,cuda>=12.0":                           "525.60.13",
		"cuda>=99":                                       "",
		"cuda>=12.4,future=1 ":                           "550.54.14",
		"nonsense":                                       "",
		"cuda>=13.0 brand=nvidiartx,driver>=550,driver<551 brand=x,driver>=560": "550",
		"driver>=abc driver>=535": "",
		"cuda>=12.9\tbrand=tesla,driver>=535,driver<536  brand=l4,driver>=550.1.2.3": "535",
	} {
		if got := ParseRequirement(text).Lowest().String(); got != want {
			t.Errorf("%q needs %q, want %q", text, got, want)
		}
	}
}

func driver(t *testing.T, s string) Driver {
	t.Helper()
	v, err := ParseDriver(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func sign(n int) int { return max(-1, min(1, n)) }
