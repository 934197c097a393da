package session

import (
	"context"
	"net/http"
	"sync"
	"time"

	"kdgate/identity"
)

const (
	judgeEvery   = 10 * time.Second // how often every followed session is judged unasked (T110 allows 30)
	judgesAtOnce = 16               // reads of the store side by side when many sessions changed
	maxDoubt     = 3                // judgements without an answer in a row before a door is shut
)

// doors are the sessions that somebody follows: a channel for each, closed when
// the session has ended. They are kept by hash, as the watch names them.
type doors struct {
	mu   sync.Mutex
	open map[string]*door
}

type door struct {
	shut  chan struct{}
	doubt int // judgements in a row that had no answer
}

func newDoors() *doors { return &doors{open: map[string]*door{}} }

// follow gives the channel of a session, one for all its followers.
func (d *doors) follow(hash string) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	one, ok := d.open[hash]
	if !ok {
		one = &door{shut: make(chan struct{})}
		d.open[hash] = one
	}
	return one.shut
}

// shut tells every follower of a session that it has ended.
func (d *doors) shut(hash string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if one, ok := d.open[hash]; ok {
		close(one.shut)
		delete(d.open, hash)
	}
}

func (d *doors) has(hash string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.open[hash]
	return ok
}

func (d *doors) hashes() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]string, 0, len(d.open))
	for hash := range d.open {
		all = append(all, hash)
	}
	return all
}

// doubted notes a judgement with or without an answer, and reports whether
// there were too many without: then nobody knows that the session lives.
func (d *doors) doubted(hash string, answered bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	one, ok := d.open[hash]
	if !ok || answered {
		if ok {
			one.doubt = 0
		}
		return false
	}
	one.doubt++
	return one.doubt >= maxDoubt
}

// Attend is Current for a request that may stay open: a WebSocket, a long poll,
// a large download. The channel is closed when the session has ended: at once
// when it was ended here, within a second when it was ended on another replica,
// within judgeEvery when its time ran out, and also when for maxDoubt times
// that long the store could not be asked. It is one channel for all requests of
// the session. Other replicas and the time are told of while Run runs.
func (m *Manager) Attend(r *http.Request) (identity.Principal, <-chan struct{}, error) {
	token, ok := cookieToken(r)
	if !ok {
		return identity.Principal{}, nil, nobody("no session cookie")
	}
	hash := hashOf(token)
	ended := m.doors.follow(hash) // before looking, so that an end in between is not missed
	s, live, err := m.find(r.Context(), hash)
	if err != nil {
		return identity.Principal{}, nil, err
	}
	if !live {
		m.doors.shut(hash)
		return identity.Principal{}, nil, nobody("no live session")
	}
	return s.principal(), ended, nil
}

// judge shuts the door of a session that is over, and reports whether the
// question had an answer. It is no use of the session: an open socket alone
// keeps nobody signed in.
func (m *Manager) judge(ctx context.Context, hash string) (answered bool) {
	s, err := m.look(ctx, hash)
	if isOver(err) || err == nil && !m.alive(s) {
		m.doors.shut(hash)
		return true
	}
	return err == nil || ctx.Err() != nil
}

// judgeAll judges every followed session. With patience lost, one that could
// not be judged for long is cut.
func (m *Manager) judgeAll(ctx context.Context, patient bool) {
	turns := make(chan struct{}, judgesAtOnce)
	var all sync.WaitGroup
	for _, hash := range m.doors.hashes() {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			answered := m.judge(ctx, hash)
			if !patient && m.doors.doubted(hash, answered) {
				m.logger.Warn("session: cut, because the store cannot be asked whether it lives")
				m.doors.shut(hash)
			}
		})
	}
	all.Wait()
}

// keepJudging judges by the clock until ctx ends.
func (m *Manager) keepJudging(ctx context.Context) {
	every := time.NewTicker(judgeEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			m.judgeAll(ctx, false)
		}
	}
}

// judges takes the hashes that the watch names to the store, some at a time, so
// that the watch itself never waits.
type judges struct {
	turns chan struct{}
	all   sync.WaitGroup
}

func newJudges() *judges { return &judges{turns: make(chan struct{}, judgesAtOnce)} }

func (j *judges) summon(work func()) {
	j.all.Go(func() {
		j.turns <- struct{}{}
		defer func() { <-j.turns }()
		work()
	})
}
