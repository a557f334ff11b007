package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestReachOfSteps holds what a RUN step on the machine's network gets at: the
// registry lets it read and not write, the agent lets it wake and tells it
// nothing, and neither our sockets and data nor any process of the machine is to
// be seen.
func TestReachOfSteps(t *testing.T) {
	l := newLab(t)
	_, lab, _ := strings.Cut(l.prefix, "/")
	send := func(address, request, headers, body string) string {
		host, port, _ := strings.Cut(address, ":")
		return `printf '` + request + ` HTTP/1.0\r\nHost: localhost\r\n` + headers + `Content-Length: ` + strconv.Itoa(len(body)) + `\r\n\r\n` + body + `' | nc ` + host + ` ` + port
	}
	ask := func(method, path string) string {
		return "(" + send(shared.parts.Registry, method+" "+path, "", "") + " | head -n 1)"
	}
	log := slog.New(slog.DiscardHandler)
	flags := listenFlags{address: "127.0.0.1:0", chosen: true}
	listener, err := flags.listen(t.Context(), log)
	l.check(err)
	options, err := flags.options(nil, filepath.Dir(l.remote))
	l.check(err)
	stop := flags.serve(listener, options, l.agent, &stack{store: l.store, checks: shared.stack.checks}, log)
	defer stop(t.Context())
	var agent []string
	for _, c := range [][3]string{
		{"GET /api/v1/runs"}, {"GET /api/v1/runs/1"}, {"GET /api/v1/runs/1/log?layer=base"}, {"GET /api/v1/runs/1/events"}, {"GET /metrics"},
		{"GET /api/v1/runs", `Authorization: Bearer \r\n`},
		{"POST /webhooks/generic?wait=1s", `Content-Type: application/json\r\n`, `{"repository":"` + l.remote + `"}`},
	} {
		agent = append(agent, "("+send(listener.Addr().String(), c[0], c[1], c[2])+")")
	}
	tags := "/v2/" + lab + "/base/manifests/main"
	l.write("lab-layers.yaml", "version: 1\nlayers:\n  - {name: base, kind: base, context: images/base}\n"+
		"  - {name: unet, kind: experiment, parent: base, context: experiments/unet}\n")
	l.write("experiments/unet/Dockerfile", "FROM base\nRUN true\n")
	base := digests(l.pushed())["base"]
	l.write("experiments/unet/Dockerfile", "FROM base\nRUN ("+strings.Join([]string{
		ask("GET", "/v2/"+lab+"/base/tags/list"), ask("PUT", tags), ask("DELETE", tags), ask("DELETE", "/v2/"+lab+"/base/manifests/"+base.String()),
		ask("POST", "/v2/"+lab+"/base/blobs/uploads/"), ask("PATCH", "/v2/"+lab+"/base/blobs/uploads/x"),
	}, "; ")+`) > /answers; (`+strings.Join(agent, "; ")+`) > /agent; \
 (ls -d `+shared.dir+` /run/lab-layers /run/runc; find / -xdev -type s; find /proc/1/root/ -xdev -type s) > /files 2>/dev/null; \
 (for p in /proc/[0-9]*; do tr '\0' ' ' < $p/cmdline; echo; done) > /processes
`)
	l.pushed()
	answers := strings.Fields(l.file("unet", "main", "answers"))
	var codes []string
	for i, word := range answers {
		if strings.HasPrefix(word, "HTTP/") && i+1 < len(answers) {
			codes = append(codes, answers[i+1])
		}
	}
	if got := strings.Join(codes, " "); got != "200 401 401 401 401 401" {
		t.Errorf("the registry answered %s", got)
	}
	told := l.file("unet", "main", "agent")
	var statuses []string
	for line := range strings.Lines(told) {
		if strings.HasPrefix(line, "HTTP/") {
			statuses = append(statuses, strings.Fields(line)[1])
		}
	}
	if got := strings.Join(statuses, " "); got != "401 401 401 401 401 401 202" || strings.Contains(told, string(l.head())) || strings.Contains(told, "{") {
		t.Errorf("the agent answered %s:\n%s", got, told)
	}
	if got := l.tagged("base", "main"); got != base {
		t.Errorf("base:main went from %s to %q", base, got)
	}
	if got := l.file("unet", "main", "files"); got != "" {
		t.Errorf("these are in reach:\n%s", got)
	}
	processes := l.file("unet", "main", "processes")
	for _, ours := range []string{"buildkitd", "postgres", filepath.Base(os.Args[0])} {
		if !strings.Contains(processes, "/bin/sh -c") || strings.Contains(processes, ours) {
			t.Errorf("%s among the processes:\n%s", ours, processes)
		}
	}
	// An abstract socket has no file, and who shares the network reaches it.
	ours := map[string]bool{} // by inode
	for _, pid := range append(descendants(t, os.Getpid()), os.Getpid()) {
		files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
		l.check(err)
		for _, file := range files {
			target, _ := os.Readlink(file) // it may be closed by now
			if inode, ok := strings.CutPrefix(target, "socket:["); ok {
				ours[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	if len(ours) == 0 {
		t.Error("we have no sockets at all")
	}
	table, err := os.ReadFile("/proc/net/unix")
	l.check(err)
	for line := range strings.Lines(string(table)) {
		// proc(5): Num RefCount Protocol Flags Type St Inode Path
		if f := strings.Fields(line); len(f) == 8 && strings.HasPrefix(f[7], "@") && ours[f[6]] {
			t.Errorf("an abstract socket: %s", line)
		}
	}
}
