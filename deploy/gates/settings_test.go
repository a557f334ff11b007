package gates

import (
	"slices"
	"strings"
	"testing"
)

func TestSettings(t *testing.T) {
	main, both := []string{"main"}, []string{"main", "proxy"}
	for _, test := range []struct {
		containers  []string
		annotations []string
		faults      string
	}{
		{main, nil, ""},
		{both, []string{
			WindowAnnotation, "0 2 * * * for 3h", FreezeAnnotation, "", PolicyAnnotation, "strict", MemoryAnnotation, "40Gi", CapabilityAnnotation, "8.0",
			IdleAnnotation, "15m", IdleLatestAnnotation, "window", IdleUnknownAnnotation, "roll", smokeFor + "proxy", `["true"]`, TimeoutAnnotation, "1m",
		}, ""},
		{main, []string{WindowAnnotation, "at night"}, `window "at night": it does not say for how long; write it such as CRON_TZ=Europe/Vienna 0 2 * * * for 3h`},
		{main, []string{PolicyAnnotation, "yes", MemoryAnnotation, "lots"}, "lab-layers.dev/driver-policy is \"yes\": take strict, refuse, warn or ignore\n" + `lab-layers.dev/gpu-memory is "lots": write it such as 40Gi`},
		{main, []string{CapabilityAnnotation, "9"}, `lab-layers.dev/gpu-capability: compute capability "9" is not two numbers, such as 8.6`},
		{main, []string{IdleAnnotation, "soon"}, `lab-layers.dev/when-idle is "soon": write for how long, such as 15m`},
		{main, []string{IdleLatestAnnotation, "48h"}, "lab-layers.dev/when-idle-latest does nothing without lab-layers.dev/when-idle"},
		{main, []string{IdleUnknownAnnotation, "roll"}, "lab-layers.dev/when-idle-unknown does nothing without lab-layers.dev/when-idle"},
		{main, []string{IdleAnnotation, "15m", IdleLatestAnnotation, "window"}, `lab-layers.dev/when-idle-latest is "window", and there is none: annotate lab-layers.dev/window`},
		{main, []string{SmokeAnnotation, "python -c pass"}, `lab-layers.dev/smoke is "python -c pass": write the command as ["python","-c","import torch"]`},
		{both, []string{smokeFor + "proxy", "[]"}, `lab-layers.dev/smoke.proxy is "[]": write the command as ["python","-c","import torch"]`},
		{both, []string{SmokeAnnotation, `["true"]`, smokeFor + "proxy", `["true"]`, TimeoutAnnotation, "48h"}, `lab-layers.dev/smoke-timeout is "48h": write a time such as 15m, a day at the most`},
		{main, []string{TimeoutAnnotation, "1m"}, "lab-layers.dev/smoke-timeout does nothing without lab-layers.dev/smoke"},
		{both[1:], []string{SmokeAnnotation, `["true"]`}, "lab-layers.dev/smoke is for the first container, main, which gets no image: take lab-layers.dev/smoke.CONTAINER"},
	} {
		c := candidate("", test.annotations...)
		got := strings.Join(Settings{}.Faults(c.Annotations, c.Template, test.containers), "\n")
		if got != test.faults {
			t.Errorf("%v: %s\nwant %s", test.annotations, got, test.faults)
		}
		for i := 0; i < len(test.annotations); i += 2 {
			key := test.annotations[i]
			if !slices.ContainsFunc(Settings{}.Keys(), func(k string) bool { return k == key || strings.HasSuffix(k, ".") && strings.HasPrefix(key, k) }) {
				t.Errorf("%s is no key", key)
			}
		}
	}
}
