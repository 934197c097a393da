// Package sleep lets a goroutine wait that must be able to end.
//
// It owns that one wait. It refuses to repeat, to back off and to tell the time:
// retries are failsafe-go's, schedules jobs/schedule's.
package sleep

import (
	"context"
	"time"
)

// For returns after d, or early with the error of ctx when that ends first. With d
// zero or less it does not wait for a context that goes on.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
