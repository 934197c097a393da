package session

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"kdgate/internal/sleep"
)

const (
	maxCached  = 100_000 // sessions in memory, some tens of megabytes; past it the memory starts anew
	watchRetry = time.Second
	begunFor   = time.Second // how long a session that began here is known without being read back
	maxBegun   = 4096        // of those; about what begins in their time
)

// cache holds live sessions while somebody tells it what to forget. A record
// that was read before its key was told of must not come in afterwards, so a
// reader takes a ticket first and the ticket is void once its shard was touched.
type cache struct {
	mu    sync.Mutex
	on    bool
	epoch [256]uint64          // grows with each thing forgotten, for each first byte of the hash
	live  map[string]stored    // by hash; empty unless on
	begun map[string]*begun    // by hash; empty unless on
	seen  map[string]time.Time // last use in this process that the store was not told of
}

// begun is a session that this process is writing or has just written. The
// watch tells of that write too, which is no reason to forget it; whatever it
// tells after that is. And should it tell nothing, begunFor ends it anyway.
type begun struct {
	session stored    // zero until the commit has succeeded
	until   time.Time // zero until then
	told    bool      // the watch has told of our own write
}

func newCache() *cache {
	return &cache{live: map[string]stored{}, begun: map[string]*begun{}, seen: map[string]time.Time{}}
}

// begin says that the session of a hash is about to be written.
func (c *cache) begin(hash string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on {
		return
	}
	if len(c.begun) >= maxBegun {
		maps.DeleteFunc(c.begun, func(_ string, b *begun) bool { return !b.until.IsZero() && !now.Before(b.until) })
	}
	if len(c.begun) < maxBegun {
		c.begun[hash] = &begun{}
	}
}

// written keeps the session that began, unless the watch told of more than that.
func (c *cache) written(s stored, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b, ok := c.begun[s.hash]; ok {
		b.session, b.until = s, now.Add(begunFor)
	}
}

// tell takes what the watch says of a hash.
func (c *cache) tell(hash string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(hash)
	if b, ok := c.begun[hash]; ok && !b.told {
		b.told = true
		return
	}
	delete(c.begun, hash)
}

// shard is the hash's first hexadecimal digits, folded; any fixed choice will do.
func shard(hash string) uint8 {
	if len(hash) < 2 {
		return 0
	}
	return hash[0]<<4 ^ hash[1]
}

func (c *cache) get(hash string, now time.Time) (s stored, ok bool, ticket uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok = c.live[hash]
	if b := c.begun[hash]; !ok && b != nil && now.Before(b.until) {
		s, ok = b.session, true
	}
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
	c.drop(hash)
	delete(c.begun, hash)
}

func (c *cache) drop(hash string) {
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
	clear(c.begun)
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
		_ = sleep.For(ctx, watchRetry) // it ends early with ctx, which ends the loop
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
		m.cache.tell(hash)
		if m.doors.has(hash) {
			judges.summon(func() { m.judge(ctx, hash) })
		}
	}
	return nil
}
