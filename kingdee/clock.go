package kingdee

import (
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
	k.known, k.skew = true, skew
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

// check refuses when the clocks are known to differ by the window or more.
func (k *clock) check(window time.Duration) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known && k.skew.Abs() >= window {
		return identity.Fail(identity.Misconfigured, identity.CodeKingdeeSetup,
			"kingdee: its clock is %s ahead of ours, a link would be refused: set both to one time source (NTP)", k.skew)
	}
	return nil
}
