package notify

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
	"github.com/lab-layers/lab-layers/pipeline"
)

const secret = "hush hush"

func hushed() (string, error) { return secret, nil }

// received is what an endpoint got.
type received struct {
	header http.Header
	body   []byte
}

func endpoint(t *testing.T, answer http.HandlerFunc) (address string, got *[]received) {
	got = &[]received{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost {
			t.Errorf("%s: %v", r.Method, err)
		}
		*got = append(*got, received{r.Header, body})
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/hooks/path-secret?key=query-secret", got
}

func accept(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

func mustNew(t *testing.T, address string) *Target {
	t.Helper()
	target, err := New(address, hushed, func(agent.Run) string { return "https://labs.example/42" })
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func report(state agent.State) agent.Report {
	at := time.Date(2026, 3, 1, 9, 0, 0, 123_000, time.UTC)
	r := agent.Report{
		Run: agent.Run{
			ID: 42, State: state, Queued: at, Started: at.Add(time.Second),
			Move: agent.Move{URL: "https://git.example/uni/lab.git", Ref: "refs/heads/main", Old: "a", New: "b"},
		},
		Layers: []agent.ReportedLayer{{Name: "base", Step: layers.Reuse}, {Name: "bert", Step: layers.Build, Reasons: []layers.Reason{{Kind: "path", Detail: "x < y"}}, Estimate: 3}},
	}
	if state.Final() {
		r.Run.Finished, r.Run.Reason = at.Add(time.Minute), "bert: no"
		r.Layers[0].State, r.Layers[1].State = pipeline.Reused, pipeline.Broken
		r.Layers[1].Error = &agent.Failure{Text: "no", File: "Dockerfile", Line: 3}
	}
	return r
}

// TestEvent sends what CloudEvents asks for, signed, and the same again for the
// same.
func TestEvent(t *testing.T) {
	address, got := endpoint(t, accept)
	target := mustNew(t, address)
	for _, r := range []agent.Report{report(agent.Failed), report(agent.Failed), report(agent.Building)} {
		if err := target.Tell(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range *got {
		if kind := r.header.Get("Content-Type"); kind != "application/cloudevents+json; charset=utf-8" {
			t.Errorf("content type %q", kind)
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(r.body)
		if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); r.header.Get("X-Signature-256") != want {
			t.Errorf("signature %q, want %q", r.header.Get("X-Signature-256"), want)
		}
	}
	if !bytes.Equal((*got)[0].body, (*got)[1].body) {
		t.Error("the same run in the same state is told in other words")
	}
	const want = `{"specversion":"1.0","id":"42-failed-1772355600000123","source":"https://git.example/uni/lab.git",` +
		`"type":"dev.lab-layers.run.finished","subject":"refs/heads/main","time":"2026-03-01T09:01:00.000123Z","datacontenttype":"application/json",` +
		`"data":{"id":42,"move":{"repository":"https://git.example/uni/lab.git","ref":"refs/heads/main","old":"a","new":"b"},"state":"failed","attempt":0,` +
		`"reason":"bert: no","queued":"2026-03-01T09:00:00.000123Z","started":"2026-03-01T09:00:01.000123Z","finished":"2026-03-01T09:01:00.000123Z",` +
		`"url":"https://labs.example/42","layers":[{"name":"base","state":"reused","reasons":[]},` +
		`{"name":"bert","state":"failed","reasons":[{"kind":"path","detail":"x \u003c y"}],"estimate":3,"error":{"text":"no","file":"Dockerfile","line":3}}]}}`
	if body := string((*got)[0].body); body != want {
		t.Errorf("event\n%s\nwant\n%s", body, want)
	}
	var building struct{ ID, Type string }
	if err := json.Unmarshal((*got)[2].body, &building); err != nil || building.Type != "dev.lab-layers.run.building" || building.ID != "42-building-1772355600000123" {
		t.Errorf("event %+v, %v", building, err)
	}
}

// TestRolloutEvent sends that a rollout has begun, and its end.
func TestRolloutEvent(t *testing.T) {
	address, got := endpoint(t, accept)
	target := mustNew(t, address)
	at := time.Date(2026, 3, 1, 9, 0, 0, 123_000, time.UTC)
	r := agent.RolloutReport{
		ID: 7, Environment: "vision/deployment/unet", Repository: "https://git.example/uni/lab.git", Ref: "refs/heads/main", Commit: "b", Run: 42,
		State: "rolling", Queued: at, Started: at.Add(time.Second),
		Images: []agent.RolledImage{{Container: "main", Layer: "unet", From: "r/unet:old", To: "r/unet@sha256:1", ToDigest: "sha256:1"}},
	}
	ended := r
	ended.State, ended.Ended, ended.Reason, ended.Finished = "failed", true, "it crashes", at.Add(time.Minute)
	pinned := ended
	pinned.Run, pinned.Pinned = 0, true
	for _, r := range []agent.RolloutReport{r, ended, pinned} {
		if err := target.TellRollout(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	const want = `{"specversion":"1.0","id":"rollout-7-failed-1772355600000123","source":"https://git.example/uni/lab.git",` +
		`"type":"dev.lab-layers.rollout.finished","subject":"vision/deployment/unet","time":"2026-03-01T09:01:00.000123Z","datacontenttype":"application/json",` +
		`"data":{"id":7,"environment":"vision/deployment/unet","repository":"https://git.example/uni/lab.git","ref":"refs/heads/main","commit":"b","run":42,"pinned":false,` +
		`"state":"failed","reason":"it crashes","images":[{"container":"main","layer":"unet","from":"r/unet:old","to":"r/unet@sha256:1","to_digest":"sha256:1"}],` +
		`"queued":"2026-03-01T09:00:00.000123Z","started":"2026-03-01T09:00:01.000123Z","finished":"2026-03-01T09:01:00.000123Z","url":"https://labs.example/42"}}`
	if body := string((*got)[1].body); body != want {
		t.Errorf("event\n%s\nwant\n%s", body, want)
	}
	var begun struct{ ID, Type, Time string }
	if err := json.Unmarshal((*got)[0].body, &begun); err != nil || begun.Type != "dev.lab-layers.rollout.begun" || begun.ID != "rollout-7-rolling-1772355600000123" || begun.Time != "2026-03-01T09:00:01.000123Z" {
		t.Errorf("event %+v, %v", begun, err)
	}
	if body := string((*got)[2].body); strings.Contains(body, `"url"`) || !strings.Contains(body, `"pinned":true`) {
		t.Errorf("event %s", body)
	}
	if (*got)[1].header.Get(SignatureHeader) != sign(secret, []byte(want)) {
		t.Error("it is not signed")
	}
}

// TestRefusals sorts answers, shows no secret, and is led nowhere else.
func TestRefusals(t *testing.T) {
	for status, want := range map[int]agent.Unheard{
		400: {Alone: true}, 401: {}, 404: {}, 410: {}, 413: {Alone: true}, 302: {}, 307: {}, 500: {}, 429: {After: 70 * time.Second},
	} {
		address, got := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
			if status == 429 {
				w.Header().Set("Retry-After", "70")
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		})
		err := mustNew(t, address).Tell(t.Context(), report(agent.Failed))
		var u *agent.Unheard
		if !errors.As(err, &u) || u.Alone != want.Alone || u.After != want.After {
			t.Errorf("%d gives %+v", status, err)
		}
		if len(*got) != 1 || strings.Contains(err.Error(), "secret") {
			t.Errorf("%d: %d requests, %v", status, len(*got), err)
		}
	}
}

// TestNoSecretShown keeps URLs, which may hold secrets, out of names and errors.
func TestNoSecretShown(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	target := mustNew(t, gone.URL+"/path-secret?key=query-secret")
	err := target.Tell(t.Context(), report(agent.Failed))
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
	if strings.Contains(target.Name(), "secret") || target.Name() == mustNew(t, gone.URL+"/other").Name() {
		t.Errorf("name %s", target.Name())
	}
	for _, address := range []string{"", "x", "ftp://secret", "http://", "http://secret\x7f"} {
		if _, err := New(address, nil, nil); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// TestUnsigned sends without a signature where there is no secret.
func TestUnsigned(t *testing.T) {
	address, got := endpoint(t, accept)
	target, err := New(address, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := target.Tell(t.Context(), report(agent.Succeeded)); err != nil {
		t.Fatal(err)
	}
	if _, signed := (*got)[0].header["X-Signature-256"]; signed {
		t.Error("it is signed")
	}
}
