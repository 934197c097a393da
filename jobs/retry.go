package jobs

import (
	"crypto/rand"
	"errors"
	"math/big"
	"strings"
	"time"
	"unicode/utf8"

	"kdgate/identity"
	"kdgate/internal/lazyregexp"
)

// Retry says how often and how fast work that failed is tried again. The zero
// value is the default.
type Retry struct {
	// Tries is how many attempts may fail before the item is dead; 4 by
	// default: the first and three automatic retries (F63).
	Tries int
	// First is the delay after the first failure; every further one is three
	// times as long, at most Max, all with jitter. 1 s and 5 min by default.
	First, Max time.Duration
	// Patience is how long an item waits for a peer that is away or throttles,
	// which uses up no tries; 24 h by default (R19).
	Patience time.Duration
	// Losses is how many workers in a row may die on an item, without one step
	// made, before it is dead: work that kills its worker must not do so for
	// ever. 10 by default.
	Losses int
}

func (r Retry) withDefaults() Retry {
	if r.Tries <= 0 {
		r.Tries = 4
	}
	if r.First <= 0 {
		r.First = time.Second
	}
	if r.Max <= 0 {
		r.Max = 5 * time.Minute
	}
	if r.Patience <= 0 {
		r.Patience = 24 * time.Hour
	}
	if r.Losses <= 0 {
		r.Losses = 10
	}
	return r
}

// delay is the back-off after the nth failure. Half of it is chance, so that what
// failed together does not come back together. failsafe-go computes its delays
// only inside a call that it repeats itself; here days may lie between two tries.
func (r Retry) delay(n int) time.Duration {
	base := r.First
	for i := 1; i < n && base < r.Max; i++ {
		base *= 3
	}
	base = min(base, r.Max)
	return base - base/4 + time.Duration(random(int64(base/2)))
}

// random is a number from 0 to below n.
func random(n int64) int64 {
	if n <= 1 {
		return 0
	}
	drawn, err := rand.Int(rand.Reader, big.NewInt(n))
	if err != nil {
		return 0 // since Go 1.24 the reader does not fail
	}
	return drawn.Int64()
}

// hint is an error with advice for the list.
type hint struct {
	err       error
	permanent bool
	until     time.Time
	words     string
}

func (h *hint) Error() string { return h.err.Error() }
func (h *hint) Unwrap() error { return h.err }

// Permanent marks err as one that no repeat will mend: the item is dead at once.
func Permanent(err error) error { return &hint{err: err, permanent: true} }

// Throttled marks err as a peer's wish for silence until a time: the Pool pauses
// the whole kind on every replica, and the item waits without using up a try.
func Throttled(err error, until time.Time) error { return &hint{err: err, until: until} }

// Explain gives err words that a person may see beside its kind and code.
func Explain(err error, words string) error { return &hint{err: err, words: words} }

// advice gathers the hints of err, the outermost first.
func advice(err error) (all hint) {
	all.err = err
	for err != nil {
		h, ok := errors.AsType[*hint](err)
		if !ok {
			return all
		}
		all.permanent = all.permanent || h.permanent
		if all.until.IsZero() {
			all.until = h.until
		}
		if all.words == "" {
			all.words = h.words
		}
		err = h.err
	}
	return all
}

// away reports whether err says nothing about the item, only that somebody could
// not be asked now.
func (h hint) away() bool {
	kind := identity.KindOf(h.err)
	return !h.permanent && (!h.until.IsZero() || kind == identity.Unavailable || kind == identity.Throttled)
}

// FailureOf is how err is shown: its public words and code, and a private text
// without what URLs carry behind their path.
func FailureOf(err error, now time.Time) Failure { return advice(err).failure(trim(now)) }

// failure is how h is kept in the item.
func (h hint) failure(now time.Time) Failure {
	words := h.words
	if words == "" {
		words = identity.KindOf(h.err).String()
	}
	return Failure{At: now, Since: now, Code: identity.CodeOf(h.err), Words: words, Private: private(h.err)}
}

// link finds URLs: what stands before the host, the host with its path, and what
// is behind the path, where codes and tokens are.
var link = lazyregexp.New(`([a-zA-Z][a-zA-Z0-9+.-]*://)([^/\s"'?#]*@)?([^\s"'?#]*)([?#][^\s"']*)?`)

// private is the text of err for administrators. A *url.Error prints the whole
// URL of a call that failed, and with it what must not be seen: of a URL only
// the host and the path stay.
func private(err error) string {
	text := link().ReplaceAllString(err.Error(), "$1$3")
	return clip(strings.ToValidUTF8(text, "\uFFFD"), 1024)
}

// clip cuts text to at most n bytes, at a character's edge.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
