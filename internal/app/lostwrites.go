package app

import (
	"context"
	"slices"
	"time"

	"kdgate/audit"
	"kdgate/jobs/approval/rulebook"
	"kdgate/mapping"
	"kdgate/mapping/consent"
	"kdgate/store"
)

const (
	lostEvery = 10 * time.Second // six times within the minute that R14 allows
	lostBack  = 15 * time.Minute // longer than any failover forgets
	lostKeys  = 32               // of one row that may be older than what was seen
)

// rightAtAnyAge begin the keys of what a failover may put back without harm: work
// that is looked up before it is done again, leases with their fences, what we last
// knew of others, and counts. Everything that opens a door, or says who decided
// what, is not among them.
func rightAtAnyAge() []string {
	return []string{
		"job/", "lease/", "schedule/", "directory/", "approval/bill/", "approval/seen/", "approval/version/", "approval/versions/",
		"notice/", "check/", "quota/", "quotaday/", "lane/", presencePrefix,
		"access/",         // wishes: what comes of one is a row, which has its own rules
		"approval/tried/", // that a version came out well once stays so
		"session-of/",     // only says which sessions there are to end; each is judged by its own record
	}
}

// edition is store.SealConfig.Edition of all rooms that have one.
func edition(key string, value []byte) uint64 {
	return max(mapping.Edition(key, value), consent.Edition(key, value)) // each knows its own keys
}

// recoverLost puts back in force what shuts somebody or something out and a shared
// store forgot: a failover promotes a replica that lacks the last moment, and who
// was suspended in it would come in again. The audit log has it, each replica that
// of all, and it is no part of Redis (R14).
func (s *Server) recoverLost(ctx context.Context) {
	ticker := time.NewTicker(lostEvery)
	defer ticker.Stop()
	for {
		for _, pass := range []struct {
			run    func(context.Context) error
			failed string
		}{
			{s.recoverSuspensions, "suspensions could not be compared with the audit log; tried again"},
			{s.mendRows, "a row that the store put back could not be mended; tried again when it is asked for"},
			{s.recoverWithdrawals, "consents could not be compared with the audit log; tried again"},
			{s.recoverRules, "rules of approvals could not be compared with the audit log; tried again"},
		} {
			if err := pass.run(ctx); err != nil && ctx.Err() == nil {
				s.options.Logger.Warn(pass.failed, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// recent are the records of some acts of late, the oldest first: of each act the
// newest 1,000 at most, because every pass compares them with the store.
func (c *Core) recent(ctx context.Context, actions ...audit.Action) ([]audit.Record, error) {
	var all []audit.Record
	for _, action := range actions {
		records, err := c.log.Search(ctx, audit.Query{Action: action, From: c.options.Now().Add(-lostBack), Limit: 1000})
		if err != nil {
			return nil, err
		}
		slices.Reverse(records)
		all = append(all, records...)
	}
	slices.SortStableFunc(all, func(a, b audit.Record) int { return a.At.Compare(b.At) })
	return all, nil
}

// recoverWithdrawals is one pass over the consents that were taken back.
func (c *Core) recoverWithdrawals(ctx context.Context) error {
	records, err := c.recent(ctx, consent.ActionWithdraw)
	if err != nil {
		return err
	}
	for _, r := range records {
		changed, err := c.consents.Reassert(ctx, r)
		if err != nil {
			return err
		}
		if changed {
			c.options.Logger.Warn("the store forgot that a consent was withdrawn, as a failover does; it is withdrawn again", "person", r.Target, "withdrawn_at", r.At)
		}
	}
	return nil
}

// recoverRules is one pass over the decisions about rules of approvals.
func (c *Core) recoverRules(ctx context.Context) error {
	records, err := c.recent(ctx, rulebook.Actions()...)
	if err != nil {
		return err
	}
	changed, err := c.rulebook.Reassert(ctx, records)
	if changed > 0 {
		c.options.Logger.Warn("the store put decisions about rules of approvals back, as a failover does; what the audit log does not say is off", "entries", changed)
	}
	return err
}

// recoverSuspensions is one pass.
func (c *Core) recoverSuspensions(ctx context.Context) error {
	records, err := c.recent(ctx, audit.ActionMappingSuspend)
	if err != nil {
		return err
	}
	j := mapping.NewJournal()
	for _, r := range records {
		_ = j.Take(r) // has no error to give
	}
	for _, row := range j.Rows() {
		changed, err := c.reapply(ctx, row)
		if err != nil {
			return err
		}
		if changed {
			c.options.Logger.Warn("the store forgot a suspension, as a failover does; it is in force again",
				"row", row.Key().String(), "suspended_at", row.Changed.At)
		}
	}
	return nil
}

// mendRows puts right all rows that a failover put back, once one was met. Who
// clicks does not wait for it.
func (c *Core) mendRows(ctx context.Context) error {
	if !c.rowsBack.Load() {
		return nil
	}
	mended, err := c.Table().Mend(ctx)
	c.rowsBack.Store(false) // also what the pass itself met: what is left is met again by whoever asks
	if mended > 0 {
		c.options.Logger.Warn("the store put rows back to older versions, as a failover does; they are mended", "rows", mended)
	}
	return err
}

// witness is the audit log, and the store below its own doubts, for rows that a
// failover put back (R14).
type witness struct{ *Core }

// mostTold bounds the records of one person and act that are looked at.
const mostTold = 100

// At implements mapping.Witness.
func (w witness) At(ctx context.Context, k mapping.Key, version uint64) (mapping.Entry, bool, error) {
	var records []audit.Record
	for _, action := range mapping.RowActions() {
		some, err := w.log.Search(ctx, audit.Query{Person: audit.Person(k.Subject()), Action: action, Limit: mostTold})
		if err != nil {
			return mapping.Entry{}, false, err
		}
		records = append(records, some...)
	}
	then, told := mapping.RecordedAt(records, k, version)
	return then, told, nil
}

// AsFound implements mapping.Witness.
func (w witness) AsFound() store.Store { return w.sealed.AsFound() }

// reapply brings a row to what the log says. Entries that the store put back
// are renewed on the way: they would be refused here for as long as this
// process remembers the lost ones.
func (c *Core) reapply(ctx context.Context, row mapping.Entry) (changed bool, err error) {
	by := mapping.Actor{Name: audit.System}
	for range lostKeys {
		changed, err = c.Table().Reapply(ctx, by, row)
		key, outdated := store.OutdatedKey(err)
		if !outdated {
			return changed, err
		}
		if err := c.sealed.Renew(ctx, key); err != nil {
			return false, err
		}
	}
	return false, err
}
