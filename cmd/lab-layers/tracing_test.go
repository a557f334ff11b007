package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/proto"

	"github.com/lab-layers/lab-layers/agent"
)

// TestTracesAreExported holds that a run reaches a collector as one trace, and
// only where there is one.
func TestTracesAreExported(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	log := slog.New(slog.DiscardHandler)
	if none, _, err := startTraces(t.Context(), log); err != nil || none.End != nil {
		t.Errorf("without a collector: %v", err)
	}
	received := make(chan *collector.ExportTraceServiceRequest, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &request) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		received <- &request
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	l := newLab(t)
	progress, stop, err := startTraces(t.Context(), log)
	l.check(err)
	l.agent.Progress = l.agent.Progress.And(progress)
	if v := l.settle(); v.State != agent.Succeeded {
		t.Fatal(v.Reason)
	}
	stop()
	var names []string
	ids := map[string]bool{}
	for len(received) > 0 {
		for _, r := range (<-received).ResourceSpans {
			if !slices.ContainsFunc(r.Resource.Attributes, func(a *common.KeyValue) bool {
				return a.Key == "service.name" && a.Value.GetStringValue() == "lab-layers"
			}) {
				t.Errorf("%v", r.Resource)
			}
			for _, s := range r.ScopeSpans {
				for _, span := range s.Spans {
					names = append(names, span.Name)
					ids[string(span.TraceId)] = true
				}
			}
		}
	}
	if len(ids) != 1 || !slices.Contains(names, "run") || !slices.Contains(names, "plan") || !slices.Contains(names, "build base") {
		t.Errorf("%d traces of %v", len(ids), names)
	}

	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	if _, _, err := startTraces(t.Context(), log); exitCode(err) != exitInput {
		t.Error(err)
	}
}
