package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	containers "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

// The secrets that are searched for. Each stands where its holder keeps it.
const (
	leakGit      = "leak-Git-8f1c2a" // as password or token
	leakRegistry = "leak-Registry-77ab10"
	leakDatabase = "leak-Database-c0ffee"
	leakBuild    = "leak-Build-51ed27"
)

// leaks are the forms in which they could get out.
func leaks() []string {
	return []string{
		leakGit, leakRegistry, leakDatabase, leakBuild,
		basic("lab", leakGit), basic("x-access-token", leakGit), basic("lab", leakRegistry), base64.StdEncoding.EncodeToString([]byte(leakBuild)),
	}
}

func basic(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
}

// repeating answers with a status and says again what it was sent as proof.
func repeating(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
		if r.Header.Get("Authorization") == "" {
			status := max(status, http.StatusUnauthorized) // clients wait to be asked
			w.WriteHeader(status)
			return
		}
		user, password, _ := r.BasicAuth()
		w.WriteHeader(status)
		fmt.Fprintf(w, "%s of %s %s", r.Header.Get("Authorization"), user, password)
	})
}

// guarded asks for a password or a token.
func guarded(password string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, given, _ := r.BasicAuth()
		if given != password && r.Header.Get("Authorization") != "Bearer "+password {
			w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refusingDatabase asks for the password, and does not let it in.
func refusingDatabase(t *testing.T) (address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			b := pgproto3.NewBackend(conn, conn)
			if first, _ := b.ReceiveStartupMessage(); first != nil {
				if _, ok := first.(*pgproto3.SSLRequest); ok {
					_, _ = conn.Write([]byte("N"))
					_, _ = b.ReceiveStartupMessage()
				}
				b.Send(&pgproto3.AuthenticationCleartextPassword{})
				_ = b.Flush()
				_, _ = b.Receive()
				b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: `password authentication failed for user "lab"`})
				_ = b.Flush()
			}
			conn.Close()
		}
	}()
	return listener.Addr().String()
}

// attempt is one call of the program with all secrets in its hands.
type attempt struct {
	*testing.T
	*lab
	began      time.Time // files that did not change since are not searched
	binary     string
	home       string
	dir        string // the data directory
	repo       string // URL of the repository, with its password
	token      string
	tokenFile  string
	registry   string
	database   string
	secretFile string
}

// run calls the program and returns all that it said.
func (a attempt) run(args ...string) (said string, code int) {
	a.Helper()
	cmd := exec.CommandContext(a.Context(), a.binary, args...)
	cmd.Env = append(os.Environ(), "HOME="+a.home, "DOCKER_CONFIG="+a.home, "LAB_LAYERS_GIT_TOKEN="+a.token)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		a.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (a attempt) build() (said string, code int) {
	a.Helper()
	args := []string{"build", "--repo", a.repo, "--rev", "main", "--data-dir", a.dir, "--database-url", a.database,
		"--registry", a.registry, "--buildkit", a.buildkit, "--secret", "token=" + a.secretFile, "--debug", "-o", "json"}
	if a.tokenFile != "" {
		args = append(args, "--git-token-file", a.tokenFile)
	}
	return a.run(args...)
}

// clean checks that no secret is in a text.
func (a attempt) clean(where, text string) {
	a.Helper()
	for _, secret := range leaks() {
		if at := strings.Index(text, secret); at >= 0 {
			a.Errorf("%s shows %s: …%s…", where, secret, text[max(0, at-100):min(len(text), at+len(secret)+40)])
		}
	}
}

// cleanFiles checks that no secret is in a file below a directory. What was
// unpacked has times of its own, but that of its last change is the kernel's.
func (a attempt) cleanFiles(dir string) {
	a.Helper()
	a.check(filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // running programs make and remove files
		}
		info, err := entry.Info()
		if err != nil || time.Unix(info.Sys().(*syscall.Stat_t).Ctim.Unix()).Before(a.began) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil {
			a.clean(path, string(text))
		}
		return nil
	}))
}

