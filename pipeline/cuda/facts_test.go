package cuda

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// branches is how NVIDIA's images of CUDA 13.0 and later write which drivers
// their forward compatibility package serves.
func branches(first string, drivers ...int) string {
	all := []string{first}
	for _, d := range drivers {
		for _, brand := range []string{"unknown", "grid", "tesla", "nvidia", "quadro", "quadrortx", "nvidiartx", "vapps", "vpc", "vcs", "vws", "cloudgaming"} {
			all = append(all, fmt.Sprintf("brand=%s,driver>=%d,driver<%d", brand, d, d+1))
		}
	}
	return strings.Join(all, " ")
}

func TestRequirementOn(t *testing.T) {
	a6000 := Facts{driver(t, "550.54.14"), Version{12, 4}, Capability{8, 6}, "nvidiartx"}
	labelled := Facts{Driver: a6000.Driver, CUDA: a6000.CUDA, Capability: a6000.Capability}
	geforce := Facts{driver(t, "565.77"), Version{12, 7}, Capability{8, 9}, "geforcertx"}
	for _, test := range []struct {
		text  string
		facts Facts
		want  Answer
	}{
		{"", Facts{}, Met},
		{"future>=3 flavour=x,other", Facts{}, Undecided}, // "other" cannot be read
		{"future>=3", Facts{}, Met},
		{"cuda>=12.4", a6000, Met},
		{"cuda>=12", a6000, Met},
		{"cuda>=12.5", a6000, Unmet},
		{"cuda>=12.5", Facts{}, Undecided},
		{"cuda>=x", a6000, Undecided},
		{"cuda>=12.5 driver>=550.54.14", a6000, Met},
		{"driver>550.54.14", a6000, Unmet},
		{"driver=550.54.14", a6000, Met}, {"driver==550.54.14", a6000, Met}, {"driver!=550.54.14", a6000, Unmet},
		{"driver<=550.54.14,driver<551", a6000, Met},
		{"driver>=565.57.01,driver<566", geforce, Met},
		{"arch>=8.6", a6000, Met}, {"arch>=8", a6000, Met}, {"arch>=9.0", a6000, Unmet}, {"arch>=9.0", Facts{}, Undecided},
		{"brand=NVIDIArtx", a6000, Met}, {"brand!=tesla", a6000, Met}, {"brand=tesla", labelled, Undecided},
		{"cuda>=99,brand=tesla", labelled, Unmet}, // whatever the brand is
		{"cuda>=12.4,brand=tesla", labelled, Undecided},
		{"cuda>=12.4 brand=tesla", labelled, Met},
		{"cuda>=12.5 future=1", a6000, Unmet}, // an unknown property makes no alternative
		{branches("cuda>=13.0", 535, 550, 570), a6000, Met},
		{branches("cuda>=13.0", 535, 550, 570), labelled, Undecided},
		{branches("cuda>=13.0", 535, 570), labelled, Unmet},
		{branches("cuda>=13.0", 535, 550, 565), geforce, Unmet},
	} {
		if got := ParseRequirement(test.text).On(test.facts); got != test.want {
			t.Errorf("%.60q on %v: %v, want %v", test.text, test.facts, got, test.want)
		}
	}
	if r := ParseRequirement(branches("cuda>=13.0", 550)); !r.ForwardOn(a6000) || r.ForwardOn(labelled) || r.ForwardOn(geforce) {
		t.Error("forward compatibility is for the listed brands and branches")
	}
	if ParseRequirement("cuda>=12.4,driver>=550").ForwardOn(a6000) {
		t.Error("an alternative with CUDA is taken for forward compatibility")
	}
}

