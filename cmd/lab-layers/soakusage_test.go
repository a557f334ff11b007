package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// soakUsage is what the agent takes when it rests.
type soakUsage struct {
	Goroutines  int            `json:"goroutines"`
	Files       int            `json:"files"`
	BuildKit    int            `json:"buildkit_files"`
	Processes   int            `json:"processes"`
	Mounts      int            `json:"mounts"`
	ResidentMiB int            `json:"resident_mib"`
	DiskMiB     map[string]int `json:"disk_mib"`
}

// usage waits for a moment's rest and takes stock.
func (s *soak) usage() *soakUsage {
	s.Helper()
	pause(s.Context(), 15*time.Second) // connections that are kept for a while go
	u := &soakUsage{DiskMiB: map[string]int{}}
	value := func(name string) int { return int(s.metric(name)) }
	u.Goroutines, u.Files = value("go_goroutines"), value("process_open_fds")
	u.ResidentMiB = value("process_resident_memory_bytes") >> 20
	u.Processes = len(descendants(s.T, s.run.cmd.Process.Pid))
	if pid, found := s.part(isBuildKit); found {
		files, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		u.BuildKit = len(files)
		mounts, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
		u.Mounts = bytes.Count(mounts, []byte("\n"))
	}
	parts, err := os.ReadDir(s.data)
	s.check(err)
	for _, part := range parts {
		if part.IsDir() {
			u.DiskMiB[part.Name()] = int(onDisk(filepath.Join(s.data, part.Name())) >> 20)
		}
	}
	return u
}

// onDisk is what a directory takes, hard links counted once.
func onDisk(dir string) (bytes int64) {
	seen := map[uint64]bool{}
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it went meanwhile
		}
		if info, err := d.Info(); err == nil {
			if stat := info.Sys().(*syscall.Stat_t); !seen[stat.Ino] {
				seen[stat.Ino] = true
				bytes += stat.Blocks * 512
			}
		}
		return nil
	})
	return bytes
}

// grown checks that nothing piles up in an agent that nothing is done to. It may
// have been started just before: then its pools of connections, of two goroutines
// each, fill up.
func (s *soak) grown() {
	s.Helper()
	u, v := s.report.Before, s.report.After
	if v.Goroutines > u.Goroutines+20 || v.Files > u.Files+10 || v.BuildKit > u.BuildKit+10 || v.Mounts > u.Mounts+2 || v.Processes > u.Processes+5 {
		s.Errorf("without a fault the agent went from %+v to %+v", *u, *v)
	}
}

// leftovers checks that what has ended left no mount, and nothing half done on the
// disk.
func (s *soak) leftovers(dir string) {
	s.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	s.check(err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			s.Errorf("a mount is left: %s", line)
		}
	}
	for _, pattern := range []string{"git/*/tmp/*", "buildkit/runc-overlayfs/executor/*/rootfs", "buildkit/tmp/*", "postgresql/*/base/pgsql_tmp/*"} {
		left, err := filepath.Glob(filepath.Join(dir, pattern))
		s.check(err)
		if len(left) > 0 {
			s.Errorf("%d files are left, such as %s", len(left), left[0])
		}
	}
}

// follow reads what runs say, one reader as fast as it can and one far too
// slowly.
func (s *soak) follow(ctx context.Context) error {
	for id := 1; ctx.Err() == nil; id++ {
		res, err := s.get(ctx, fmt.Sprintf("/api/v1/runs/%d/events", id))
		if err == nil && res.StatusCode == http.StatusOK {
			for n, most := 0, 1+id%3*1000; n < most && err == nil; n++ {
				_, err = io.CopyN(io.Discard, res.Body, 16)
				if id%5 == 0 {
					pause(ctx, 100*time.Millisecond)
				}
			}
		} else {
			pause(ctx, time.Second)
			id--
		}
		if res != nil {
			res.Body.Close()
		}
	}
	return nil
}

// table is the report for people.
func (r *soakReport) table() string {
	var b strings.Builder
	list := func(title string, counts map[string]int) {
		fmt.Fprintf(&b, "%s\n", title)
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			fmt.Fprintf(&b, "  %-42s %6d\n", name, counts[name])
		}
	}
	fmt.Fprintf(&b, "seed %d, %d seconds\n", r.Seed, r.Seconds)
	list("pushes", r.Pushes)
	list("faults", r.Breaks)
	list("runs", r.Runs)
	fmt.Fprintf(&b, "attempts %d, keys built %d, steps that ran %d, %d of them again after a fault\n", r.Attempts, r.Built, r.Steps, r.Again)
	fmt.Fprintf(&b, "at rest before and after a time without faults:\n  %+v\n  %+v\n", *r.Before, *r.After)
	return b.String()
}
