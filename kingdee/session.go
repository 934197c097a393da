package kingdee

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// session is one Web API session. Whoever holds it owns it: one session serves
// one call at a time (reference 2.4).
type session struct {
	id     string    // kdservice-sessionid, a credential; empty: not logged in
	seq    uint64    // number of the login that made it
	served int       // calls answered since that login
	used   time.Time // last answer
}

// sessions lends sessions out, the latest used first, so that a quiet gateway
// keeps one warm instead of several dying.
type sessions struct {
	slots *semaphore.Weighted
	jobs  *semaphore.Weighted // held by jobs on top: one slot fewer than there are
	size  int64

	mu     sync.Mutex
	idle   []*session
	logins uint64 // logins so far

	alone    bool // Kingdee ends the older session of one user: use one only
	kicks    int
	lastKick time.Time
}

func newSessions(size int) *sessions {
	return &sessions{
		slots: semaphore.NewWeighted(int64(size)), size: int64(size),
		jobs: semaphore.NewWeighted(int64(max(size-1, 1))),
	}
}

// takeForJob is take for a call that nobody waits for. Jobs queue among
// themselves first: they leave one session to people, and where there is one
// session only, or Kingdee bears no second, a person waits for one call of a job
// at most.
func (p *sessions) takeForJob(ctx context.Context) (*session, func(), error) {
	if err := p.jobs.Acquire(ctx, 1); err != nil {
		return nil, nil, fmt.Errorf("kingdee: jobs before this one: %w", err)
	}
	s, giveBack, err := p.take(ctx)
	if err != nil {
		p.jobs.Release(1)
		return nil, nil, err
	}
	return s, func() { giveBack(); p.jobs.Release(1) }, nil
}

// take waits for a free session. The function gives it back.
func (p *sessions) take(ctx context.Context) (*session, func(), error) {
	weight := int64(1)
	p.mu.Lock()
	if p.alone {
		weight = p.size
	}
	p.mu.Unlock()
	if err := p.slots.Acquire(ctx, weight); err != nil {
		return nil, nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &session{}
	if last := len(p.idle) - 1; last >= 0 {
		s, p.idle = p.idle[last], p.idle[:last]
	}
	return s, func() {
		p.mu.Lock()
		if !p.alone || len(p.idle) == 0 {
			p.idle = append(p.idle, s)
		}
		p.mu.Unlock()
		p.slots.Release(weight)
	}, nil
}

// loggedIn notes a new login of s.
func (p *sessions) loggedIn(s *session, id string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.logins++
	s.id, s.seq, s.served, s.used = id, p.logins, 0, now
}

// newest reports whether no login followed the one that made s.
func (p *sessions) newest(s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return s.seq == p.logins
}

// pushedOut reports whether Kingdee seems to end the older session when the
// same user logs in again (isKickOff; the sources differ). A session lost before
// its first answer while another login followed shows it at once; one lost later
// may as well have died in a restart, so that takes three times in ten minutes.
// From then on every call uses one and the same session.
func (p *sessions) pushedOut(untried bool, s *session, now time.Time) bool {
	const times, within = 3, 10 * time.Minute
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.seq == p.logins {
		return false
	}
	if now.Sub(p.lastKick) > within {
		p.kicks = 0
	}
	p.kicks, p.lastKick = p.kicks+1, now
	if !untried && p.kicks < times {
		return false
	}
	p.alone, p.idle = true, nil
	return true
}

// brake holds calls back after an answer that another try would only repeat, or
// make worse: Kingdee locks a user after several failed logins.
type brake struct {
	mu    sync.Mutex
	until time.Time
	why   *Fault
	last  time.Duration
}

// held gives the fault that stopped us, nil when the way is free.
func (b *brake) held(now time.Time) *Fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.why != nil && now.Before(b.until) {
		return b.why
	}
	return nil
}

// pull stops for the time that Kingdee itself has named, else for what the
// decision table gives, doubled when the last stop has not helped; plus an extra
// that keeps replicas apart. What was under way when the stop began says nothing new.
func (b *brake) pull(why *Fault, now time.Time, extra time.Duration) {
	d := why.decision()
	if d.stop == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	again := b.why != nil && b.why.symptom == why.symptom
	if again && now.Before(b.until) {
		return
	}
	stop := d.stop
	switch {
	case why.wait > 0:
		stop = why.wait
	case again && d.stopMax > 0:
		stop = min(2*b.last, d.stopMax)
	}
	b.why, b.until, b.last = why, now.Add(stop+min(extra, stop/2)), stop
}

// release forgets everything after a success.
func (b *brake) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.why, b.until, b.last = nil, time.Time{}, 0
}

// proven forgets a stop that has helped. One that still lasts goes on: the
// success is of a call that was under way when it began.
func (b *brake) proven(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.why != nil && !now.Before(b.until) {
		b.why, b.last = nil, 0
	}
}

// allowOne lets a person who asks for a test try now, but never during a
// lock-out, when each try makes it longer.
func (b *brake) allowOne() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.why != nil && b.why.symptom != lockedOut {
		b.until = time.Time{}
	}
}
