package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"time"

	"kdgate/dingtalk"
	"kdgate/gateway"
	"kdgate/internal/config"
	"kdgate/jobs"
	"kdgate/jobs/lease"
	"kdgate/jobs/schedule"
	"kdgate/store"
)

// openQueue makes the work list, which commands look at too.
func (c *Core) openQueue() error {
	var err error
	c.queue, err = jobs.New(jobs.Config{
		Store: c.store, Recorder: recorder{c.log, c.metrics}, Observer: c.metrics, Owner: c.options.Replica,
		Alone: c.options.Config.Store.Driver == "sqlite", Now: c.options.Now,
	})
	return err
}

// openWorkshop makes what works in the background: the schedule, which one
// replica runs, and the pool, which all of them do.
func (s *Server) openWorkshop() error {
	held, err := lease.New(lease.Config{Store: s.store, Name: "schedule", Owner: s.options.Replica, Now: s.options.Now, Log: s.options.Logger})
	if err != nil {
		return err
	}
	var tasks []schedule.Task
	if cfg := s.options.Config.Directory; cfg.On() {
		spec, err := schedule.Parse(cfg.Every)
		if err != nil {
			return fmt.Errorf("directory.every: %w", err)
		}
		tasks = append(tasks, schedule.Task{Name: taskDirectory, Spec: spec, Do: s.compare})
	}
	s.schedule, err = schedule.New(schedule.Config{
		Store: s.store, Lease: held, Recorder: recorder{s.log, s.metrics}, Tasks: tasks, Now: s.options.Now, Log: s.options.Logger,
	})
	if err != nil {
		return err
	}
	s.pool, err = jobs.NewPool(jobs.PoolConfig{Queue: s.queue, Kinds: s.directoryKinds(), Log: s.options.Logger})
	return err
}

// workshop is the background work; each ends with its context.
func (s *Server) workshop() []func(context.Context) {
	told := func(what string, run func(context.Context) error) func(context.Context) {
		return func(ctx context.Context) {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				s.options.Logger.Error("background work ended", "what", what, "error", err)
			}
		}
	}
	return []func(context.Context){told("schedule", s.schedule.Run), told("jobs", s.pool.Run), s.listenToEvents, s.showLag}
}

// listenToEvents keeps an event stream open for every organisation that wants
// one, and changes over when the configuration does.
func (s *Server) listenToEvents(ctx context.Context) {
	for ctx.Err() == nil {
		r := s.rooms.Load()
		inner, stop := context.WithCancel(ctx)
		var group sync.WaitGroup
		for corp := range r.eventCorps("stream") {
			stream := r.vendors.dingtalk[corp].api.Stream(dingtalk.StreamConfig{})
			group.Go(func() {
				if err := stream.Run(inner, func(ctx context.Context, e dingtalk.Event) error { return s.takeEvent(ctx, e) }); err != nil && inner.Err() == nil {
					s.options.Logger.Error("event stream ended", "corp", corp, "error", err)
				}
			})
		}
		select {
		case <-ctx.Done():
		case <-r.left:
		}
		stop()
		group.Wait()
	}
}

// eventCorps are the organisations whose events anything here acts on, and that
// get them this way.
func (r *rooms) eventCorps(way string) map[string]config.Corp {
	list := map[string]config.Corp{}
	for _, corp := range r.config.Corps {
		if corp.Events == way && r.config.Directory.On() && r.config.Directory.Corp == corp.ID {
			list[corp.ID] = corp
		}
	}
	return list
}

// takeEvent hands an event to whoever acts on it. When it returns nil the event
// is on the work list, where a crash cannot lose it (R36).
func (s *Server) takeEvent(ctx context.Context, e dingtalk.Event) error {
	r := s.rooms.Load()
	if keeper := r.keepers()[e.Corp]; keeper != nil && r.config.Directory.Mode == "on" {
		if err := keeper.Take(ctx, e); err != nil {
			return err
		}
	}
	s.options.Logger.Debug("event", "corp", e.Corp, "type", e.Type, "via", string(e.Via), "id", e.ID)
	return nil
}

// mountEvents opens the callback door of every organisation that uses it.
func (s *Server) mountEvents(r *rooms, front *gateway.Gateway) error {
	for id, corp := range r.eventCorps("callback") {
		set, err := callbackSet(corp, s.options.Now)
		if err != nil {
			return fmt.Errorf("corp %s: callback: %w", id, err)
		}
		front.Handle("POST /callback/dingtalk/"+id, &gateway.Events{
			Receiver: &callbackDoor{server: s, set: set, client: r.vendors.dingtalk[id].api}, Recorder: recorder{s.log, s.metrics},
		})
	}
	return nil
}

func callbackSet(corp config.Corp, now func() time.Time) (dingtalk.CallbackSet, error) {
	owner := corp.Callback.OwnerKey
	if owner == "" {
		owner = corp.AppKey
	}
	current, err := dingtalk.NewCallback(dingtalk.CallbackConfig{
		Token: corp.Callback.Token, AESKey: corp.Callback.AESKey, Owner: owner, Now: now,
	})
	if err != nil {
		return dingtalk.CallbackSet{}, err
	}
	set := dingtalk.CallbackSet{Corp: corp.ID, Current: current}
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
}

// seenLife is how long a delivery is known, so that a replay does nothing (T65).
const seenLife = 48 * time.Hour

// Receive implements gateway.EventReceiver.
func (d *callbackDoor) Receive(ctx context.Context, query url.Values, body []byte) ([]byte, error) {
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

// take keeps what the event asks for, then that it came: a crash in between
// makes it come twice, which is one and the same item.
func (d *callbackDoor) take(ctx context.Context, delivery dingtalk.Delivery) error {
	if delivery.Event.Check() {
		return nil
	}
	seen := d.seenKeys(delivery)
	for _, key := range seen {
		_, err := d.server.store.Get(ctx, key)
		if err == nil {
			return nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	d.client.CountEvent(ctx, delivery.Event)
	if err := d.server.takeEvent(ctx, delivery.Event); err != nil {
		return err
	}
	var ops []store.Op
	for _, key := range seen {
		op := store.Put(key, []byte(strconv.FormatInt(d.server.options.Now().Unix(), 10)))
		op.Lifetime = seenLife
		ops = append(ops, op)
	}
	return d.server.store.Commit(ctx, ops...)
}

// seenKeys name a delivery by its ciphertext, and by what happened where that
// says when: two happenings without a time would look alike.
func (d *callbackDoor) seenKeys(delivery dingtalk.Delivery) []string {
	prefix := "event/" + d.set.Corp + "/"
	keys := []string{prefix + hex.EncodeToString(delivery.Digest[:])}
	if !delivery.Event.At.IsZero() {
		happened := sha256.Sum256([]byte(delivery.Event.Key()))
		keys = append(keys, prefix+"key/"+hex.EncodeToString(happened[:]))
	}
	return keys
}
