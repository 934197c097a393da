package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"kdgate/store"
)

const (
	pulseEvery = 250 * time.Millisecond // how long an answer of the store stands for the next one
	pulseSlow  = 50 * time.Millisecond  // a store that is known to need longer is not waited for (R10)
	pulseLimit = 2 * time.Second
)

// pulse is whether the store answers. To begin a sign-in nothing has to be
// written, so nobody would notice before the end that it cannot be finished.
//
// A store that was quick and does not answer is waited for, for it may be away;
// one that was slow is only asked, so that slowness is paid for once.
type pulse struct {
	store store.Store
	now   func() time.Time

	asking singleflight.Group
	mu     sync.Mutex
	good   time.Time // when it answered last; zero: it did not, or somebody could not ask it since
	slow   bool      // its last answer took longer than pulseSlow
}

// feel fails when the store was asked and could not be.
func (p *pulse) feel(ctx context.Context) error {
	p.mu.Lock()
	good, slow := p.good, p.slow
	p.mu.Unlock()
	if since := p.now().Sub(good); since >= 0 && since < pulseEvery {
		return nil
	}
	asked := p.asking.DoChan("", func() (any, error) { return nil, p.ask(context.WithoutCancel(ctx)) })
	var enough <-chan time.Time
	if slow && !good.IsZero() {
		timer := time.NewTimer(pulseSlow)
		defer timer.Stop()
		enough = timer.C
	}
	select {
	case answer := <-asked:
		return answer.Err
	case <-enough:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// miss is told that somebody else could not ask the store: the next one who
// begins a sign-in waits for its answer.
func (p *pulse) miss() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.good = time.Time{}
}

func (p *pulse) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pulseLimit)
	defer cancel()
	began := p.now()
	_, err := p.store.Get(ctx, store.BirthKey)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		p.miss()
		return storeFault(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.good = p.now()
	p.slow = p.good.Sub(began) > pulseSlow
	return nil
}
