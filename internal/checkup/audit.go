package checkup

import (
	"context"
	"fmt"
	"time"

	"kdgate/audit"
)

// Log is what is looked at of the audit log.
type Log struct {
	Ping   func(ctx context.Context) error
	Chains func(ctx context.Context) ([]audit.Chain, error)
	Anchor func() error            // why the newest checkpoint is not at every anchor
	Feeds  map[string]func() error // what carries records away
	Away   bool                    // an anchor off this host is configured
	Now    func() time.Time
}

// unsworn is how old a record may be that no checkpoint names: one is signed
// once a minute.
const unsworn = 5 * time.Minute

// AuditPeer tests the log: that it can be written, that checkpoints are signed
// and reach the anchor, and that the feeds are not behind.
func AuditPeer(l Log) Peer {
	return Peer{Name: "audit", Test: func(ctx context.Context) []Item {
		var items []Item
		if err := l.Ping(ctx); err != nil {
			items = append(items, Broken("writable", "audit-down", err))
		} else {
			items = append(items, good("writable", ""))
		}
		chains, err := l.Chains(ctx)
		if err != nil {
			return append(items, Broken("chains", "audit-down", err))
		}
		for _, chain := range chains {
			items = append(items, chainItem(chain, l.Now()))
		}
		items = append(items, anchorItem(l))
		for name, wrong := range l.Feeds {
			item := good("feed "+name, "")
			if err := wrong(); err != nil {
				item.Status, item.Cause, item.Detail = Fault, "audit-feed", err.Error()
			}
			items = append(items, item)
		}
		return items
	}}
}

func chainItem(c audit.Chain, now time.Time) Item {
	item := good("chain "+c.Replica, fmt.Sprintf("%d records, sworn up to %d", c.Last, c.Sworn))
	if c.Last > c.Sworn && now.Sub(c.LastAt) > unsworn {
		item.Status, item.Cause = Warning, "audit-unsworn"
	}
	return item
}

func anchorItem(l Log) Item {
	if err := l.Anchor(); err != nil {
		return Broken("anchor", "audit-anchor", err)
	}
	if !l.Away {
		return Item{Check: "anchor", Status: Warning, Cause: "audit-no-anchor"}
	}
	return good("anchor", "")
}
