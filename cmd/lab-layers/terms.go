package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// terms are the times that one process serves as an agent, each with the
// settings that it had at its beginning.
type terms struct {
	args   []string // the agent's, to begin again with
	out    io.Writer
	errs   io.Writer
	reload chan os.Signal
	stop   chan os.Signal // has room for both of those that are counted
}

func newTerms(args []string, out, errs io.Writer) *terms {
	t := &terms{args: args, out: out, errs: errs, reload: make(chan os.Signal, 1), stop: make(chan os.Signal, 2)}
	signal.Notify(t.reload, syscall.SIGHUP)
	signal.Notify(t.stop, os.Interrupt, syscall.SIGTERM)
	return t
}

func (t *terms) close() {
	signal.Stop(t.reload)
	signal.Stop(t.stop)
}

// serve serves until the context ends, which the first signal does. New
// settings with which the agent cannot start give way to those before.
func (t *terms) serve(ctx context.Context, f *agentFlags) error {
	hurried, hurry := context.WithCancel(context.WithoutCancel(ctx))
	defer hurry()
	go func() { // ends with the second signal
		for range 2 {
			select {
			case <-t.stop:
			case <-hurried.Done():
				return
			}
		}
		hurry()
	}()
	var before *agentFlags
	for {
		next, err := t.term(ctx, hurried, f)
		switch {
		case ctx.Err() == nil && next != nil:
			before, f = f, next
		case ctx.Err() == nil && err != nil && before != nil:
			f.logging.logger(t.errs).Error("cannot start with the new configuration; going on with the one before", "error", err)
			before, f = nil, before
		case ctx.Err() != nil && errors.Is(err, context.Canceled):
			return nil // it was stopped while it started
		default:
			return err
		}
	}
}

// term serves with one configuration. It returns the next if there is one.
func (t *terms) term(ctx, hurried context.Context, f *agentFlags) (next *agentFlags, err error) {
	log := f.logging.logger(t.errs)
	idle, stop := context.WithCancel(ctx)
	work, cut := context.WithCancel(hurried)
	var others sync.WaitGroup
	others.Go(func() {
		if next = t.await(idle, log); next != nil {
			log.Info("the configuration was read anew; the agent starts again with it")
		}
		stop()
	})
	others.Go(func() {
		<-idle.Done()
		log.Info("stopping", "drain", f.drain)
		if f.drain > 0 {
			select {
			case <-work.Done():
			case <-time.After(f.drain):
				log.Warn("runs that have not ended are handed over")
			}
		}
		cut()
	})
	err = f.serve(work, idle, t.out, log)
	stop()
	cut()
	others.Wait()
	return next, err
}

// await returns the sound settings that a SIGHUP brings, or nil when the
// context ends. Until they are sound nothing changes.
func (t *terms) await(ctx context.Context, log *slog.Logger) *agentFlags {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.reload:
		}
		next := new(agentFlags)
		cmd := next.command()
		err := cmd.ParseFlags(t.args)
		if err == nil {
			err = next.complete(cmd.Flags())
		}
		if err == nil {
			return next
		}
		log.Error("the configuration stays as it was", "error", err)
	}
}
