package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"kdgate/store"
)

// When so many operations in a row got no answer in their time, nobody else
// waits for one until a single operation, tried after the pause, gets it (R10).
// The pause is short against the seconds a failover takes.
const (
	breakerAfter = 5
	breakerPause = 500 * time.Millisecond
)

func newBreaker() circuitbreaker.CircuitBreaker[any] {
	return circuitbreaker.NewBuilder[any]().
		WithFailureThreshold(breakerAfter).WithSuccessThreshold(1).WithDelay(breakerPause).Build()
}

// bounded gives do the time of one operation. While Redis leaves everybody
// waiting, it says so at once instead of adding one more who waits.
func (d *Driver) bounded(ctx context.Context, do func(context.Context) error) error {
	if !d.breaker.TryAcquirePermit() {
		return fmt.Errorf("%w: Redis gave no answer in time to the last operations; one at a time is tried", store.ErrUnavailable)
	}
	within, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	err := do(within)
	switch {
	case err == nil || within.Err() == nil:
		d.breaker.RecordSuccess() // an answer; refusing at once is one too
	case ctx.Err() == nil || d.breaker.IsHalfOpen(): // whoever tries and leaves early gives the try back
		d.breaker.RecordFailure()
	}
	return err
}
