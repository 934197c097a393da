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
	pulseEvery = time.Second           // how long an answer of the store stands for the next one
	pulseWait  = 50 * time.Millisecond // a store that is slow is not away (R10)
	pulseLimit = 2 * time.Second
)

// pulse is whether the store answers. To begin a sign-in nothing has to be
// written, so nobody would notice before the end that it cannot be finished.
type pulse struct {
	store store.Store
	now   func() time.Time

	asking singleflight.Group
	mu     sync.Mutex
	good   time.Time // when it answered last
}

// feel fails when the store was asked and could not be.
func (p *pulse) feel(ctx context.Context) error {
	p.mu.Lock()
	good := p.good
	p.mu.Unlock()
	if since := p.now().Sub(good); since >= 0 && since < pulseEvery {
		return nil
	}
	asked := p.asking.DoChan("", func() (any, error) { return nil, p.ask(context.WithoutCancel(ctx)) })
	patience := time.NewTimer(pulseWait)
	defer patience.Stop()
	select {
	case answer := <-asked:
		return answer.Err
	case <-patience.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pulse) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pulseLimit)
	defer cancel()
	if _, err := p.store.Get(ctx, store.BirthKey); err != nil && !errors.Is(err, store.ErrNotFound) {
		return storeFault(err)
	}
	p.mu.Lock()
	p.good = p.now()
	p.mu.Unlock()
	return nil
}
