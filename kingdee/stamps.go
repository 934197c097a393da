package kingdee

import (
	"context"
	"slices"
	"sync"
	"time"

	"kdgate/identity"
)

// ClaimFunc takes a second for links of one user and tells whether nobody had
// it: two replicas that mint within one second would mint the same single-use
// link, and the second click would meet Kingdee's refusal. A claim is to be
// remembered for ClaimMemory.
type ClaimFunc func(ctx context.Context, user string, second int64) (first bool, err error)

// ClaimMemory is longer than a link can be dated back.
const ClaimMemory = 2 * stampMemory * time.Second

// claimTries bounds how many seconds others may have taken before ours.
const claimTries = 30

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
	second := now.Unix()
	s.mu.Lock()
	defer s.mu.Unlock()
	if second-s.swept >= sweepEvery || second < s.swept {
		s.sweep(second)
	}
	recent := slices.DeleteFunc(s.given[user], func(t int64) bool { return second-t > stampMemory || t > second })
	stamp := second
	for slices.Contains(recent, stamp) && second-stamp < stampMemory {
		stamp--
	}
	if !slices.Contains(recent, stamp) {
		recent = append(recent, stamp)
	}
	s.given[user] = recent
	return stamp
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

// claimed is the moment to sign for user that no replica has signed before.
func (c *Client) claimed(ctx context.Context, user string, now time.Time) (int64, error) {
	stamp := c.stamps.next(user, now)
	if c.cfg.Claim == nil || c.cfg.Link.Permitcount != "1" {
		return stamp, nil
	}
	for range claimTries {
		first, err := c.cfg.Claim(ctx, user, stamp)
		if first || err != nil {
			return stamp, err
		}
		stamp = c.stamps.next(user, now) // the second is marked here too by now
	}
	return 0, identity.Fail(identity.Unavailable, identity.CodeKingdeeDown,
		"kingdee: %d links for one user within a moment", claimTries)
}
