package session

import (
	"context"
	"strings"
	"sync"
	"time"
)

const (
	maxCached  = 100_000 // sessions in memory, some tens of megabytes; past it the memory starts anew
	watchRetry = time.Second
)

// cache holds live sessions while somebody tells it what to forget. A record
// that was read before its key was told of must not come in afterwards, so a
// reader takes a ticket first and the ticket is void once its shard was touched.
type cache struct {
	mu    sync.Mutex
	on    bool
	epoch [256]uint64          // grows with each thing forgotten, for each first byte of the hash
	live  map[string]stored    // by hash; empty unless on
	seen  map[string]time.Time // last use in this process that the store was not told of
}

func newCache() *cache {
	return &cache{live: map[string]stored{}, seen: map[string]time.Time{}}
}

// shard is the hash's first hexadecimal digits, folded; any fixed choice will do.
func shard(hash string) uint8 {
	if len(hash) < 2 {
		return 0
	}
	return hash[0]<<4 ^ hash[1]
}

func (c *cache) get(hash string) (s stored, ok bool, ticket uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok = c.live[hash]
	return c.lastUse(s), ok, c.epoch[shard(hash)]
}

// put keeps what was read, if nothing was forgotten since the ticket.
func (c *cache) put(s stored, ticket uint64) stored {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.on && c.epoch[shard(s.hash)] == ticket && !s.Ended {
		if len(c.live) >= maxCached {
			clear(c.live)
		}
		c.live[s.hash] = s
	}
	return c.lastUse(s)
}

// lastUse is s with the later of both last uses.
func (c *cache) lastUse(s stored) stored {
	if seen, ok := c.seen[s.hash]; ok && seen.After(s.Seen) {
		s.Seen = seen
	}
	return s
}

func (c *cache) see(hash string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.seen) >= maxCached {
		clear(c.seen) // idle ends may come up to touchEvery early, never late
	}
	c.seen[hash] = now
}

func (c *cache) forget(hash string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.live, hash)
	c.epoch[shard(hash)]++
}

// turn begins or ends serving from memory, with nothing in it.
func (c *cache) turn(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = on
	c.forgetAll()
}

func (c *cache) forgetAll() {
	clear(c.live)
	for i := range c.epoch {
		c.epoch[i]++
	}
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetAll()
}

// Run serves sessions from memory while the store tells of changes, until ctx
// ends; it always returns nil then. When the watch is lost the memory is
// dropped and every request asks the store until there is a new one.
//
// It also tells those who follow a session (Attend) of its end.
func (m *Manager) Run(ctx context.Context) error {
	var judging sync.WaitGroup
	defer judging.Wait()
	judging.Go(func() { m.keepJudging(ctx) })
	for ctx.Err() == nil {
		if err := m.watch(ctx); err != nil {
			m.logger.Warn("session: watch failed, every request asks the store", "err", err)
		}
		retry := time.NewTimer(watchRetry)
		select {
		case <-ctx.Done():
		case <-retry.C:
		}
		retry.Stop()
	}
	return nil
}

// watch is one watch from begin to loss.
func (m *Manager) watch(ctx context.Context) error {
	events, err := m.store.Watch(ctx, recordPrefix)
	if err != nil {
		return err
	}
	m.cache.turn(true)
	defer m.cache.turn(false)
	judges := newJudges()
	defer judges.all.Wait()
	judges.summon(func() { m.judgeAll(ctx, true) }) // what ended while nobody watched
	for event := range events {
		if event.Key == "" {
			m.cache.clear()
			judges.summon(func() { m.judgeAll(ctx, true) })
			continue
		}
		hash := strings.TrimPrefix(event.Key, recordPrefix)
		m.cache.forget(hash)
		if m.doors.has(hash) {
			judges.summon(func() { m.judge(ctx, hash) })
		}
	}
	return nil
}
