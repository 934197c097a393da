package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"kdgate/audit"
	"kdgate/dingtalk"
	"kdgate/gateway"
	"kdgate/internal/config"
	"kdgate/jobs"
	"kdgate/jobs/schedule"
)

// mountEvents opens the callback door of every organisation that uses it.
func (s *Server) mountEvents(r *rooms, front *gateway.Gateway) error {
	for id, corp := range r.eventCorps("callback") {
		set, err := callbackSet(corp, s.options.Now)
		if err != nil {
			return fmt.Errorf("corp %s: callback: %w", id, err)
		}
		senders, err := prefixes(corp.Callback.Senders)
		if err != nil {
			return fmt.Errorf("corp %s: callback: senders: %w", id, err)
		}
		front.Handle("POST /callback/dingtalk/"+id, &gateway.Events{
			Receiver: &callbackDoor{
				server: s, set: set, client: r.vendors.dingtalk[id].api, senders: senders, within: corp.Callback.ReplyWithin,
			},
			Recorder: s.log, Refused: s.metrics.CallbackRefused(id),
		})
	}
	return nil
}

func callbackSet(corp config.Corp, now func() time.Time) (dingtalk.CallbackSet, error) {
	owner := corp.CallbackOwner()
	current, err := dingtalk.NewCallback(dingtalk.CallbackConfig{
		Token: corp.Callback.Token, AESKey: corp.Callback.AESKey, Owner: owner, Now: now,
	})
	if err != nil {
		return dingtalk.CallbackSet{}, err
	}
	set := dingtalk.CallbackSet{Corp: corp.ID, Current: current, Window: corp.Callback.MaxAge}
	if corp.Callback.Old.Token.IsZero() {
		return set, nil
	}
	set.Previous, err = dingtalk.NewCallback(dingtalk.CallbackConfig{
		Token: corp.Callback.Old.Token, AESKey: corp.Callback.Old.AESKey, Owner: owner, Now: now,
	})
	if err != nil {
		return set, fmt.Errorf("old: %w", err)
	}
	set.Until, err = corp.Callback.Old.Ends()
	return set, err
}

// callbackDoor is one organisation's events by HTTP.
type callbackDoor struct {
	server *Server
	set    dingtalk.CallbackSet
	client *dingtalk.Client

	senders []netip.Prefix // empty: anybody, the signature proves who it is
	within  time.Duration  // an answer after DingTalk has given up is none
}

// Receive implements gateway.EventReceiver.
func (d *callbackDoor) Receive(ctx context.Context, query url.Values, body []byte) ([]byte, error) {
	if !d.admits(gateway.SourceOf(ctx)) {
		return nil, fmt.Errorf("%w: from an address that is none of callback.senders", gateway.ErrEventRefused)
	}
	ctx, cancel := context.WithTimeout(ctx, d.within)
	defer cancel()
	delivery, err := d.set.Receive(query, body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", gateway.ErrEventRefused, err)
	}
	if err := d.take(ctx, delivery); err != nil {
		return nil, err
	}
	reply, err := delivery.Reply()
	if err != nil {
		return nil, err
	}
	return json.Marshal(reply)
}

func (d *callbackDoor) admits(source string) bool {
	addr, err := netip.ParseAddr(source)
	return len(d.senders) == 0 || err == nil && slices.ContainsFunc(d.senders, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}

func (d *callbackDoor) take(ctx context.Context, delivery dingtalk.Delivery) error {
	if delivery.Event.Check() {
		return nil
	}
	fresh, err := d.server.keep(ctx, delivery.Event, d.seenKeys(delivery))
	if fresh {
		d.client.CountEvent(delivery.Event)
	}
	return err
}

// seenKeys name a delivery by its ciphertext, and by what happened where that
// says when: two happenings without a time would look alike.
func (d *callbackDoor) seenKeys(delivery dingtalk.Delivery) []string {
	keys := []string{"event/" + d.set.Corp + "/" + hex.EncodeToString(delivery.Digest[:])}
	return append(keys, happenedKeys(delivery.Event)...)
}

// happenedKeys name what happened, when it says at what time.
func happenedKeys(e dingtalk.Event) []string {
	if e.At.IsZero() {
		return nil
	}
	happened := sha256.Sum256([]byte(e.Key()))
	return []string{"event/" + e.Corp + "/key/" + hex.EncodeToString(happened[:])}
}

// pullRounds bounds one pull: 200 events each, so what failed in any outage is
// picked up within one run (R43).
const pullRounds = 500

// pullFailed picks up the events whose callback failed, of every organisation
// that has them that way. Events are kept before the next are asked for; those
// that came after all, or are told twice, do nothing.
func (c *Core) pullFailed(ctx context.Context, p *schedule.Progress) error {
	r := c.rooms.Load()
	var wrong []error
	for corp := range r.heardCorps("callback") {
		if err := c.pullFailedOf(ctx, r.vendors.dingtalk[corp].api.Background(), p); err != nil {
			wrong = append(wrong, fmt.Errorf("corp %s: %w", corp, err))
		}
	}
	return errors.Join(wrong...)
}

func (c *Core) pullFailedOf(ctx context.Context, client *dingtalk.Client, p *schedule.Progress) error {
	for range pullRounds {
		events, more, err := client.FailedEvents(ctx)
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := c.takeFailed(ctx, client, e, p); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
	return fmt.Errorf("more than %d events failed; the rest waits for the next run: %w", pullRounds*200, schedule.ErrPartial)
}

func (c *Core) takeFailed(ctx context.Context, client *dingtalk.Client, e dingtalk.Event, p *schedule.Progress) error {
	p.Add(1)
	if e.Type == "" { // what it was the next comparison finds
		p.Count("unreadable", 1)
		c.options.Logger.Warn("an event that failed cannot be read", "corp", e.Corp, "bytes", len(e.Raw))
		return nil
	}
	fresh, err := c.keep(ctx, e, happenedKeys(e))
	switch {
	case err != nil:
		return err
	case !fresh:
		p.Count("known", 1)
		return nil
	}
	client.CountEvent(e)
	p.Count("taken", 1)
	return nil
}

// pullFresh is how recent a pull makes another one at a start needless.
const pullFresh = 5 * time.Minute

// pullFailedAtStart asks for what failed while nobody was here to listen.
func (s *Server) pullFailedAtStart(ctx context.Context) {
	if len(s.rooms.Load().heardCorps("callback")) == 0 {
		return
	}
	runs, _, err := s.schedule.Runs(ctx, taskFailed, "", 1)
	if err == nil && len(runs) > 0 && s.options.Now().Sub(runs[0].Began) < pullFresh {
		return
	}
	if err == nil {
		err = s.schedule.RunNow(ctx, jobs.Actor{Name: audit.System}, taskFailed)
	}
	if err != nil && !errors.Is(err, schedule.ErrRunning) && ctx.Err() == nil {
		s.options.Logger.Warn("events that failed are asked for later", "error", err)
	}
}
