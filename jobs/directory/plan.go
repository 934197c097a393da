package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/store"
)

// Budget is what DingTalk's limits, as they are configured and as DingTalk has
// told us, leave to the address book.
type Budget struct {
	PerMinute int           // calls; not positive: no limit
	Rest      time.Duration // how long nothing may be asked at all
}

// Plan says when the next comparison fits into a Budget.
type Plan struct {
	Calls int           // that one needs, by the last that ended; 0: not known
	Every time.Duration // the shortest time between two that the budget allows
	Next  time.Time     // not before; zero: whenever
	Words string        // why, for administrators; empty when nothing is held back
}

// share is the part of the address-book calls that comparisons may take. The
// rest is for events, which have to reach Kingdee within seconds (R47).
const share = 0.5

// Plan estimates what a comparison costs and when the budget has it again. It
// asks only the store.
func (k *Keeper) Plan(ctx context.Context, b Budget) (Plan, error) {
	now := k.cfg.Now()
	var p Plan
	runs, err := k.Runs(ctx, 1)
	if err != nil {
		return p, err
	}
	if len(runs) == 1 {
		p.Calls = runs[0].calls()
		if b.PerMinute > 0 {
			minutes := float64(p.Calls) / (share * float64(b.PerMinute))
			p.Every = time.Duration(minutes * float64(time.Minute)).Round(time.Second)
		}
		if next := runs[0].Began.Add(p.Every); next.After(now) {
			p.Next = next
			p.Words = fmt.Sprintf("a comparison takes about %d calls, and %d a minute are allowed, half of them for events: one every %s",
				p.Calls, b.PerMinute, p.Every)
		}
	}
	if b.Rest > 0 && now.Add(b.Rest).After(p.Next) {
		p.Next = now.Add(b.Rest)
		p.Words = fmt.Sprintf("DingTalk has asked for silence for another %s", b.Rest.Round(time.Second))
	}
	return p, nil
}

// calls is what a run asked of DingTalk, roughly: the children of every
// department, its pages, those who were not seen, and those who drifted.
func (r Run) calls() int {
	c := r.Counts
	return 2 + c.Departments + max(c.Pages, c.Departments) + c.Left + c.Outside + c.Drift
}

// order is an Order as it waits for whoever runs the tasks.
type order struct {
	By    string    `json:"by"`
	Dry   bool      `json:"dry,omitzero"`
	Real  bool      `json:"real,omitzero"`
	Allow int       `json:"allow,omitzero"`
	At    time.Time `json:"at"`
}

// Ordered is the purpose of a run that somebody has placed an order for. Where
// the order is no longer there the run is not the one that was asked for.
const Ordered = "order"

// orderLife is how long an order waits to be taken.
const orderLife = 10 * time.Minute

func (k *Keeper) orderKey() string { return orderPrefix + k.cfg.Corp }

// Place leaves an order for the next run, on whichever replica that is. One that
// waits already is not replaced, the kind is Conflict: whoever asked for a
// preview must never get a run for real because somebody else asked at the same
// moment and took theirs back.
func (k *Keeper) Place(ctx context.Context, o Order) error {
	text, err := json.Marshal(order{o.By.Name, o.Dry, o.Real, o.Allow, k.cfg.Now()})
	if err != nil {
		return wrap(err)
	}
	err = k.cfg.Store.Commit(ctx, store.Create(k.orderKey(), text).For(orderLife))
	if errors.Is(err, store.ErrConflict) {
		return identity.Fail(identity.Conflict, identity.CodeChangedBetween, "directory: another order waits to be taken: %w", err)
	}
	return wrap(err)
}

// Placed takes the order that was left; false when there is none.
func (k *Keeper) Placed(ctx context.Context) (Order, bool, error) {
	entry, err := k.cfg.Store.Get(ctx, k.orderKey())
	if errors.Is(err, store.ErrNotFound) {
		return Order{}, false, nil
	}
	if err != nil {
		return Order{}, false, wrap(err)
	}
	o, err := decode[order](entry)
	if err != nil {
		return Order{}, false, err
	}
	if err := k.cfg.Store.Commit(ctx, store.DeleteAt(k.orderKey(), entry.Version)); err != nil {
		return Order{}, false, wrap(err)
	}
	return Order{By: jobs.Actor{Name: o.By}, Dry: o.Dry, Real: o.Real, Allow: o.Allow}, true, nil
}