// cleanRecords checks that no secret is in any row of the records.
func (a attempt) cleanRecords() {
	a.Helper()
	conn, err := pgx.Connect(a.Context(), shared.parts.DatabaseURL)
	a.check(err)
	defer conn.Close(a.Context())
	rows, err := conn.Query(a.Context(), "select table_name from information_schema.tables where table_schema = 'lab_layers'")
	a.check(err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	a.check(err)
	if len(tables) == 0 {
		a.Fatal("there are no records")
	}
	for _, table := range tables {
		rows, err := conn.Query(a.Context(), "select r::text from "+pgx.Identifier{"lab_layers", table}.Sanitize()+" r")
		a.check(err)
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		a.check(err)
		a.clean("the table "+table, strings.Join(texts, "\n"))
	}
}

// TestNoSecretGetsOut holds that no password, token or build secret is in what
// the program prints, logs, writes down or pushes, whatever fails. What a RUN
// step prints is not searched: whoever writes the step is trusted with the
// secret.
func TestNoSecretGetsOut(t *testing.T) {
	began := time.Now().Add(-time.Second) // the kernel's clock for files is coarse
	l := newLab(t)
	l.write("lab-layers.yaml", "version: 1\nlayers:\n  - {name: base, kind: base, context: images/base}\n"+
		"  - {name: unet, kind: experiment, parent: base, context: experiments/unet, secrets: [token]}\n")
	step := func(end string) {
		l.write("experiments/unet/Dockerfile", "FROM base\nRUN --mount=type=secret,id=token,env=TOKEN --mount=type=secret,id=token test \"$TOKEN\" = \"$(cat /run/secrets/token)\" && "+end+"\n")
		l.commit("unet: " + end)
		l.git("push", "-q", "--force", "origin", "HEAD:main")
	}
	step("exit 7")

	home := filepath.Dir(l.remote)
	serve := func(handler http.Handler) string {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		return strings.TrimPrefix(server.URL, "http://")
	}
	withPassword := func(host string) string { return "http://lab:" + leakGit + "@" + host + "/lab.git" }
	git := guarded(leakGit, &cgi.Handler{
		Path: "/usr/bin/git", Args: []string{"http-backend"}, Stderr: io.Discard,
		Env: []string{"GIT_PROJECT_ROOT=" + home, "GIT_HTTP_EXPORT_ALL=1"},
	})
	registry := serve(guarded(leakRegistry, containers.New(containers.Logger(log.New(io.Discard, "", 0)))))
	records, err := url.Parse(shared.parts.DatabaseURL)
	l.check(err)
	records.User = url.UserPassword(records.User.Username(), leakDatabase) // PostgreSQL does not ask for it here
	good := attempt{
		T: t, lab: l, began: began, binary: newProgram(l).binary, home: home, dir: filepath.Join(home, "d"), repo: withPassword(serve(git)),
		registry: registry, database: records.String(), secretFile: filepath.Join(home, "secret"),
	}
	l.check(os.WriteFile(good.secretFile, []byte(leakBuild), 0o600))
	tokenFile := filepath.Join(t.TempDir(), "token")
	l.check(os.WriteFile(tokenFile, []byte(leakGit+"\n"), 0o600))
	docker := func(home, host string) {
		config, err := json.Marshal(map[string]any{"auths": map[string]any{host: map[string]string{"auth": basic("lab", leakRegistry)}}})
		l.check(err)
		l.check(os.WriteFile(filepath.Join(home, "config.json"), config, 0o600))
	}

	type trouble struct {
		name string
		with func(a *attempt)
		code int
		says string
	}
	try := func(t *testing.T, a attempt, c trouble) {
		a.T = t
		c.with(&a)
		docker(a.home, a.registry)
		said, code := a.build()
		if code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("exit code %d: %s", code, said)
		}
		a.clean("the output", said)
		a.cleanFiles(a.dir)
	}
	outside := []trouble{
		{"the remote does not know the password", func(a *attempt) { a.repo = withPassword(serve(repeating(401))) }, exitOutside, "/lab.git"},
		{"the remote fails", func(a *attempt) { a.repo = withPassword(serve(repeating(500))) }, exitOutside, "/lab.git"},
		{"the remote talks nonsense", func(a *attempt) { a.repo = withPassword(serve(repeating(200))) }, exitOutside, "/lab.git"},
		{"the remote does not know the token", func(a *attempt) {
			a.repo, a.token = "http://"+serve(repeating(401))+"/lab.git", leakGit
		}, exitOutside, "/lab.git"},
		{"the remote repeats the token", func(a *attempt) {
			a.repo, a.token = "http://"+serve(repeating(200))+"/lab.git", leakGit
		}, exitOutside, "/lab.git"},
		{"the remote repeats the token of a file", func(a *attempt) {
			a.repo, a.tokenFile = "http://"+serve(repeating(403))+"/lab.git", tokenFile
		}, exitOutside, "/lab.git"},
		{"the remote is malformed", func(a *attempt) { a.repo = "http://lab:" + leakGit + "@[host/lab.git" }, exitInput, "remote"},
		{"the registry does not know the password", func(a *attempt) { a.registry = serve(repeating(401)) }, exitOutside, ""},
		{"the registry fails", func(a *attempt) { a.registry = serve(repeating(500)) }, exitOutside, ""},
		{"the registry talks nonsense", func(a *attempt) { a.registry = serve(repeating(200)) }, exitOutside, ""},
		{"the database refuses", func(a *attempt) {
			a.database = "postgres://lab:" + leakDatabase + "@" + refusingDatabase(t) + "/lab"
		}, exitOutside, "authentication failed"},
		{"the database is not there", func(a *attempt) {
			a.database = "host=/nowhere user=lab password=" + leakDatabase
		}, exitOutside, "records"},
		{"the database's URL is malformed", func(a *attempt) {
			a.database = "postgres://lab:" + leakDatabase + "@[host/lab"
		}, exitOutside, "malformed"},
	}
	t.Run("outside", func(t *testing.T) {
		for _, c := range outside {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel() // they wait for what does not come
				a := good
				a.home = t.TempDir()
				a.dir = filepath.Join(a.home, "d")
				a.repo = withPassword(serve(git)) // to the records another one each time
				try(t, a, c)
			})
		}
	})
	for _, c := range []trouble{
		{"the step with the secret fails", func(a *attempt) {
			a.repo, a.tokenFile = "http://"+serve(git)+"/lab.git", tokenFile
		}, exitInput, "exit code: 7"},
		{"all is well", func(*attempt) { step("true") }, 0, `"state":"succeeded"`},
	} {
		t.Run(c.name, func(t *testing.T) { try(t, good, c) })
	}
	t.Run("the repository is named twice", func(t *testing.T) {
		for _, args := range [][]string{{good.repo, good.repo}, {"a=" + good.repo, "a=" + good.repo}, {"A=" + good.repo}} {
			said, code := good.run("agent", "--repo", strings.Join(args, ","), "--data-dir", good.dir)
			if code != exitInput || !strings.Contains(said, "--repo") {
				t.Errorf("exit code %d: %s", code, said)
			}
			good.clean("the output", said)
		}
	})
	good.cleanRecords()
	good.cleanFiles(filepath.Join(shared.dir, "data"))

	for _, layer := range []string{"base", "unet"} {
		ref, err := name.ParseReference(registry + "/" + layer + ":main")
		l.check(err)
		image, err := remote.Image(ref, remote.WithAuth(&authn.Basic{Username: "lab", Password: leakRegistry}))
		l.check(err)
		manifest, err := image.RawManifest()
		l.check(err)
		config, err := image.RawConfigFile()
		l.check(err)
		good.clean("the image of "+layer, string(manifest)+string(config))
	}
}
