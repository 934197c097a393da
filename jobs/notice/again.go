package notice

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"kdgate/identity"
	"kdgate/jobs"
	"kdgate/store"
)

// ErrNotMissed refuses to send again what everybody has, or what was sent again
// already.
var ErrNotMissed = errors.New("notice: nobody is left who was given nothing")

// Again writes new letters, with the words of one that is over, to those who
// were given nothing. They have their own place in the list; the old one names
// the first of them. A letter that is not over is for the work list to do again.
func (o *Outbox) Again(ctx context.Context, key string) (Delivery, error) {
	old, err := o.Letter(ctx, key)
	if err != nil {
		return Delivery{}, err
	}
	missed := old.Delivery.Missed()
	if len(missed) == 0 || old.Delivery.Again != "" {
		return Delivery{}, &identity.Error{Kind: identity.Conflict, Err: ErrNotMissed}
	}
	list, err := old.rewritten(missed)
	if err != nil {
		return Delivery{}, err
	}
	now := o.now()
	for i := range list {
		list[i].Created = now
		list[i].ID = letterID(old.Delivery.Corp, "again/"+list[i].ID, 0)
	}
	for i := len(list) - 1; i > 0; i-- { // those that went along first: the last one says that it is done
		if err := o.post(ctx, &list[i], false, nil); err != nil {
			return Delivery{}, err
		}
	}
	old.Delivery.Again = list[0].ID
	record, err := old.Delivery.op(now)
	if err != nil {
		return Delivery{}, err
	}
	return newDelivery(&list[0]), o.post(ctx, &list[0], len(list) == 1, []store.Op{record})
}

// rewritten are the letters that left as old, to the missed alone.
func (old *Letter) rewritten(missed []string) ([]letter, error) {
	var c course
	var own letter
	if len(old.Item.Payload) == 0 || json.Unmarshal(old.Item.Payload, &own) != nil || len(own.Route) == 0 {
		return nil, identity.Fail(identity.NotFound, identity.CodeNotFound, "notice: the words of %s are no longer kept", old.Delivery.ID)
	}
	list := []letter{own}
	if len(old.Item.Step.Data) > 0 && json.Unmarshal(old.Item.Step.Data, &c) == nil && len(c.Letters) > 0 {
		list = c.Letters
	}
	first := hop{Way: own.Route[0].Way}
	for _, who := range missed {
		way, name, _ := strings.Cut(who, ":")
		if way == string(WayDepartment) {
			id, _ := strconv.ParseInt(name, 10, 64) // we wrote it
			first.Departments = append(first.Departments, id)
			continue
		}
		first.Who = append(first.Who, name)
	}
	for i := range list {
		list[i].Route = append([]hop{first}, own.Route[1:]...)
		list[i].Roles = slices.Clone(old.Delivery.Roles)
	}
	return list, nil
}

// GaveUp marks a letter that a person has given up: who was still to be told
// never will be.
func (o *Outbox) GaveUp(ctx context.Context, key, note string) error {
	l, err := o.Letter(ctx, key)
	if err != nil {
		return err
	}
	if l.Item.State != jobs.GivenUp {
		return nil // somebody has it done again meanwhile
	}
	l.Delivery.markAll(Waiting, Recipient{State: Failed, Why: note})
	l.Delivery.settle()
	record, err := l.Delivery.op(o.now())
	if err != nil {
		return err
	}
	if err := o.cfg.Store.Commit(ctx, record); err != nil {
		return storeError(err)
	}
	return nil
}
