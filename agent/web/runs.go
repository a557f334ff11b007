package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/layers"
)

// maxRuns is the most runs that are listed at once.
const maxRuns = 1000

// runs lists the newest runs, ?limit= of them.
func (h *handler) runs(w http.ResponseWriter, r *http.Request) {
	limit := 100
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxRuns {
			refuse(w, http.StatusBadRequest, "limit must be a number from 1 to "+strconv.Itoa(maxRuns))
			return
		}
		limit = n
	}
	runs, err := h.Records.Runs(r.Context(), limit)
	if err != nil {
		h.failed(w, r, err)
		return
	}
	if runs == nil {
		runs = []agent.RunSummary{}
	}
	reply(w, http.StatusOK, runs)
}

// Run is one run with what became of its layers, which are there after its end.
type Run struct {
	agent.RunSummary
	Layers []agent.HistoryEntry `json:"layers"`
}

func (h *handler) run(w http.ResponseWriter, r *http.Request) {
	run, ok := h.named(w, r)
	if !ok {
		return
	}
	entries, err := h.Records.Layers(r.Context(), run.ID)
	if err != nil {
		h.failed(w, r, err)
		return
	}
	if entries == nil {
		entries = []agent.HistoryEntry{}
	}
	reply(w, http.StatusOK, Run{*run, entries})
}

// log is the output of the build of ?layer=, as text.
func (h *handler) log(w http.ResponseWriter, r *http.Request) {
	layer := r.URL.Query().Get("layer")
	if layer == "" {
		refuse(w, http.StatusBadRequest, "name the layer with ?layer=")
		return
	}
	run, ok := h.named(w, r)
	if !ok {
		return
	}
	text, err := h.Records.Log(r.Context(), run.ID, layers.Name(layer))
	if err != nil {
		h.failed(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write([]byte(text))
}

// named finds the run that the path names, or answers that there is none.
func (h *handler) named(w http.ResponseWriter, r *http.Request) (*agent.RunSummary, bool) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id < 1 {
		refuse(w, http.StatusNotFound, "there is no such run")
		return nil, false
	}
	run, err := h.Records.Run(r.Context(), agent.RunID(id))
	if err != nil {
		h.failed(w, r, err)
		return nil, false
	}
	if run == nil {
		refuse(w, http.StatusNotFound, "there is no such run")
		return nil, false
	}
	return run, true
}

// failed answers for records that did not.
func (h *handler) failed(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, r.Context().Err()) {
		return // nobody listens
	}
	h.Log.Error("cannot answer a request", "path", r.URL.Path, "error", err)
	refuse(w, http.StatusServiceUnavailable, "the records cannot be read now; the agent's log says why")
}

// refuse says in JSON what is wrong.
func refuse(w http.ResponseWriter, status int, why string) {
	reply(w, status, map[string]string{"error": why})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who has gone needs no answer
}
