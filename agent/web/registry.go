package web

import (
	"encoding/json"
	"net/http"
)

// registryEvents takes the notifications of a distribution registry, which
// carry one of the secrets for all repositories as a bearer token. Of each
// pushed tag Pushed is told.
func (h *handler) registryEvents(w http.ResponseWriter, r *http.Request) {
	shared := false
	genuine := false
	token := bearer(r)
	for _, s := range h.Secrets {
		if s.Repository == "" {
			shared = true
			genuine = same(token, s.Value) || genuine
		}
	}
	switch {
	case !shared:
		w.WriteHeader(http.StatusNotFound)
		return
	case !genuine:
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body, done, status := h.body(w, r)
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	defer done()
	// The registry's own envelope: https://distribution.github.io/distribution/about/notifications/
	var envelope struct {
		Events []struct {
			Action string `json:"action"`
			Target struct {
				Repository string `json:"repository"`
				Tag        string `json:"tag"`
			} `json:"target"`
		} `json:"events"`
	}
	if json.Unmarshal(body, &envelope) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, e := range envelope.Events {
		if e.Action == "push" && e.Target.Tag != "" && h.Pushed != nil {
			h.Pushed(e.Target.Repository, e.Target.Tag)
		}
	}
	w.WriteHeader(http.StatusAccepted)
}
