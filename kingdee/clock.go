package kingdee

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"kdgate/identity"
)

// clock compares this machine's clock with Kingdee's, from the Date header of
// its answers. A link stamped outside Kingdee's window dies on a page that the
// gateway never sees, so the difference is found out here (R49).
type clock struct {
	now func() time.Time
	log *slog.Logger

	mu     sync.Mutex
	known  bool
	skew   time.Duration // Kingdee minus ours
	told   time.Time     // when it was learnt, by our clock
	asked  time.Time     // when ReadClock last asked
	warned bool
}

// note remembers the difference told by an answer. Half the window is worth an
// alert, said once until the clocks agree again.
func (k *clock) note(header http.Header, window time.Duration) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return // no date, no opinion
	}
	skew := date.Sub(k.now()).Round(time.Second)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known, k.skew, k.told = true, skew, k.now()
	off := skew.Abs() >= window/2
	if off && !k.warned {
		k.log.Error("kingdee: clocks differ; links may be refused", "kingdee_ahead_by", skew.String(),
			"advice", "set this machine and the Kingdee server to the same time source (NTP)")
	}
	k.warned = off
}

// slack is what a slow answer and whole seconds may make of two equal clocks.
const slack = 2 * time.Second

// stamp is the moment to sign for: now, or Kingdee's own now when its clock is
// behind ours by less than the window. The past is inside Kingdee's window; how
// far the future is admitted is not known, and a minute of it may be too much
// (R49). A clock ahead of ours changes nothing: nothing is dated into our future.
func (k *clock) stamp(window time.Duration) time.Time {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known && k.skew < -slack && k.skew > -window {
		return now.Add(k.skew)
	}
	return now
}

// trusted is how long a difference that refuses people is believed without
// being told again: nobody stays locked out by a clock that was set meanwhile.
const trusted = time.Minute

// check refuses when the clocks are known to differ by the window or more.
func (k *clock) check(window time.Duration) error {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known && k.skew.Abs() >= window && now.Sub(k.told) < trusted {
		return identity.Fail(identity.Misconfigured, identity.CodeKingdeeSetup,
			"kingdee: its clock is %s ahead of ours, a link would be refused: set both to one time source (NTP)", k.skew)
	}
	return nil
}

// due reports, to one caller, that nothing was learnt and nobody asked lately.
func (k *clock) due(every time.Duration) bool {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	recent := func(at time.Time) bool { age := now.Sub(at); return age >= 0 && age < every }
	if (k.known && recent(k.told)) || recent(k.asked) {
		return false
	}
	k.asked = now
	return true
}

const (
	clockEvery = 10 * time.Second // how old knowledge of Kingdee's clock may be when a link is made
	clockWait  = time.Second      // what asking may cost a person
)

// ReadClock makes sure that what MintLink believes of Kingdee's clock is at most
// ten seconds old: a chain that is remembered asks Kingdee nothing, and a link
// would be dated by old knowledge. One caller asks, with a request that needs no
// session, for a second at most; the others go on. An answer that does not come
// changes nothing.
func (c *Client) ReadClock(ctx context.Context) {
	if !c.clock.due(clockEvery) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, clockWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, c.base.String(), http.NoBody)
	if err != nil {
		return
	}
	req.Header.Set("User-Agent", "kdgate")
	if res, err := c.peer.Do(ctx, req); err == nil {
		c.clock.note(res.Header, c.cfg.Link.Window)
	}
}

// Skew is how far Kingdee's clock is ahead of ours, by its last answer; zero
// before the first.
func (c *Client) Skew() time.Duration {
	c.clock.mu.Lock()
	defer c.clock.mu.Unlock()
	return c.clock.skew
}
