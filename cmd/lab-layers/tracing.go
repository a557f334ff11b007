package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/lab-layers/lab-layers/agent"
	"github.com/lab-layers/lab-layers/agent/traces"
)

// startTraces exports a trace of each run by OTLP, if the environment says where
// to. OpenTelemetry's other variables count, too. The returned function sends
// what is left.
func startTraces(ctx context.Context, log *slog.Logger) (agent.Progress, func(), error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" {
		return agent.Progress{}, func() {}, nil
	}
	if protocol := os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		return agent.Progress{}, nil, inputf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: only http/protobuf is spoken", protocol)
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return agent.Progress{}, nil, err
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "lab-layers")), resource.WithFromEnv())
	if err != nil {
		return agent.Progress{}, nil, inputf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	// The library has one place for all that goes wrong while exporting.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("cannot export traces", "error", err) }))
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(about))
	stop := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn("cannot export the last traces", "error", err)
		}
	}
	return traces.Progress(provider.Tracer("lab-layers"), time.Now), stop, nil
}
