package app

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"kdgate/gateway"
	"kdgate/jobs"
	"kdgate/jobs/hr"
	"kdgate/jobs/schedule"
	"kdgate/store"
)

// taskDrop is the look into HR's folder, and dropEvery when it is.
const (
	taskDrop  = "hr-drop"
	dropEvery = "@every 1m"
)

// hrDesk takes what HR says; nil when it says nothing here.
func (c *Core) hrDesk(r *rooms) *hr.Desk {
	cfg := r.config.HR
	if !cfg.On() {
		return nil
	}
	return &hr.Desk{
		Corp: cfg.Corp, People: r.vendors.dingtalk[cfg.Corp].api.Background(), Queue: c.queue, Recorder: c.log,
		Breaker: hr.Breaker{Share: cfg.Breaker.Share, Least: cfg.Breaker.Least},
	}
}

// hrKinds is the kind of work that HR's words are.
func (c *Core) hrKinds() []jobs.Kind {
	return []jobs.Kind{{Name: hr.Kind, Handler: jobs.HandlerFunc(func(ctx context.Context, w *jobs.Work) error {
		desk := c.hrDesk(c.rooms.Load())
		if desk == nil {
			return jobs.Permanent(errors.New("hr is not configured any more"))
		}
		return desk.Handle(ctx, w)
	})}}
}

// hrTasks is the look into the folder, where there is one.
func (c *Core) hrTasks() ([]schedule.Task, error) {
	if c.options.Config.HR.Drop == "" {
		return nil, nil
	}
	spec, err := schedule.Parse(dropEvery)
	if err != nil {
		return nil, err
	}
	return []schedule.Task{{Name: taskDrop, Spec: spec, Do: c.takeDrop}}, nil
}

func (c *Core) takeDrop(ctx context.Context, p *schedule.Progress) error {
	r := c.rooms.Load()
	desk := c.hrDesk(r)
	if desk == nil || r.config.HR.Drop == "" {
		return nil
	}
	accepted, refused, err := (&hr.Drop{Dir: r.config.HR.Drop, Desk: desk, Now: c.options.Now}).Take(ctx)
	p.Count("accepted", int64(accepted))
	p.Count("refused", int64(refused))
	return err
}

// mountHR opens HR's door where a secret is configured.
func (s *Server) mountHR(r *rooms, front *gateway.Gateway) {
	if r.config.HR.Secret.IsZero() {
		return
	}
	front.Handle("POST /hr/"+r.config.HR.Corp, &gateway.Signed{
		Receiver: hrDoor{s.hrDesk(r), s.store}, Secret: r.config.HR.Secret, Old: r.config.HR.OldSecret, Now: s.options.Now,
	})
}

// hrDoor is HR's way in by HTTP.
type hrDoor struct {
	desk  *hr.Desk
	store store.Store
}

// Take implements gateway.SignedReceiver.
func (d hrDoor) Take(ctx context.Context, r gateway.SignedRequest) error {
	seen := "event/hr/" + hex.EncodeToString(r.Digest[:])
	_, err := d.store.Get(ctx, seen)
	if !errors.Is(err, store.ErrNotFound) {
		return err // nil: a replay, which could bring back a word that a later one took back
	}
	list, err := hr.ParseJSON(r.Body)
	if err == nil {
		err = d.desk.Accept(ctx, hr.Origin{Name: "hr:http", Source: r.Source, RequestID: r.RequestID}, list)
	}
	switch {
	case errors.Is(err, hr.ErrBatch):
		return fmt.Errorf("%w: %w", gateway.ErrSignedContent, err)
	case err != nil:
		return err
	}
	known := store.Put(seen, []byte("1"))
	known.Lifetime = gateway.SignedMemory
	return d.store.Commit(ctx, known)
}
