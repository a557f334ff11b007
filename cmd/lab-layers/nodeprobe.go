package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/lab-layers/lab-layers/deploy/gpu"
	"github.com/lab-layers/lab-layers/deploy/gpu/nvml"
	nodeprobe "github.com/lab-layers/lab-layers/deploy/gpu/probe"
)

// probeFlags are those of node-probe.
type probeFlags struct {
	node       string
	kubeconfig string
	listen     string
	interval   time.Duration
	log        logFlags
}

func newNodeProbe() *cobra.Command {
	var flags probeFlags
	output := format("table")
	cmd := &cobra.Command{
		Use:   "node-probe",
		Short: "Tell the GPUs and the driver of this node",
		Long: `node-probe asks the NVIDIA driver of this machine for its version, the CUDA that
it offers, and its GPUs: product, memory, compute capability, MIG, processes and
utilisation. Without --node and --listen it prints them and ends.

With --node it writes them on that Node object as labels and annotations, and
since when no GPU is in use; with --listen it answers Prometheus at /metrics. It
then goes on until it is stopped, whether there is a driver or not.

In a cluster it runs as a DaemonSet: docs/examples/node-probe.yaml.`,
		Example: `  lab-layers node-probe -o json
  lab-layers node-probe --node gpu-3 --listen :9401`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			driver, err := nvml.New()
			if err != nil {
				return err
			}
			if flags.node == "" && flags.listen == "" {
				return printReport(cmd.OutOrStdout(), driver.Read(time.Now()), output.json())
			}
			return flags.run(cmd.Context(), driver.Read, flags.log.logger(cmd.ErrOrStderr()))
		},
	}
	cmd.Flags().StringVar(&flags.node, "node", "", "name of the Node object to write on: the one that this runs on")
	cmd.Flags().StringVar(&flags.kubeconfig, "kubeconfig", inCluster, "the node's cluster: a kubeconfig file, or in-cluster for the pod's own service account")
	cmd.Flags().StringVar(&flags.listen, "listen", "", "address to answer /metrics and /healthz at, such as :9401")
	cmd.Flags().DurationVar(&flags.interval, "interval", 15*time.Second, "time between two looks")
	flags.log.add(cmd)
	cmd.Flags().VarP(&output, "output", "o", "output format")
	return cmd
}

// run looks at the GPUs until the context ends.
func (f *probeFlags) run(ctx context.Context, read func(time.Time) gpu.Report, log *slog.Logger) error {
	if f.interval < time.Second {
		return inputf("--interval %s: at least 1s", f.interval)
	}
	w := nodeprobe.Watch{Read: read, Metrics: nodeprobe.NewMetrics(), Log: log, Interval: f.interval}
	if f.node != "" {
		client, err := newClient(f.kubeconfig)
		if err != nil {
			return err
		}
		w.Board = nodeprobe.Node{Name: f.node, Client: client.CoreV1().Nodes()}
	}
	if f.listen != "" {
		var config net.ListenConfig
		listener, err := config.Listen(ctx, "tcp", f.listen)
		if err != nil {
			return inputf("--listen %s: %w", f.listen, err)
		}
		stop := serveProbe(listener, w.Metrics, log)
		defer stop()
	}
	w.Run(ctx)
	return nil
}

// serveProbe answers until stop is called.
func serveProbe(listener net.Listener, metrics *nodeprobe.Metrics, log *slog.Logger) (stop func()) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	server := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	log.Info("answering", "address", listener.Addr().String())
	go func() {
		if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("cannot answer any more", "error", err)
		}
	}()
	return func() { _ = server.Close() }
}

func printReport(w io.Writer, r gpu.Report, asJSON bool) error {
	if asJSON {
		return printJSON(w, r)
	}
	if r.Fault != "" {
		fmt.Fprintln(w, printable(r.Fault))
	}
	if !r.Driver.Known() {
		return nil
	}
	fmt.Fprintf(w, "driver %s, CUDA %s\n", r.Driver, r.CUDA)
	if r.Lost > 0 {
		fmt.Fprintf(w, "%d of %d GPUs do not answer\n", r.Lost, r.Lost+len(r.GPUs))
	}
	rows := [][]string{{"GPU", "UUID", "MEMORY", "CAPABILITY", "MIG", "PROCESSES", "BUSY"}}
	for _, g := range r.GPUs {
		mig := "off"
		if g.MIG {
			mig = "on"
		}
		rows = append(rows, []string{g.Product, g.UUID, fmt.Sprintf("%d of %d MiB", g.Use.UsedMemoryMiB, g.MemoryMiB), g.Capability.String(), mig, told(g.Use.Processes, ""), told(g.Use.Percent, " %")})
	}
	return table(w, rows...)
}

// told is a number that the driver may keep to itself.
func told(n int, unit string) string {
	if n < 0 {
		return "?"
	}
	return fmt.Sprintf("%d%s", n, unit)
}
