package dingtalk

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"kdgate/identity"
)

// lease keeps one value that DingTalk lends for a time: the application token,
// the JSAPI ticket. One call fetches it for everybody; it is fetched anew
// while the old one still serves.
type lease struct {
	now    func() time.Time
	fetch  func(context.Context) (identity.Secret, time.Duration, error)
	flight singleflight.Group

	mu      sync.Mutex
	value   identity.Secret
	born    time.Time // when the value was asked for
	early   time.Time // from here on a new one is fetched in the background
	dead    time.Time // from here on the value is not used any more
	failure error     // of the last fetch
	retryAt time.Time // before this the failure stands and nobody calls
	noRenew time.Time // before this a refused value is not replaced again
}

const (
	refreshEarly  = 10 * time.Minute // the vendor's advice
	shortestLease = time.Minute
	longestLease  = 24 * time.Hour
	fetchTimeout  = 8 * time.Second
	pauseShort    = time.Second     // after a fetch that could not be asked
	pauseLong     = 2 * time.Minute // after a fetch that an administrator must mend
	youngest      = time.Minute
	renewPause    = 5 * time.Second
)

func newLease(now func() time.Time, fetch func(context.Context) (identity.Secret, time.Duration, error)) *lease {
	return &lease{now: now, fetch: fetch}
}

// get is the value, fetched when there is none.
func (l *lease) get(ctx context.Context) (identity.Secret, error) {
	l.mu.Lock()
	now, value := l.now(), l.value
	live, due := now.Before(l.dead), !now.Before(l.early)
	failure, resting := l.failure, now.Before(l.retryAt)
	l.mu.Unlock()
	switch {
	case live && due && !resting:
		l.start(ctx) // nobody waits for it: the old value still serves
		return value, nil
	case live:
		return value, nil
	case resting:
		return identity.Secret{}, failure
	}
	return l.wait(ctx)
}

// renew is the value after somebody was refused with used. The value is
// fetched unless another caller has done so meanwhile, or a renewed value was
// refused a moment ago: then it is no use to ask again.
func (l *lease) renew(ctx context.Context, used identity.Secret) (identity.Secret, bool, error) {
	l.mu.Lock()
	now := l.now()
	if now.Before(l.noRenew) {
		l.mu.Unlock()
		return identity.Secret{}, false, nil
	}
	if l.value == used {
		l.dead = time.Time{}
	}
	l.mu.Unlock()
	value, err := l.get(ctx)
	return value, err == nil, err
}

// refusedAgain notes that a renewed value was refused too.
func (l *lease) refusedAgain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noRenew = l.now().Add(renewPause)
}

// drop forgets the value if it is still the one used, so that the next call
// fetches another. A value younger than a minute stays: it is as new as can be.
func (l *lease) drop(used identity.Secret) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.value == used && l.now().Sub(l.born) > youngest {
		l.dead = time.Time{}
	}
}

// forget drops the value and every pause: an administrator wants to know now.
func (l *lease) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead, l.retryAt, l.noRenew = time.Time{}, time.Time{}, time.Time{}
}

func (l *lease) wait(ctx context.Context) (identity.Secret, error) {
	select {
	case got := <-l.start(ctx):
		if got.Err != nil {
			return identity.Secret{}, got.Err
		}
		return got.Val.(identity.Secret), nil
	case <-ctx.Done():
		return identity.Secret{}, identity.Fail(identity.Unavailable, identity.CodeDingTalkDown,
			"waiting for DingTalk's token: %w", ctx.Err())
	}
}

// start fetches once for all who ask meanwhile. The fetch outlives the caller
// who happened to be first, but not its own time.
func (l *lease) start(ctx context.Context) <-chan singleflight.Result {
	free := context.WithoutCancel(ctx)
	return l.flight.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(free, fetchTimeout)
		defer cancel()
		// Somebody may have finished between our look and this flight.
		if value, ok := l.fresh(); ok {
			return value, nil
		}
		asked := l.now()
		value, life, err := l.fetch(ctx)
		return value, l.keep(value, asked, life, err)
	})
}

func (l *lease) fresh() (identity.Secret, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.value, l.now().Before(l.early) && l.now().Before(l.dead)
}

func (l *lease) keep(value identity.Secret, asked time.Time, life time.Duration, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure = err
	if err != nil {
		pause := pauseShort
		if identity.KindOf(err) == identity.Misconfigured {
			pause = pauseLong
		}
		l.retryAt = l.now().Add(pause)
		return err
	}
	life = min(max(life, shortestLease), longestLease)
	l.value, l.born, l.retryAt = value, asked, time.Time{}
	l.dead = asked.Add(life)
	l.early = l.dead.Add(-min(refreshEarly, life/4))
	return nil
}
