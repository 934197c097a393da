package notice

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"kdgate/identity"
	"kdgate/internal/lazyregexp"
	"kdgate/jobs"
	"kdgate/store"
)

// Survey is what was told since a time, newest first, as it stands now.
type Survey struct {
	Deliveries []Delivery `json:"deliveries"`
	More       bool       `json:"more"` // there were more than was asked for
}

// Survey reads at most so many deliveries of all organisations since a time.
// Those whose item is a dead letter, or was given up, say so in Work.
func (o *Outbox) Survey(ctx context.Context, since time.Time, most int) (Survey, error) {
	stuck, err := o.stuck(ctx)
	if err != nil {
		return Survey{}, err
	}
	var s Survey
	for after := ""; ; {
		entries, err := o.cfg.Store.Scan(ctx, prefixLog, after, store.MaxPage)
		if err != nil {
			return Survey{}, storeError(err)
		}
		for _, entry := range entries {
			d, err := readDelivery(entry)
			switch {
			case err != nil:
				return Survey{}, err
			case d.Created.Before(since):
				return s, nil
			case len(s.Deliveries) == most:
				s.More = true
				return s, nil
			}
			d.Work = stuck[d.ID]
			s.Deliveries = append(s.Deliveries, d)
		}
		if len(entries) < store.MaxPage {
			return s, nil
		}
		after = entries[len(entries)-1].Key
	}
}

// mostStuck bounds how many dead letters of a state are looked up.
const mostStuck = 2000

// stuck are the letters that nobody works any more, by id.
func (o *Outbox) stuck(ctx context.Context) (map[string]jobs.State, error) {
	found := map[string]jobs.State{}
	for _, state := range []jobs.State{jobs.Dead, jobs.GivenUp} {
		for after, seen := "", 0; seen < mostStuck; {
			page, err := o.cfg.Queue.List(ctx, jobs.Filter{State: state, Kind: Kind}, after, 200)
			if err != nil {
				return nil, err
			}
			for _, it := range page.Items {
				found[it.Key] = state
				seen++
			}
			if after = page.After; after == "" {
				break
			}
		}
	}
	return found, nil
}

// Key names a delivery in addresses and commands.
func (d *Delivery) Key() string { return fmt.Sprintf("%d-%s", d.Created.UnixMicro(), d.ID) }

var keyPattern = lazyregexp.New(`^([0-9]{1,16})-([a-z0-9]{1,64})$`)

// Letter is a delivery with what its item still knows of it.
type Letter struct {
	Delivery Delivery  `json:"delivery"`
	Text     string    `json:"text,omitempty"` // Markdown; empty: no longer kept
	Link     string    `json:"link,omitempty"`
	Item     jobs.Item `json:"item"` // zero: no longer kept
}

// Letter gives what Key names.
func (o *Outbox) Letter(ctx context.Context, key string) (Letter, error) {
	parts := keyPattern().FindStringSubmatch(key)
	if parts == nil {
		return Letter{}, refused(fmt.Errorf("%.80q names no message", key))
	}
	micros, _ := strconv.ParseInt(parts[1], 10, 64) // the pattern has read it
	entry, err := o.cfg.Store.Get(ctx, logKey(time.UnixMicro(micros), parts[2]))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Letter{}, identity.Fail(identity.NotFound, identity.CodeNotFound, "notice: no message %s", key)
	case err != nil:
		return Letter{}, storeError(err)
	}
	var l Letter
	if l.Delivery, err = readDelivery(entry); err != nil {
		return Letter{}, err
	}
	l.Item, err = o.cfg.Queue.Get(ctx, jobs.ID{Kind: Kind, Key: l.Delivery.ID})
	switch {
	case identity.KindOf(err) == identity.NotFound:
		return l, nil
	case err != nil:
		return Letter{}, err
	}
	var payload letter
	if json.Unmarshal(l.Item.Payload, &payload) == nil { // of a person's edit: shown as it is on the work list
		l.Text, l.Link = payload.Text, payload.Link
	}
	if l.Item.State == jobs.Dead || l.Item.State == jobs.GivenUp {
		l.Delivery.Work = l.Item.State
	}
	return l, nil
}

// Missed are the recipients who were given nothing, as an Address is written.
func (d *Delivery) Missed() []string {
	var list []string
	for _, r := range d.Recipients {
		if r.State == Dropped || r.State == Failed || r.State == Unclear {
			list = append(list, r.Who)
		}
	}
	return list
}
