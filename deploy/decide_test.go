package deploy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/lab-layers/lab-layers/layers"
)

// ref is an image of one digit.
func ref(digit string) string {
	return "registry.example/lab/unet@sha256:" + strings.Repeat(digit, 64)
}

// situation is an environment with one container that has the image "now".
func situation(now string, change ...func(*facts)) facts {
	track, err := ParseTrack("main")
	if err != nil {
		panic(err)
	}
	f := facts{
		workload: &workload{
			Environment: Environment{"vision", Deployment, "unet"}, uid: "1", deadline: time.Minute,
			template: &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: now}}}},
			progress: progress{seen: true, complete: true, line: "1 of 1"},
		},
		adoption: &adoption{track: track, layers: map[string]layers.Name{"main": "unet"}},
	}
	for _, c := range change {
		c(&f)
	}
	return f
}

func wants(image string) func(*facts) {
	return func(f *facts) {
		f.target = &target{repository: "lab", ref: "refs/heads/main", commit: "c", run: 1, images: Images{"main": image}}
	}
}

// after is a last rollout in a state, from one image to another.
func after(state State, from, to string) func(*facts) {
	return func(f *facts) {
		f.last = &Rollout{ID: 1, UID: "1", State: state, Reason: "why", Images: []Image{{Container: "main", From: from, To: to, Good: from}}}
	}
}

func pinned(f *facts)  { f.target.pinned = true }
func byPin(f *facts)   { f.last.Pinned = true }
func unready(f *facts) { f.workload.progress.complete = false }
func hopeless(f *facts) {
	f.trouble = trouble{line: "pod a: CrashLoopBackOff", hopeless: true}
	unready(f)
}
func stalled(f *facts) { f.still = time.Hour; unready(f) }
func lacksPods(f *facts) {
	f.workload.replicas, f.workload.progress.available = 2, 1
	f.trouble = trouble{line: "pod a: CrashLoopBackOff"}
	unready(f)
}
func starting(f *facts)   { f.trouble = trouble{unready: "pod a: runs and is not ready"}; unready(f) }
func lost(f *facts)       { f.lost, f.trouble = true, trouble{line: "node n is not ready"} }
func madeAnew(f *facts)   { f.workload.uid = "2" }
func paused(f *facts)     { f.workload.paused = true }
func resumed(f *facts)    { f.resumed = true }
func correcting(f *facts) { f.adoption.correct = true }
func restful(f *facts)    { f.rest = time.Minute }
func onDelete(f *facts)   { f.workload.strategy.onDelete = true }
func gaveUp(f *facts)     { f.workload.progress.failed = "its progress deadline is exceeded"; unready(f) }
func lately(f *facts)     { f.still = settleTime }

// TestReleased tells which rollouts a release brought from those that it did not.
func TestReleased(t *testing.T) {
	a, b, c := ref("a"), ref("b"), ref("c")
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	at := func(minute int) func(*facts) {
		return func(f *facts) { f.target.released = now.Add(time.Duration(minute) * time.Minute) }
	}
	created := func(f *facts) { f.workload.created = now }
	queued := func(f *facts) { f.last.Queued = now.Add(5 * time.Minute) }
	for name, test := range map[string]struct {
		facts facts
		want  bool
	}{
		"the first":                  {situation(a, created, wants(b), at(1)), true},
		"there before the workload":  {situation(a, created, wants(b), at(-1)), false},
		"the next":                   {situation(a, created, wants(b), after(Healthy, c, a), queued, at(6)), true},
		"one of before":              {situation(a, created, wants(b), after(Healthy, c, a), queued, at(4)), false},
		"made anew":                  {situation(a, created, wants(b), after(Healthy, c, a), queued, at(4), madeAnew), true},
		"came while it was pinned":   {situation(a, created, wants(b), after(Healthy, c, a), queued, byPin, at(6)), false},
		"pinned":                     {situation(a, created, wants(b), pinned, at(6)), false},
		"resumed":                    {situation(a, created, wants(b), after(RolledBack, a, b), queued, resumed, at(6)), false},
		"came while another is held": {situation(a, created, wants(c), after(Held, a, b), queued, at(6)), true},
	} {
		s := decide(test.facts)
		if s.begin == nil || s.begin.Released.IsZero() == test.want {
			t.Errorf("%s: %+v", name, s.begin)
		}
	}
}

