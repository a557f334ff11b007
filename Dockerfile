# The agent's own image, for where PostgreSQL, the registry and BuildKit are
# given. Git is not needed, and time zones are in the binary.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY agent agent
COPY cmd cmd
COPY deploy deploy
COPY layers layers
COPY pipeline pipeline
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /out/lab-layers ./cmd/lab-layers

# For GPU nodes: it asks the driver through a C library, so it has cgo, and loads
# that library no sooner than it is there. docker build --target node-probe
FROM build AS build-node-probe
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=1 go build -trimpath -ldflags='-s -w -extldflags=-Wl,-z,lazy' -o /out/lab-layers ./cmd/lab-layers
FROM debian:trixie-slim AS node-probe
COPY --from=build-node-probe /out/lab-layers /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["lab-layers", "node-probe"]

FROM build AS build-data
RUN mkdir -p /out/data /out/tmp && chmod 1777 /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/lab-layers /usr/local/bin/
COPY --from=build-data /out/tmp /tmp
COPY --from=build-data --chown=65532:65532 /out/data /var/lib/lab-layers
ENV PATH=/usr/local/bin LAB_LAYERS_DATA_DIR=/var/lib/lab-layers
USER 65532:65532
EXPOSE 7070
ENTRYPOINT ["lab-layers"]
CMD ["agent"]
