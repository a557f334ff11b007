package pipeline

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// errTooLong is the cause with which a build that takes too long is cut off.
var errTooLong = errors.New("the build took too long")

// limited builds for as long as the limit allows. A build that takes longer is
// its repository's mistake: to try it again would block the others again.
func (p *Pipeline) limited(ctx context.Context, order Order, file string, progress func(Event)) (Built, error) {
	if p.Limit <= 0 {
		return p.Builder.Build(ctx, order, progress)
	}
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	// The clock starts with the first that is heard of the build: until then it
	// may wait for others.
	var start sync.Once
	built, err := p.Builder.Build(ctx, order, func(e Event) {
		start.Do(func() {
			clock := time.AfterFunc(p.Limit, func() { cut(errTooLong) })
			context.AfterFunc(ctx, func() { clock.Stop() })
		})
		progress(e)
	})
	if err != nil && errors.Is(context.Cause(ctx), errTooLong) {
		err = &BuildError{File: file, Err: fmt.Errorf("the build was not done after %v and was cut off", p.Limit)}
	}
	return built, err
}
