package operator

import (
	"context"
	"time"
)

// look is how often the records are asked: not of all that happens there is a
// hint.
const look = 3 * time.Second

// watchRecords reads the records, at hints and from time to time, until the
// context ends.
func (o *Operator) watchRecords(ctx context.Context, trouble string, read func(context.Context) error) error {
	hints, err := o.Records.ListenReleases(ctx)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	problem := ""
	for ctx.Err() == nil {
		switch err := read(ctx); {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			problem = ""
		case err.Error() != problem:
			problem = err.Error()
			o.Log.Warn(trouble, "error", err)
		}
		select {
		case <-hints: // closed only as ctx ends
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	return nil
}
