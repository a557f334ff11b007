package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// newLoad is a soak's agent without its random pushes, with other flags after
// its own.
func newLoad(t *testing.T, flags ...string) *soak {
	t.Helper()
	if *soakTime <= 0 {
		t.Skip("it takes minutes: make soak")
	}
	s := newSoak(newLab(t))
	s.args = append(s.args, flags...)
	return s
}

// load is the machine's, to be told with times.
func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	return "load " + strings.Join(strings.Fields(string(text))[:1], " ")
}

// TestLoadBranches holds that of 500 branches that a cohort pushes within
// moments none is lost, none is built twice, and main does not wait for them
// but for the runs at work.
func TestLoadBranches(t *testing.T) {
	const branches, batch, workers = 500, 50, 2
	s := newLoad(t, "--interval", "30s", "--workers", fmt.Sprint(workers))
	near := s.remotes[0]
	s.check(s.start())
	s.check(s.settle())
	main := near.refs[soakMain]
	var moves []soakPush
	for i := range branches / 2 { // each content is on two branches
		commit, err := near.commit(main, func() error {
			return os.WriteFile(filepath.Join(near.dir, "unet", "content"), fmt.Appendf(nil, "student %d\n", i), 0o644)
		})
		s.check(err)
		for _, twin := range []string{"a", "b"} {
			moves = append(moves, soakPush{Ref: fmt.Sprintf("refs/heads/feature/%d-%s", i, twin), Commit: commit})
		}
	}
	rand.New(rand.NewPCG(s.seed, 0)).Shuffle(branches, func(i, j int) { moves[i], moves[j] = moves[j], moves[i] })
	began := time.Now()
	for i := 0; i < branches; i += batch {
		s.check(near.push(moves[i : i+batch]...))
		if i == branches/2 {
			next, err := near.commit(main, near.edit(""))
			s.check(err)
			s.check(near.push(soakPush{Ref: soakMain, Commit: next}))
		}
	}
	pushed := time.Since(began)
	s.check(s.settle())
	took := time.Since(began)
	conn, err := s.database()
	s.check(err)
	defer conn.Close(t.Context())
	type wait struct {
		Runs    int
		Seconds float64
	}
	waits, err := rows(s, conn, pgx.RowToStructByPos[wait], `select (select count(*) from runs o where o.started > m.queued and o.started < m.started),
		extract(epoch from m.started - m.queued)::float8 from runs m where m.ref = $1 and m.repository = (select id from repositories where url = $2) order by id desc limit 1`, soakMain, near.url)
	s.check(err)
	if waits[0].Runs > 0 {
		t.Errorf("%d runs were taken up before main's", waits[0].Runs)
	}
	s.judge()
	if n := s.report.Runs["succeeded"]; n != branches+3 {
		t.Errorf("%d runs succeeded: %v", n, s.report.Runs)
	}
	if s.report.Again > 0 {
		t.Errorf("%d steps ran twice", s.report.Again)
	}
	s.end()
	t.Logf("%d branches pushed in %.1f s and worked off in %.1f s by %d workers: %d runs, %d keys built, %d steps that ran; main waited %.2f s; %s",
		branches, pushed.Seconds(), took.Seconds(), workers, s.report.Runs["succeeded"], s.report.Built, s.report.Steps, waits[0].Seconds, load())
}

