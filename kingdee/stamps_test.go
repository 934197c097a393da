package kingdee

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kdgate/identity"
)

// claims is what replicas share, as a store would keep it.
type claims struct {
	mu    sync.Mutex
	taken map[string]bool
	down  error
}

func (c *claims) claim(_ context.Context, user string, second int64) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := fmt.Sprint(user, second)
	if c.down != nil || c.taken[key] {
		return false, c.down
	}
	c.taken[key] = true
	return true, nil
}

// TestReplicasMintDifferentLinks: one person who clicks through several replicas
// within one second gets as many links, because each can be used once.
func TestReplicasMintDifferentLinks(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	shared := &claims{taken: map[string]bool{}}
	replica := func(change func(*Config)) *Client {
		return linkClient(t, func(cfg *Config) {
			cfg.Now, cfg.Claim = func() time.Time { return now }, shared.claim
			if change != nil {
				change(cfg)
			}
		})
	}
	a, b := replica(nil), replica(nil)
	seen := map[string]bool{}
	for range 5 {
		for _, c := range []*Client{a, b} {
			link, err := c.MintSharedLink(t.Context(), "zhangsan", Place{})
			if err != nil || seen[link.Reveal()] {
				t.Fatalf("link %d: minted before, or %v", len(seen), err)
			}
			seen[link.Reveal()] = true
		}
	}
	if len(shared.taken) != len(seen) {
		t.Errorf("%d seconds taken for %d links", len(shared.taken), len(seen))
	}
	shared.down = errors.New("away")
	if _, err := a.MintSharedLink(t.Context(), "lisi", Place{}); !errors.Is(err, shared.down) {
		t.Errorf("unclaimed: %v", err)
	}
	reusable := replica(func(cfg *Config) { cfg.Link.Permitcount = "0" })
	if _, err := reusable.MintSharedLink(t.Context(), "lisi", Place{}); err != nil {
		t.Errorf("a link that may be used twice needs no claim: %v", err)
	}
	shared.down = nil
	for i := range int64(stampMemory + lanes) {
		shared.taken[fmt.Sprint("wangwu", now.Unix()-i)] = true
	}
	if _, err := replica(nil).MintSharedLink(t.Context(), "wangwu", Place{}); identity.KindOf(err) != identity.Unavailable {
		t.Errorf("every second taken by others: %v", err)
	}
}

// TestLanes: replicas that hold a lane each ask nobody, and meet neither each
// other nor one that holds none; when a lane is used up its holder claims.
func TestLanes(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	shared := &claims{taken: map[string]bool{}}
	replica := func(lane int, holds bool) *Client {
		return linkClient(t, func(cfg *Config) {
			cfg.Now, cfg.Claim = func() time.Time { return now }, shared.claim
			cfg.Lane = func() (int, bool) { return lane, holds }
		})
	}
	seen := map[int64]bool{}
	take := func(c *Client) int64 {
		t.Helper()
		stamp, err := c.claimed(t.Context(), "zhangsan", now)
		if err != nil || seen[stamp] || stamp > now.Unix() || now.Unix()-stamp > stampMemory+lanes {
			t.Fatalf("stamp %d s back, given before %v, %v", now.Unix()-stamp, seen[stamp], err)
		}
		seen[stamp] = true
		return stamp
	}
	own, none := []*Client{replica(0, true), replica(1, true), replica(2, true)}, replica(0, false)
	for range 5 {
		for _, c := range own {
			take(c)
		}
	}
	if len(shared.taken) != 0 {
		t.Errorf("%d claims by those who hold a lane", len(shared.taken))
	}
	if back := now.Unix() - take(none); back >= lanes {
		t.Errorf("the first of the shared lane is %d s back", back)
	}
	if len(shared.taken) != 1 {
		t.Errorf("%d claims by the one without", len(shared.taken))
	}
	for range stampMemory/lanes - 5 + 1 {
		take(own[0])
	}
	before := len(shared.taken)
	if take(own[0]); len(shared.taken) <= before {
		t.Error("a lane that is used up is used again")
	}
}

// TestRestartWithinASecond: who clicks before and after a restart, or a reload,
// gets as many links, because Kingdee takes each once; also where Kingdee's clock
// is not ours, and somebody taps again and again.
func TestRestartWithinASecond(t *testing.T) {
	for name, behind := range map[string]time.Duration{"one clock": 0, "Kingdee's is behind": 90 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			seen := map[int64]bool{}
			for range 4 {
				began := time.Now()
				c := linkClient(t, func(cfg *Config) { cfg.Now, cfg.Since = time.Now, began })
				for tap := range 3 {
					second, err := c.fresh(t.Context(), "zhangsan", time.Now().Add(-behind))
					if err != nil || seen[second] {
						t.Errorf("%s: tap %d: second %d was given before, or %v", name, tap, second, err)
					}
					seen[second] = true
				}
				if took := time.Since(began); took > freshTries*time.Second {
					t.Errorf("%s: three taps took %s", name, took)
				}
			}
		})
	}
}

// TestFreshEnds: who has left is not waited for, and a client that has served for a
// while has every second to give.
func TestFreshEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := linkClient(t, func(cfg *Config) { cfg.Now, cfg.Since = time.Now, time.Now() })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.fresh(ctx, "zhangsan", time.Now()); !errors.Is(err, context.Canceled) {
			t.Errorf("somebody who has left: %v", err)
		}
		time.Sleep(time.Hour)
		began := time.Now()
		for range stampMemory {
			if _, err := c.fresh(t.Context(), "zhangsan", time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("%d links took %s", stampMemory, took)
		}
	})
}
