package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"kdgate/kingdee"
	"kdgate/store"
)

const (
	laneLife  = 30 * time.Second // how long a lane stays ours without being kept
	laneSpare = 10 * time.Second // how much longer the store's record lives: a failover may forget when it was kept last
	laneEvery = 10 * time.Second // how often it is kept
)

// lane is the share of seconds that this replica dates its links to, held by a
// record in the shared store that ends by itself. It is not given back: whoever
// takes it next must not meet the seconds used last.
type lane struct {
	store store.Store
	now   func() time.Time
	id    string // of this process

	mu     sync.Mutex
	number int
	until  time.Time // by our clock; zero when none is held
}

func newLane(s store.Store, now func() time.Time) *lane {
	return &lane{store: s, now: now, id: rand.Text()}
}

// held implements kingdee.LaneFunc.
func (l *lane) held() (int, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.number, l.now().Before(l.until)
}

// keep takes a lane and keeps it until ctx ends. Without one links are claimed
// one by one, so no failure here is anybody's concern.
func (l *lane) keep(ctx context.Context) {
	ticker := time.NewTicker(laneEvery)
	defer ticker.Stop()
	for {
		l.renew(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// renew keeps the lane that is held, or takes a free one.
func (l *lane) renew(ctx context.Context) {
	number, _ := l.held()
	for i := range kingdee.OwnLanes {
		n := (number + i) % kingdee.OwnLanes
		asked := l.now() // the store's record cannot end before laneLife after this, whatever a failover forgets
		switch err := l.take(ctx, fmt.Sprint("lane/", n)); {
		case err == nil:
			l.mu.Lock()
			l.number, l.until = n, asked.Add(laneLife)
			l.mu.Unlock()
			return
		case !errors.Is(err, store.ErrConflict):
			return // could not ask; what is held is held until its end
		}
		l.mu.Lock()
		l.until = time.Time{} // somebody else's by now
		l.mu.Unlock()
	}
}

// take writes the record anew when it is ours or nobody's; ErrConflict when it
// is another's.
func (l *lane) take(ctx context.Context, key string) error {
	entry, err := l.store.Get(ctx, key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return l.store.Commit(ctx, store.Create(key, []byte(l.id)).For(laneLife+laneSpare))
	case err != nil:
		return err
	case string(entry.Value) != l.id:
		return fmt.Errorf("%w: %s is held", store.ErrConflict, key)
	}
	return l.store.Commit(ctx, store.Replace(key, []byte(l.id), entry.Version).For(laneLife+laneSpare))
}
