// Command serve runs the cluster of the tests for a shell: it keeps it in a
// directory, says where its kubeconfig is once it is ready, and ends it on
// SIGINT, SIGTERM or when its standard input ends.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/lab-layers/lab-layers/deploy/clustertest"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: serve DIR")
	}
	dir, err := filepath.Abs(os.Args[1])
	if err != nil {
		return err
	}
	binaries, err := clustertest.Binaries()
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	c, err := clustertest.Start(ctx, binaries, dir)
	if err != nil {
		return err
	}
	defer c.Stop()
	fmt.Println(c.Kubeconfig)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	<-ctx.Done()
	return nil
}