// TestLoadDeliveries sends deliveries as a forge does while runs are built: a
// tenth are sent twice and a tenth are forged. It holds that each is answered
// as it should be, and that exactly the moves that there were are recorded.
func TestLoadDeliveries(t *testing.T) {
	const deliveries, perSecond = 10000, 200
	s := newLoad(t, "--interval", "1h")
	near := s.remotes[0]
	s.command("", s.binary, "hook", "uninstall", "--repo", near.bare)
	s.check(s.start())
	s.check(s.settle())

	payload, err := os.ReadFile("../../agent/web/testdata/github-push.json")
	s.check(err)
	payload = regexp.MustCompile(`"clone_url": *"[^"]*"`).ReplaceAll(payload, fmt.Appendf(nil, `"clone_url": %q`, "file://"+near.bare))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	deliver := func(id int, secret string) (status int, took time.Duration, err error) {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(payload)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/webhooks/github", bytes.NewReader(payload))
		if err != nil {
			return 0, 0, err
		}
		for name, value := range map[string]string{
			"Content-Type": "application/json", "X-GitHub-Event": "push", "X-GitHub-Delivery": fmt.Sprint(id),
			"X-Hub-Signature-256": fmt.Sprintf("sha256=%x", mac.Sum(nil)),
		} {
			req.Header.Set(name, value)
		}
		began := time.Now()
		res, err := client.Do(req)
		if err != nil {
			return 0, 0, err
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		return res.StatusCode, time.Since(began), nil
	}

	var mu sync.Mutex
	statuses := map[string]int{}
	var times []time.Duration
	var group sync.WaitGroup
	every := time.NewTicker(time.Second / perSecond)
	defer every.Stop()
	seconds := make(chan int, deliveries)
	group.Go(func() { // a push each second, which only deliveries tell of
		for range seconds {
			_, moves, err := near.choose()
			if err == nil {
				err = near.push(moves...)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	began := time.Now()
	for i := range deliveries {
		<-every.C
		switch {
		case i == deliveries-5*perSecond: // some deliveries come after the last push
			close(seconds)
		case i < deliveries-5*perSecond && i%perSecond == 0:
			seconds <- i
		}
		group.Go(func() {
			id, secret, kind := i, soakSecret, "genuine"
			switch i % 10 {
			case 3:
				id, kind = i-1, "duplicate"
			case 7:
				secret, kind = "a-guess", "forged"
			}
			status, took, err := deliver(id, secret)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			statuses[fmt.Sprintf("%s %d", kind, status)]++
			times = append(times, took)
		})
	}
	group.Wait()
	rate, underLoad := deliveries/time.Since(began).Seconds(), load()
	for want, n := range map[string]int{"genuine 202": deliveries * 8 / 10, "duplicate 202": deliveries / 10, "forged 401": deliveries / 10} {
		if statuses[want] != n {
			t.Errorf("%s: %d of %d, all: %v", want, statuses[want], n, statuses)
		}
	}
	s.check(s.settle())
	s.judge()
	looks := s.looks(near)
	s.end()
	slices.Sort(times)
	at := func(share float64) float64 {
		return float64(times[int(share*float64(len(times)-1))].Microseconds()) / 1000
	}
	t.Logf("%d deliveries, %.0f a second: p50 %.2f ms, p99 %.2f ms, longest %.1f ms; %.0f looks, %d moves, %v runs; %s",
		deliveries, rate, at(.5), at(.99), at(1), looks, len(near.pushed), s.report.Runs, underLoad)
}

// metric reads one of the agent's metrics.
func (s *soak) metric(name string) float64 {
	s.Helper()
	res, err := s.get(s.Context(), "/metrics")
	s.check(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	s.check(err)
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindSubmatch(text)
	if m == nil {
		s.Fatalf("there is no metric %s: %s %.1000s", name, res.Status, text)
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	s.check(err)
	return v
}

// TestLoadIdle measures what it takes to poll 200 repositories in which nothing
// happens every 30 seconds, on this machine and over http.
func TestLoadIdle(t *testing.T) {
	const repositories, minutes = 200, 1
	for _, how := range []string{"on this machine", "over http"} {
		t.Run(how, func(t *testing.T) {
			s := newLoad(t, "--interval", "30s")
			dir := filepath.Dir(s.remote)
			base := dir
			if how == "over http" {
				base = (&soakGate{}).serve(t, dir)
			}
			s.args = s.args[:slices.Index(s.args, "--repo")]
			s.args = append(s.args, "--interval", "30s")
			seed := filepath.Join(dir, "quiet.git")
			s.command("", "git", "init", "-q", "--bare", seed)
			s.git("push", "-q", seed, "HEAD:refs/heads/scratch/quiet")
			s.remotes = nil
			for i := range repositories {
				name := fmt.Sprintf("idle%d", i)
				bare := filepath.Join(dir, name+".git")
				s.command("", "git", "clone", "-q", "--bare", seed, bare)
				s.args = append(s.args, "--repo", name+"="+base+"/"+name+".git")
				s.remotes = append(s.remotes, &soakRemote{name: name, url: base + "/" + name + ".git", bare: bare,
					refs: map[string]string{"refs/heads/scratch/quiet": string(s.head())}})
			}
			s.check(s.start())
			s.check(s.settle())
			pause(t.Context(), 5*time.Second)
			pid := s.run.cmd.Process.Pid
			began, agent, all := time.Now(), cpu(pid), cpu(append(descendants(t, pid), pid)...)
			pause(t.Context(), minutes*time.Minute)
			took := time.Since(began)
			share := func(d time.Duration) float64 { return 100 * d.Seconds() / took.Seconds() }
			t.Logf("%d idle repositories %s, every 30 s: the agent takes %.2f %% of a core, with its parts %.2f %%; %s",
				repositories, how, share(cpu(pid)-agent), share(cpu(append(descendants(t, pid), pid)...)-all), load())
			s.end()
		})
	}
}

// cpu is the processor time that processes and their dead children took.
func cpu(pids ...int) (d time.Duration) {
	for _, pid := range pids {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		// proc(5): after comm, utime to cstime are the fields 12 to 15.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 15 {
			continue
		}
		for _, field := range fields[11:15] {
			ticks, _ := strconv.Atoi(field)
			d += time.Duration(ticks) * time.Second / 100
		}
	}
	return d
}

// TestLoadRestless holds that a branch and a main that are forced elsewhere
// every second for a minute, faster than they can be built, come to one true
// end each, and that main gets images meanwhile.
func TestLoadRestless(t *testing.T) {
	s := newLoad(t)
	near := s.remotes[0]
	s.check(s.start())
	s.check(s.settle())
	main := near.refs[soakMain]
	for i := range 60 {
		commit, err := near.commit(main, func() error {
			if err := os.WriteFile(filepath.Join(near.dir, "unet", "pause"), []byte("3\n"), 0o644); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(near.dir, "unet", "content"), fmt.Appendf(nil, "restless %d\n", i), 0o644)
		})
		s.check(err)
		other, err := near.commit(commit, near.edit(""))
		s.check(err)
		s.check(near.push(soakPush{Ref: soakMain, Commit: commit}, soakPush{Ref: "refs/heads/feature/restless", Commit: other}))
		pause(t.Context(), time.Second)
	}
	s.check(s.settle())
	s.judge()
	conn, err := s.database()
	s.check(err)
	defer conn.Close(t.Context())
	type count struct {
		Ref, State string
		Runs       int
	}
	counts, err := rows(s, conn, pgx.RowToStructByPos[count], "select ref, state, count(*) from runs where repository = (select id from repositories where url = $1) group by 1, 2 order by 1, 2", near.url)
	s.check(err)
	if i := slices.IndexFunc(counts, func(c count) bool { return c.Ref == soakMain && c.State == "succeeded" }); i < 0 || counts[i].Runs < 5 {
		t.Errorf("main hardly got images: %+v", counts)
	}
	text, err := json.Marshal(counts)
	s.check(err)
	s.end()
	t.Logf("%s; %d steps ran again; %s", text, s.report.Again, load())
}

// TestLoadManyRefs measures what a repository of 50,000 refs takes: to see it
// for the first time, each look, and a push.
func TestLoadManyRefs(t *testing.T) {
	const refs, seconds = 50000, 20
	for i, how := range []string{"on this machine", "over http"} {
		t.Run(how, func(t *testing.T) {
			s := newLoad(t, "--interval", "1s")
			r := s.remotes[i]
			s.remotes = []*soakRemote{r}
			at := slices.Index(s.args, "--repo")
			s.args = append(s.args[:at:at], "--repo", r.name+"="+r.url, "--interval", "1s")
			main := r.refs[soakMain]
			s.check(s.start())
			s.check(s.settle())
			push := func(n int) time.Duration {
				commit, err := r.commit(main, func() error {
					return os.WriteFile(filepath.Join(r.dir, "unet", "content"), fmt.Appendf(nil, "push %d\n", n), 0o644)
				})
				s.check(err)
				before := cpu(s.run.cmd.Process.Pid)
				s.check(r.push(soakPush{Ref: soakMain, Commit: commit}))
				s.check(s.settle())
				return cpu(s.run.cmd.Process.Pid) - before
			}
			small := push(0)
			var lines strings.Builder
			for n := range refs {
				ref := fmt.Sprintf("refs/tags/week%d/v%d", n/1000, n)
				fmt.Fprintf(&lines, "create %s %s\n", ref, main)
				r.refs[ref] = main
			}
			cmd := exec.Command("git", "-C", r.bare, "update-ref", "--stdin")
			cmd.Stdin = strings.NewReader(lines.String())
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			s.command(r.bare, "git", "pack-refs", "--all")
			s.check(s.stop(syscall.SIGTERM))
			s.check(os.RemoveAll(s.data)) // all is seen for the first time
			began := time.Now()
			s.check(s.start())
			s.check(s.settle())
			first := time.Since(began)
			large := push(1)
			before, looked := cpu(s.run.cmd.Process.Pid), s.looks(r)
			pause(t.Context(), seconds*time.Second)
			took, looks := cpu(s.run.cmd.Process.Pid)-before, s.looks(r)-looked
			t.Logf("%d refs %s: seen and built for the first time in %.1f s; %.0f ms of processor for each of %.0f looks; %d ms for a push, and %d ms where there are few; %.0f MiB resident; %s",
				refs, how, first.Seconds(), float64(took.Milliseconds())/looks, looks, large.Milliseconds(), small.Milliseconds(), s.metric("process_resident_memory_bytes")/(1<<20), load())
			s.end()
		})
	}
}

// looks is how often the agent has looked at a repository.
func (s *soak) looks(r *soakRemote) float64 {
	return s.metric(`lab_layers_repository_looks_total{repository="` + r.url + `",result="success"}`)
}
