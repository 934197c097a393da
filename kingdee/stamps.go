package kingdee

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"kdgate/identity"
	"kdgate/internal/sleep"
)

// ClaimFunc takes a second for links of one user and tells whether nobody had
// it. A claim is to be remembered for ClaimMemory.
type ClaimFunc func(ctx context.Context, user string, second int64) (first bool, err error)

// LaneFunc tells which lane this replica holds alone, from 0 to OwnLanes-1;
// false when it holds none just now.
type LaneFunc func() (lane int, ok bool)

// Replicas that mint within one second would mint the same single-use link, and
// the second click would meet Kingdee's refusal. So the seconds are dealt out:
// a replica that holds a lane dates its links to the seconds of that lane, and
// asks nobody; all others share the last lane and claim each second.
const (
	OwnLanes = 3
	lanes    = OwnLanes + 1

	// ClaimMemory is longer than a link can be dated back.
	ClaimMemory = 2 * stampMemory * time.Second

	freshTries = 3  // seconds at most that somebody waits behind a start
	claimTries = 30 // bounds how many seconds others may have taken before ours
)

// stamps keeps links of one person apart. A link is used up by its content, so
// two links minted for one user within one second would be one link, and a
// double tap on the icon would end on Kingdee's refusal page. The second one is
// dated a second earlier: the past is inside Kingdee's window, while how far the
// future is admitted is not known.
type stamps struct {
	mu    sync.Mutex
	given map[string][]int64 // user → seconds given out lately
	swept int64
}

const (
	stampMemory = 300 // seconds; also how far back a stamp may be moved: half of Kingdee's default window
	sweepEvery  = 60
)

// next is the moment to sign for user: now, or the nearest free second before.
func (s *stamps) next(user string, now time.Time) int64 {
	stamp, _ := s.pick(user, now, 0, 1, math.MinInt64)
	return stamp
}

// pick is next among the seconds behind after that are lane modulo of; false when
// the one given out was given out before, or may have been, because none is free.
func (s *stamps) pick(user string, now time.Time, lane, of, after int64) (stamp int64, free bool) {
	second := now.Unix()
	s.mu.Lock()
	defer s.mu.Unlock()
	if second-s.swept >= sweepEvery || second < s.swept {
		s.sweep(second)
	}
	recent := slices.DeleteFunc(s.given[user], func(t int64) bool { return second-t > stampMemory || t > second })
	stamp = second - ((second-lane)%of+of)%of
	for slices.Contains(recent, stamp) && second-stamp+of <= stampMemory {
		stamp -= of
	}
	if free = stamp > after && !slices.Contains(recent, stamp); free {
		recent = append(recent, stamp)
	}
	s.given[user] = recent
	return stamp, free
}

// sweep forgets people who have not come for a while.
func (s *stamps) sweep(second int64) {
	s.swept = second
	for user, recent := range s.given {
		if !slices.ContainsFunc(recent, func(t int64) bool { return second-t <= stampMemory }) {
			delete(s.given, user)
		}
	}
}

// fresh is the moment to sign for user that neither this client nor one before it
// has signed: somebody who clicks on both sides of a restart gets two links. In its
// first second a client has none to give and waits for the next.
func (c *Client) fresh(ctx context.Context, user string, now time.Time) (int64, error) {
	for range freshTries {
		age := c.now().Sub(c.cfg.Since)
		if stamp, free := c.stamps.pick(user, now, 0, 1, now.Add(-age).Unix()); free {
			return stamp, nil
		}
		if age > freshTries*time.Second {
			break
		}
		wait := now.Truncate(time.Second).Add(time.Second).Sub(now)
		if err := sleep.For(ctx, wait); err != nil {
			return 0, identity.Fail(identity.Unavailable, identity.CodeKingdeeDown, "kingdee: wait for a second of its own: %w", err)
		}
		now = now.Add(wait)
	}
	return c.stamps.next(user, now), nil
}

// claimed is the moment to sign for user that no replica has signed before.
func (c *Client) claimed(ctx context.Context, user string, now time.Time) (int64, error) {
	switch {
	case c.cfg.Link.Permitcount != "1":
		return c.stamps.next(user, now), nil
	case c.cfg.Claim == nil:
		return c.fresh(ctx, user, now)
	}
	if c.cfg.Lane != nil {
		if lane, ok := c.cfg.Lane(); ok {
			if stamp, free := c.stamps.pick(user, now, int64(lane), lanes, math.MinInt64); free {
				return stamp, nil
			}
		}
	}
	for range claimTries {
		stamp, _ := c.stamps.pick(user, now, OwnLanes, lanes, math.MinInt64) // is marked here too, so the next try is another
		first, err := c.cfg.Claim(ctx, user, stamp)
		if first || err != nil {
			return stamp, err
		}
	}
	return 0, identity.Fail(identity.Unavailable, identity.CodeKingdeeDown,
		"kingdee: %d links for one user within a moment", claimTries)
}
