package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/redis/go-redis/v9"

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
	if err := ctx.Err(); err != nil {
		return d.unavailable(err)
	}
	if !d.breaker.TryAcquirePermit() {
		return fmt.Errorf("%w: Redis gave no answer in time to the last operations; one at a time is tried", store.ErrUnavailable)
	}
	within, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	err := do(within)
	switch {
	case !isTimeout(err):
		d.breaker.RecordSuccess() // an answer; refusing at once is one too
	case !leavesEarly(ctx, within) || d.breaker.IsHalfOpen(): // whoever tries and leaves early gives the try back
		d.breaker.RecordFailure()
	}
	return err
}

// isTimeout reports an end by waiting. A connection may notice the deadline of
// its context before the context does.
func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, redis.ErrPoolTimeout)
}

// leavesEarly reports that the caller, not the operation, ran out of time.
func leavesEarly(caller, operation context.Context) bool {
	own, limited := caller.Deadline()
	end, _ := operation.Deadline()
	return caller.Err() != nil || limited && !own.After(end)
}
