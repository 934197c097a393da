package sleep

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestFor(t *testing.T) {
	for name, c := range map[string]struct {
		wait, deadline, took time.Duration
		want                 error
	}{
		"to its end":        {wait: time.Minute, deadline: time.Hour, took: time.Minute},
		"until the context": {wait: time.Hour, deadline: time.Minute, took: time.Minute, want: context.DeadlineExceeded},
		"not at all":        {wait: -time.Second, deadline: time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), c.deadline)
			defer cancel()
			began := time.Now()
			if err := For(ctx, c.wait); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
			if took := time.Since(began); took != c.took {
				t.Errorf("%s: took %s, want %s", name, took, c.took)
			}
		})
	}
}
