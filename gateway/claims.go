package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"kdgate/identity"
	"kdgate/internal/randomid"
	"kdgate/internal/strictjson"
	"kdgate/store"
)

const (
	claimPrefix = "code/"
	claimLife   = 30 * time.Minute       // longer than DingTalk keeps a code, so a replay always meets its claim
	replayLife  = 5 * time.Minute        // how long the same browser gets the same answer (F4)
	waitLimit   = 8 * time.Second        // how long a loser waits for the winner (R18)
	pollEvery   = 250 * time.Millisecond // should a watch be late or lost
)

// claim is the right to exchange one code, and later what came of it. The code
// itself is not in it, and neither is anything that opens a session: the
// session's token derives from Random and the browser's own cookie.
type claim struct {
	Browser string              `json:"browser"` // keyed hash of the browser cookie
	Random  string              `json:"random"`
	At      time.Time           `json:"at"`
	Done    bool                `json:"done,omitempty"`
	Who     *identity.Assertion `json:"who,omitempty"`  // done, and proven
	Kind    identity.Kind       `json:"kind,omitempty"` // done, and failed
	Code    identity.Code       `json:"code,omitempty"`

	key     string
	version store.Version
	opened  bool // its session was opened in the same commit
}

// failed is the remembered failure, nil when the person was proven.
func (c claim) failed() error {
	if c.Who != nil {
		return nil
	}
	return identity.Fail(c.Kind, c.Code, "the exchange of this code failed")
}

// claims keeps them in the store, shared by every replica.
type claims struct {
	store store.Store
	now   func() time.Time
	rand  io.Reader
}

// claimKey names the claim of a code without telling the code. It is the code's
// alone: presented at the other door, or for another organisation, it is the same
// code, and is not sent upstream again (T1).
func claimKey(k keys, code identity.Secret) string { return claimPrefix + k.hex("code", code.Reveal()) }

// take claims key for the sign-in st: the claim is created and the state is
// used up in one commit, so one state never carries two codes. won is false
// when somebody was first, with this code or with another in the same state;
// elsewhere are the names of the same code's claim under other secrets.
func (c *claims) take(ctx context.Context, key string, st signIn, states *states, elsewhere ...string) (mine claim, won bool, err error) {
	random, err := randomid.New(c.rand)
	if err != nil {
		return claim{}, false, err
	}
	mine = claim{Browser: st.Browser, Random: random, At: c.now().UTC(), key: key}
	text, err := json.Marshal(mine)
	if err != nil {
		return claim{}, false, fmt.Errorf("gateway: claim: %w", err)
	}
	used, err := states.use(st, key, mine.At)
	if err != nil {
		return claim{}, false, err
	}
	ops := []store.Op{store.Create(key, text).For(claimLife), used}
	for _, other := range elsewhere {
		ops = append(ops, store.CheckAbsent(other))
	}
	err = c.store.Commit(ctx, ops...)
	if err == nil {
		return mine, true, nil
	}
	if errors.Is(err, store.ErrConflict) {
		return claim{}, false, nil
	}
	return c.afterUnknown(ctx, mine, err)
}

// afterUnknown reads before repeating: after "could not ask" the commit may
// have happened, and then the claim in the store is ours.
func (c *claims) afterUnknown(ctx context.Context, mine claim, cause error) (claim, bool, error) {
	found, err := c.get(ctx, mine.key)
	if err == nil && sameText(found.Random, mine.Random) {
		return found, true, nil
	}
	return claim{}, false, storeFault(cause)
}

func (c *claims) get(ctx context.Context, key string) (claim, error) {
	entry, err := c.store.Get(ctx, key)
	if err != nil {
		return claim{}, err
	}
	var found claim
	if err := strictjson.Decode(entry.Value, &found); err != nil {
		return claim{}, fmt.Errorf("gateway: claim record: %w", err)
	}
	found.key, found.version = key, entry.Version
	return found, nil
}

// outcome is the write that remembers what came of a claim, for whoever waits
// and for repeats.
func (c *claims) outcome(done claim) (store.Op, error) {
	done.Done = true
	text, err := json.Marshal(done)
	if err != nil {
		return store.Op{}, fmt.Errorf("gateway: claim: %w", err)
	}
	return store.Put(done.key, text).For(claimLife), nil
}

// settle writes an outcome that opens no session.
func (c *claims) settle(ctx context.Context, outcome store.Op) error {
	if err := c.store.Commit(ctx, outcome); err != nil {
		return storeFault(err)
	}
	return nil
}

// errAbandoned is a claim whose winner has not settled it in time: it died, or
// DingTalk did not answer it. Whether the code was used is not known.
var errAbandoned = identity.Fail(identity.Unavailable, identity.CodeDingTalkDown, "claim without outcome")

// await gives the settled claim under key to the browser that made it, waiting
// for a winner that is still at work, on this replica or another.
func (c *claims) await(ctx context.Context, key, browser string, exchange time.Duration) (claim, error) {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	changed, err := c.store.Watch(ctx, key)
	if err != nil {
		changed = nil // a nil channel never speaks; polling goes on
	}
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		found, err := c.judge(ctx, key, browser, exchange)
		if err != nil || found.Done {
			return found, err
		}
		select {
		case <-ctx.Done():
			return claim{}, errAbandoned
		case _, open := <-changed:
			if !open {
				changed = nil
			}
		case <-poll.C:
		}
	}
}

// judge reads a claim once: whose it is, whether it is too old, whether it was abandoned.
func (c *claims) judge(ctx context.Context, key, browser string, exchange time.Duration) (claim, error) {
	found, err := c.get(ctx, key)
	switch {
	case ctx.Err() != nil:
		return claim{}, errAbandoned
	case errors.Is(err, store.ErrNotFound):
		return claim{}, expired("claim is gone")
	case err != nil:
		return claim{}, storeFault(err)
	}
	age := c.now().Sub(found.At)
	switch {
	case !sameText(found.Browser, browser):
		return claim{}, identity.Fail(identity.Unauthenticated, identity.CodeAuthCodeRefused, "code was used by another browser")
	case found.Done && age > replayLife:
		return claim{}, expired("outcome too old")
	case !found.Done && age >= exchange+time.Second:
		return claim{}, errAbandoned
	default:
		return found, nil
	}
}
