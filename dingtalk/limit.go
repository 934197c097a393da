package dingtalk

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"kdgate/internal/sleep"
)

// Limits bound our own calls, so that DingTalk need not. Zero values take the
// figures of the standard edition.
type Limits struct {
	QPS          float64            // calls a second for each API, default 20
	PerAPI       map[string]float64 // other figures, by operation name
	ReserveLogin float64            // share of QPS that jobs leave to sign-in, default 0.5
	QueueWait    time.Duration      // longest wait for a turn to sign in, default 60 s

	DirectoryPerMinute int     // address-book calls of jobs a minute, default 100 (F92); negative: no limit
	Month              int64   // counted calls a month, default 5,000; negative: no limit
	EventMonth         int64   // counted events a month, default 3,000; negative: no limit
	Counter            Counter // of the month, shared by replicas; default one of this process

	// Operations that the vendor's list of what costs the month tells otherwise than
	// it did (open question 19): Free cost nothing, Counted cost a call.
	Free, Counted []string

	// After an answer that says too fast (open question 20): the first wait,
	// default 1 s, and how often one call is tried, default 5.
	ThrottleWait  time.Duration
	ThrottleTries int
}

// throttled is what to do when DingTalk finds us too fast.
func (l Limits) throttled() rule {
	r := ruleThrottled
	r.wait, r.tries = l.ThrottleWait, l.ThrottleTries
	return r
}

// errQueue is a turn that would come too late.
var errQueue = errors.New("our own rate limit would let this call wait too long")

// limits keeps two buckets for each API: one for everybody, one that only
// background calls must pass as well.
type limits struct {
	cfg Limits

	directory *rate.Limiter // nil: no limit

	mu   sync.Mutex
	all  map[string]*rate.Limiter
	jobs map[string]*rate.Limiter
}

func newLimits(cfg Limits) *limits {
	if cfg.QPS <= 0 {
		cfg.QPS = 20
	}
	if cfg.ReserveLogin <= 0 || cfg.ReserveLogin >= 1 {
		cfg.ReserveLogin = 0.5
	}
	if cfg.QueueWait <= 0 {
		cfg.QueueWait = time.Minute
	}
	if cfg.DirectoryPerMinute == 0 {
		cfg.DirectoryPerMinute = 100
	}
	if cfg.Month == 0 {
		cfg.Month = 5000
	}
	if cfg.EventMonth == 0 {
		cfg.EventMonth = 3000
	}
	if cfg.ThrottleWait <= 0 {
		cfg.ThrottleWait = ruleThrottled.wait
	}
	if cfg.ThrottleTries <= 0 {
		cfg.ThrottleTries = ruleThrottled.tries
	}
	l := &limits{cfg: cfg, all: map[string]*rate.Limiter{}, jobs: map[string]*rate.Limiter{}}
	if n := cfg.DirectoryPerMinute; n > 0 {
		burst := max(1, n/10) // with the steady rate never more than n in any minute
		l.directory = rate.NewLimiter(rate.Limit(max(float64(n-burst), float64(n)/2)/60), burst)
	}
	return l
}

// costs reports whether a call of op costs monthly quota, and whether it can wait
// for a month in which there is some.
func (l *limits) costs(op operation) (counted, waits bool) {
	switch {
	case slices.Contains(l.cfg.Free, op.name):
		return false, false
	case op.quota || op.counted:
		return true, op.quota
	}
	return slices.Contains(l.cfg.Counted, op.name), false
}

// of gives the buckets a call must pass, in order.
func (l *limits) of(op operation, background bool) []*rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all[op.name] == nil {
		qps := l.cfg.QPS
		if own := l.cfg.PerAPI[op.name]; own > 0 {
			qps = own
		}
		l.all[op.name] = newBucket(qps)
		l.jobs[op.name] = newBucket(qps * (1 - l.cfg.ReserveLogin))
	}
	var buckets []*rate.Limiter
	if background {
		buckets = append(buckets, l.jobs[op.name])
		if op.class == ClassDirectory && l.directory != nil {
			buckets = append(buckets, l.directory)
		}
	}
	return append(buckets, l.all[op.name])
}

// newBucket never lets more than qps calls into any one second: a tenth may
// come at once, the rest is spread.
func newBucket(qps float64) *rate.Limiter {
	burst := max(1, int(qps/10))
	return rate.NewLimiter(rate.Limit(max(qps-float64(burst), qps/2)), burst)
}

// turn waits for l, or fails at once when the context would end before.
func turn(ctx context.Context, l *rate.Limiter) error {
	if err := l.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errQueue
	}
	return nil
}

// pauses are the APIs that DingTalk has told us to leave alone for a while.
type pauses struct {
	now func() time.Time

	mu    sync.Mutex
	until map[string]time.Time
}

// quotaPause is the key of everything that costs monthly quota.
const quotaPause = "\x00quota"

func newPauses(now func() time.Time) *pauses {
	return &pauses{now: now, until: map[string]time.Time{}}
}

// set lengthens a pause; it never shortens one.
func (p *pauses) set(key string, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until.After(p.until[key]) {
		p.until[key] = until
	}
}

// end takes a pause back.
func (p *pauses) end(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.until, key)
}

// left is how long a pause still lasts, zero when there is none.
func (p *pauses) left(key string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, p.until[key].Sub(p.now()))
}

// rest waits for the end of a pause, or fails at once when the context would
// end before.
func (p *pauses) rest(ctx context.Context, key string) error {
	for {
		left := p.left(key)
		if left == 0 {
			return nil
		}
		if !fits(ctx, left) {
			return errPaused
		}
		if err := sleep.For(ctx, left); err != nil {
			return err
		}
	}
}

// errPaused is an API that DingTalk has told us to leave alone.
var errPaused = errors.New("DingTalk has told us to pause this API")

// fits reports whether a wait ends before the context does.
func fits(ctx context.Context, wait time.Duration) bool {
	deadline, bounded := ctx.Deadline()
	return !bounded || wait < time.Until(deadline)
}