func TestRequired(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want string
	}{
		{nil, ""},
		{map[string]string{"CUDA_VERSION": "12.4.1"}, "CUDA_VERSION"},
		{map[string]string{"CUDA_VERSION": "twelve"}, ""},
		{map[string]string{"CUDA_VERSION": "12.4.1", "NVIDIA_REQUIRE_CUDA": ""}, "CUDA_VERSION NVIDIA_REQUIRE_CUDA"},
		{map[string]string{"CUDA_VERSION": "12.4.1", "NVIDIA_REQUIRE_CUDA": "cuda>=11"}, "NVIDIA_REQUIRE_CUDA"},
		{map[string]string{"NVIDIA_REQUIRE_X": "driver>=550", "NVIDIA_REQUIRE_JETPACK_HOST_MOUNTS": "base-only"}, "NVIDIA_REQUIRE_X"},
		{map[string]string{"NVIDIA_REQUIRE_CUDA": "cuda>=11", "NVIDIA_DISABLE_REQUIRE": "True"}, ""},
		{map[string]string{"NVIDIA_REQUIRE_CUDA": "cuda>=11", "NVIDIA_DISABLE_REQUIRE": "no"}, "NVIDIA_REQUIRE_CUDA"},
	} {
		if got := strings.Join(slices.Sorted(maps.Keys(Required(test.env))), " "); got != test.want {
			t.Errorf("%v: %q, want %q", test.env, got, test.want)
		}
	}
}

func TestVersions(t *testing.T) {
	for text, want := range map[string]string{"12.4.127": "12.4", "12": "12", "13.0-1": "13.0", "": "", "0.1": "", "x": "", "123.4": ""} {
		if got := Parse(text).String(); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	for digits, want := range map[string]string{"124": "12.4", "92": "9.2", "12": "12", "118": "11.8", "0": "", "": "", "9": "9"} {
		if got := ParseRun(digits).String(); got != want {
			t.Errorf("%q is %q, want %q", digits, got, want)
		}
	}
	for n, want := range map[int]string{12040: "12.4", 13000: "13.0", 11080: "11.8", 0: "", -5: ""} {
		if got := OfDriver(n).String(); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	for text, want := range map[string][2]any{"550.54.14": {"12.4", 12}, "565.77": {"12.6", 12}, "580.65.06": {"13.0", 13}, "470.82.01": {"11.4", 11}, "440.33": {"", 0}, "": {"", 0}} {
		d, _ := ParseDriver(text)
		if got := [2]any{d.Offers().String(), d.Runs()}; got != want {
			t.Errorf("driver %q offers and runs %v, want %v", text, got, want)
		}
	}
	for text, ok := range map[string]bool{"8.6": true, "12.0": true, "8": false, "0.0": false, "8.6.1": false, "": false, "-8.6": false, "8.x": false} {
		if c, err := ParseCapability(text); (err == nil) != ok || c.Known() != ok || ok && c.String() != text {
			t.Errorf("%q: %v, %v", text, c, err)
		}
	}
}

func FuzzRequirement(f *testing.F) {
	f.Add("cuda>=13.0 brand=nvidiartx,driver>=550,driver<551", "550.54.14", "nvidiartx")
	f.Add(", ,, driver!=1 arch<=8", "565.77", "")
	f.Fuzz(func(t *testing.T, text, version, brand string) {
		r := ParseRequirement(text)
		d, err := ParseDriver(version)
		if err != nil && d.Known() {
			t.Errorf("%q is no version, and %s", version, d)
		}
		facts := Facts{Driver: d, CUDA: d.Offers(), Capability: Capability{8, 6}, Brand: brand}
		// What is decided without a fact must stand whatever the fact is.
		for _, less := range []Facts{{}, {Driver: facts.Driver}, {CUDA: facts.CUDA, Brand: facts.Brand}, {Capability: facts.Capability}} {
			if without, with := r.On(less), r.On(facts); without != Undecided && without != with {
				t.Errorf("%q is %v on %v, but %v on %v", text, without, less, with, facts)
			}
		}
		if again := ParseRequirement(strings.Join(strings.Fields(text), " ")).On(facts); again != r.On(facts) {
			t.Errorf("%q: white space decides", text)
		}
	})
}

func FuzzDriver(f *testing.F) {
	for _, s := range []string{"580.65.06", "565.77", "", ".", "1.2.3.4.5", "+1"} {
		f.Add(s, "550")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		v, err := ParseDriver(a)
		w, err2 := ParseDriver(b)
		if err != nil || err2 != nil {
			return
		}
		if v.String() != a || v.Compare(w) != -w.Compare(v) || v.Compare(v) != 0 {
			t.Errorf("%q against %q", a, b)
		}
		if v.Compare(w) >= 0 && v.Offers().Compare(w.Offers()) < 0 {
			t.Errorf("%s is newer than %s, and offers less", v, w)
		}
	})
}