func TestDecide(t *testing.T) {
	a, b, c := ref("a"), ref("b"), ref("c")
	tagged := "registry.example/lab/unet:main"
	short := func(image string) string {
		if d := digestOf(image); d != "" {
			return d.Encoded()[:1]
		}
		return image
	}
	for name, test := range map[string]struct {
		facts facts
		want  string // what is begun, patched, and the state that follows
	}{
		"nothing to run":                     {situation(a), ""},
		"runs what it should":                {situation(a, wants(a)), ""},
		"adopted":                            {situation(tagged, wants(a)), "begin a, back to " + tagged},
		"another release":                    {situation(a, wants(b), after(Healthy, c, a)), "begin b, back to a"},
		"waits":                              {situation(a, wants(b), after(Pending, a, b)), "admit, patch b, rolling"},
		"waits, patched already":             {situation(b, wants(b), after(Pending, a, b)), "rolling"},
		"waits, a newer one":                 {situation(a, wants(c), after(Held, a, b)), "begin c, back to a"},
		"waits, paused":                      {situation(a, wants(b), after(Pending, a, b), paused), "held: the workload is paused"},
		"waits, edited":                      {situation(c, wants(b), after(Held, a, b)), "superseded: " + byHand},
		"rolls":                              {situation(b, wants(b), after(Rolling, a, b), unready), "rolling: 1 of 1"},
		"rolled":                             {situation(b, wants(b), after(Rolling, a, b)), "healthy"},
		"rolls, a newer one":                 {situation(b, wants(c), after(Rolling, a, b)), "begin c, back to a"},
		"rolls, edited":                      {situation(c, wants(b), after(Rolling, a, b)), "superseded: " + byHand},
		"rolls, undone by hand":              {situation(a, wants(b), after(Rolling, a, b)), "superseded: " + byHand},
		"rolls, the ref is gone":             {situation(b, after(Rolling, a, b)), "healthy"},
		"crashes":                            {situation(b, wants(b), after(Rolling, a, b), hopeless), "rolling-back: pod a: CrashLoopBackOff"},
		"stands still":                       {situation(b, wants(b), after(Rolling, a, b), stalled), "rolling-back: no progress for 1m0s: 1 of 1"},
		"its pods start":                     {situation(b, wants(b), after(Rolling, a, b), starting), "rolling: 1 of 1"},
		"its pods never become ready":        {situation(b, wants(b), after(Rolling, a, b), starting, stalled), "rolling-back: no progress for 1m0s: 1 of 1; pod a: runs and is not ready"},
		"its controller waited for its pods": {situation(b, wants(b), after(Rolling, a, b), starting, gaveUp, lately), "rolling-back: its progress deadline is exceeded: 1 of 1; pod a: runs and is not ready"},
		"the controller just gave up":        {situation(b, wants(b), after(Rolling, a, b), gaveUp), "rolling: 1 of 1"},
		"the controller gave up":             {situation(b, wants(b), after(Rolling, a, b), gaveUp, lately), "rolling-back: its progress deadline is exceeded: 1 of 1"},
		"stands still, a node is lost":       {situation(b, wants(b), after(Rolling, a, b), stalled, lost), "rolling: 1 of 1; node n is not ready"},
		"gave up, a node is lost":            {situation(b, wants(b), after(Rolling, a, b), gaveUp, stalled, lost), "rolling: 1 of 1; node n is not ready"},
		"crashes, a node is lost":            {situation(b, wants(b), after(Rolling, a, b), lost, hopeless), "rolling-back: pod a: CrashLoopBackOff"},
		"goes back, a node is lost":          {situation(a, wants(b), after(RollingBack, a, b), stalled, lost), "rolling-back: why"},
		"nobody deletes pods":                {situation(b, wants(b), after(Rolling, a, b), onDelete, stalled), "rolling: 1 of 1; each pod gets the image when somebody deletes it"},
		"nothing to go back to":              {situation(b, wants(b), after(Rolling, b, b), hopeless), "failed: pod a: CrashLoopBackOff; there is no other image to go back to"},
		"goes back":                          {situation(b, wants(b), after(RollingBack, a, b)), "patch a, rolling-back: why"},
		"goes back, patched already":         {situation(a, wants(b), after(RollingBack, a, b), unready), "rolling-back: why"},
		"went back":                          {situation(a, wants(b), after(RollingBack, a, b)), "rolled-back: why"},
		"goes back in vain":                  {situation(a, wants(b), after(RollingBack, a, b), hopeless), "failed: why; going back failed, too: pod a: CrashLoopBackOff"},
		"goes back, a newer one":             {situation(b, wants(c), after(RollingBack, a, b)), "begin c, back to a"},
		"failed once":                        {situation(a, wants(b), after(RolledBack, a, b)), ""},
		"failed once, resumed":               {situation(a, wants(b), after(RolledBack, a, b), resumed), "begin b, back to a"},
		"failed once, a newer one":           {situation(a, wants(c), after(RolledBack, a, b)), "begin c, back to a"},
		"failed without a way back":          {situation(b, wants(b), after(Failed, a, b)), ""},
		"edited":                             {situation(c, wants(a), after(Healthy, b, a)), ""},
		"edited, a newer one":                {situation(c, wants(b), after(Healthy, b, a)), ""},
		"edited, corrected":                  {situation(c, wants(a), after(Healthy, b, a), correcting), "begin a, back to a"},
		"edited to the newer one":            {situation(b, wants(b), after(Healthy, c, a)), ""},
		"edited, resumed":                    {situation(c, wants(b), after(Healthy, b, a), resumed), "begin b, back to a"},
		"edited, corrected too often":        {situation(c, wants(a), after(Healthy, b, a), correcting, restful), ""},
		"edited, corrected, failed once":     {situation(c, wants(b), after(RolledBack, a, b), correcting), "patch a"},
		"edited, corrected, the ref is gone": {situation(c, after(Healthy, b, a), correcting), "patch a"},
		"edited, then pinned":                {situation(c, wants(b), pinned, after(Healthy, b, a)), "begin b, back to a"},
		"pinned, then edited":                {situation(c, wants(b), pinned, after(Healthy, a, b), byPin), ""},
		"made anew":                          {situation(tagged, wants(a), after(Healthy, b, a), madeAnew), "begin a, back to " + tagged},
		"made anew while it rolled":          {situation(tagged, wants(a), after(Rolling, b, a), madeAnew), "superseded: the workload was deleted and made anew"},
	} {
		t.Run(name, func(t *testing.T) {
			s := decide(test.facts)
			var got []string
			if s.begin != nil {
				got = append(got, fmt.Sprintf("begin %s, back to %s", short(s.begin.Images[0].To), short(s.begin.Images[0].Good)))
			}
			if s.hold != nil {
				got = append(got, "held: "+s.hold.Reason)
			}
			if s.admit {
				got = append(got, "admit")
			}
			if s.patch != nil {
				got = append(got, "patch "+short(s.patch["main"]))
			}
			if s.to != "" {
				state := string(s.to)
				if s.reason != "" {
					state += ": " + s.reason
				}
				got = append(got, state)
			}
			if text := strings.Join(got, ", "); text != test.want {
				t.Errorf("%s, want %s", text, test.want)
			}
		})
	}
}

