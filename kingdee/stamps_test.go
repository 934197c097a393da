package kingdee

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
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
	for i := range int64(stampMemory) {
		shared.taken[fmt.Sprint("wangwu", now.Unix()-i)] = true
	}
	if _, err := replica(nil).MintSharedLink(t.Context(), "wangwu", Place{}); identity.KindOf(err) != identity.Unavailable {
		t.Errorf("every second taken by others: %v", err)
	}
}