func TestStanding(t *testing.T) {
	a, b, c := ref("a"), ref("b"), ref("c")
	for name, test := range map[string]struct {
		facts facts
		want  string
	}{
		"no image yet":                     {situation(a), "waiting: none yet"},
		"as it should be":                  {situation(a, wants(a), after(Healthy, b, a)), "healthy: "},
		"pods are gone":                    {situation(a, wants(a), after(Healthy, b, a), unready), "degraded: 1 of 1"},
		"rolls":                            {situation(b, wants(b), after(Rolling, a, b), unready), "rolling: why"},
		"failed":                           {situation(a, wants(b), after(RolledBack, a, b)), "rolled-back: why"},
		"back in vain":                     {situation(a, wants(b), after(Failed, a, b)), "failed: why"},
		"nothing before":                   {situation(b, wants(c), after(Failed, NoImage, b)), "waiting: none yet"},
		"edited":                           {situation(c, wants(a), after(Healthy, b, a)), "drifted: container main has " + c + ", which somebody set by hand; it was given " + a},
		"held":                             {situation(a, wants(b), after(Held, a, b)), "held: why"},
		"held while pods crash":            {situation(a, wants(b), after(Held, a, b), lacksPods), "held: why; meanwhile 1 of 2 available: pod a: CrashLoopBackOff"},
		"held while pods start":            {situation(a, wants(b), after(Held, a, b), lacksPods, starting), "held: why; meanwhile 1 of 2 available: pod a: runs and is not ready"},
		"held while another image crashes": {situation(b, wants(c), after(Held, a, c), lacksPods), "held: why; meanwhile 1 of 2 available: pod a: CrashLoopBackOff"},
		"held before the first image":      {situation(NoImage, wants(b), after(Held, NoImage, b), lacksPods), "held: why"},
		"held while one is replaced":       {situation(a, wants(b), after(Held, a, b), unready), "held: why"},
		"back, and crashes, too":           {situation(a, wants(b), after(RolledBack, a, b), lacksPods), "rolled-back: why; meanwhile 1 of 2 available: pod a: CrashLoopBackOff"},
		"pods crash":                       {situation(a, wants(a), after(Healthy, b, a), lacksPods), "degraded: 1 of 1; pod a: CrashLoopBackOff"},
		"rolls while pods crash":           {situation(b, wants(b), after(Rolling, a, b), lacksPods), "rolling: why"},
		"ref is gone":                      {situation(a, after(Healthy, b, a)), "waiting: none yet"},
		"reverted":                         {situation(a, wants(a), after(RolledBack, a, b)), "healthy: "},
	} {
		s := test.facts.standing("none yet")
		if got := string(s.State) + ": " + s.Reason; got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
		if told := strings.Contains(test.want, "meanwhile ") || name == "pods crash"; told != (s.Unavailable != "") {
			t.Errorf("%s: unavailable is %q", name, s.Unavailable)
		}
	}
}
