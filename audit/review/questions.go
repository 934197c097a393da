package review

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"kdgate/audit"
	"kdgate/mapping"
)

// actionLeave is a leaver's cut-off as the directory records it.
const actionLeave audit.Action = "directory.leave"

// proofForm is how the directory writes the times of a cut-off.
const proofForm = "2006-01-02T15:04:05.000Z"

// doors are the details of a cut-off that each close a way in, in order.
var doors = [...]string{"mapping_frozen", "sessions_ended", "kingdee_forbidden"}

// leavers takes the newest proof of each person's cut-off: earlier ones are
// tries. Whoever came in after the last door closed is shown as such.
func (r *Reviewer) leavers(ctx context.Context, s *Sheet) error {
	s.Columns = []string{"person", "left", "mapping_frozen", "sessions_ended", "sessions", "kingdee_forbidden", "last_door", "took", "state"}
	newest := map[string]audit.Record{}
	err := r.each(ctx, s, audit.Query{Action: actionLeave}, func(record audit.Record) {
		if _, known := newest[record.Target]; !known {
			newest[record.Target] = record
		}
	})
	if err != nil {
		return err
	}
	list := slices.SortedFunc(maps.Values(newest), func(a, b audit.Record) int { return b.At.Compare(a.At) })
	for _, record := range list {
		left := proofTime(record, "happened")
		if left.IsZero() {
			left = proofTime(record, "began")
		}
		var last time.Time
		cells := []string{record.Target, Stamp(left)}
		for _, door := range doors {
			at := proofTime(record, door)
			cells = append(cells, Stamp(at))
			if at.After(last) {
				last = at
			}
			if door == "sessions_ended" {
				cells = append(cells, record.Detail["sessions"])
			}
		}
		state, err := r.leaverState(ctx, record, last)
		if err != nil {
			return err
		}
		s.add(append(cells, Stamp(last), took(left, last), state)...)
	}
	return nil
}

// leaverState is closed, open while a door could not be closed, or "used" when
// the person came in after the last one closed.
func (r *Reviewer) leaverState(ctx context.Context, record audit.Record, last time.Time) (string, error) {
	if record.Outcome != audit.OK {
		return "open", nil
	}
	if last.IsZero() {
		return "closed", nil
	}
	_, used, err := r.newest(ctx, record.Target, "", audit.ActionMint, Period{From: last.Add(time.Millisecond), To: r.Now()})
	if used {
		return "used", err
	}
	return "closed", err
}

func proofTime(record audit.Record, name string) time.Time {
	at, err := time.Parse(proofForm, record.Detail[name])
	if err != nil {
		return time.Time{} // a door that was not closed, or had not to be
	}
	return at
}

func took(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return ""
	}
	return to.Sub(from).Round(time.Second).String()
}

// privileged lists the links that were made for rows whose account has rights
// beyond the ordinary.
func (r *Reviewer) privileged(ctx context.Context, s *Sheet) error {
	s.Columns = []string{"time", "person", "data_centre", "login_user", "outcome", "reason", "source", "request_id", "approved_by"}
	var found []audit.Record
	approvals := map[string]string{}
	err := r.rows(ctx, mapping.Filter{Privileged: true}, func(row mapping.Entry) error {
		who := audit.Person(row.Key().Subject())
		approvals[who+" "+row.DataCentre] = approvers(row)
		return r.each(ctx, s, audit.Query{Person: who, Action: audit.ActionMint}, func(record audit.Record) {
			if record.Actor == who && record.DataCentre == row.DataCentre {
				found = append(found, record)
			}
		})
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(found, func(a, b audit.Record) int { return b.At.Compare(a.At) })
	for _, m := range found {
		s.add(Stamp(m.At), m.Actor, m.DataCentre, m.Target, string(m.Outcome), m.Reason, m.Source, m.RequestID, approvals[m.Actor+" "+m.DataCentre])
	}
	return nil
}

func approvers(row mapping.Entry) string {
	var list []string
	for _, stamp := range row.Approvals {
		list = append(list, stamp.By+" "+Stamp(stamp.At))
	}
	return strings.Join(list, "; ")
}

// dormant lists rows in force that were there when the period began and that
// nobody came in by in it.
func (r *Reviewer) dormant(ctx context.Context, s *Sheet) error {
	s.Columns = []string{"person", "data_centre", "staff_number", "login_user", "owner", "privileged", "last_mint", "since"}
	return r.rows(ctx, mapping.Filter{Status: mapping.StatusActive}, func(row mapping.Entry) error {
		if row.Created.At.After(s.From) {
			return nil
		}
		who := audit.Person(row.Key().Subject())
		last, ever, err := r.newest(ctx, who, row.DataCentre, audit.ActionMint, Period{To: s.To})
		if err != nil || ever && !last.At.Before(s.From) {
			return err
		}
		s.add(who, row.DataCentre, row.StaffNumber, row.LoginUser, string(row.Owner), yes(row.Privileged), Stamp(last.At), Stamp(row.Created.At))
		return nil
	})
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// access lists who may come in, by department, with who last decided about it.
func (r *Reviewer) access(ctx context.Context, s *Sheet) error {
	s.Columns = []string{"department", "person", "data_centre", "staff_number", "login_user", "status", "owner", "privileged", "shared", "changed_by", "changed", "approved_by"}
	err := r.rows(ctx, mapping.Filter{}, func(row mapping.Entry) error {
		department := ""
		if r.Department != nil {
			var err error
			if department, err = r.Department(ctx, row.Key().Subject()); err != nil {
				return err
			}
		}
		s.add(department, audit.Person(row.Key().Subject()), row.DataCentre, row.StaffNumber, row.LoginUser, string(row.Status), string(row.Owner),
			yes(row.Privileged), yes(row.Shared), row.Changed.By, Stamp(row.Changed.At), approvers(row))
		return nil
	})
	slices.SortStableFunc(s.Rows, func(a, b []string) int { return cmp.Compare(a[0], b[0]) })
	return err
}

// administrationActs are what changes who administers, or shows who did.
var administrationActs = [...]audit.Action{
	audit.ActionRoleChange, audit.ActionConfigLoad, audit.ActionSecretChange, audit.ActionBreakGlassEnter,
	"console.enter", "console.refuse", "mapping.approve", "mapping.bulk.approve",
}

// administration lists who administers now, then what happened about it.
func (r *Reviewer) administration(ctx context.Context, s *Sheet) error {
	s.Columns = []string{"time", "person", "action", "outcome", "target", "reason", "source"}
	for _, a := range r.Administrators {
		s.add("", a.Person, a.Role, "", "", "", "")
	}
	var found []audit.Record
	for _, action := range administrationActs {
		if err := r.each(ctx, s, audit.Query{Action: action}, func(record audit.Record) { found = append(found, record) }); err != nil {
			return err
		}
	}
	slices.SortStableFunc(found, func(a, b audit.Record) int { return b.At.Compare(a.At) })
	for _, e := range found {
		s.add(Stamp(e.At), e.Actor, string(e.Action), string(e.Outcome), e.Target, e.Reason, e.Source)
	}
	return nil
}

// failed are the sign-ins of one kind.
type failed struct {
	who, reason string
	count       int
	sources     map[string]bool
	first, last time.Time
}

// failures counts sign-ins and launches that failed, by person and reason, the
// most frequent first.
func (r *Reviewer) failures(ctx context.Context, s *Sheet) error {
	s.Columns = []string{"person", "reason", "count", "first", "last", "source"}
	groups := map[string]*failed{}
	count := func(record audit.Record) {
		key := record.Actor + "\x00" + record.Reason
		group := groups[key]
		if group == nil {
			group = &failed{who: record.Actor, reason: record.Reason, sources: map[string]bool{}, first: record.At, last: record.At}
			groups[key] = group
		}
		group.count++
		if record.At.Before(group.first) {
			group.first = record.At
		}
		if record.At.After(group.last) {
			group.last = record.At
		}
		if len(group.sources) < 5 {
			group.sources[record.Source] = true
		}
	}
	for _, action := range [...]audit.Action{audit.ActionSignIn, audit.ActionMint} {
		for _, outcome := range [...]audit.Outcome{audit.Refused, audit.Failed} {
			if err := r.each(ctx, s, audit.Query{Action: action, Outcome: outcome}, count); err != nil {
				return err
			}
		}
	}
	list := slices.SortedFunc(maps.Values(groups), func(a, b *failed) int {
		return cmp.Or(b.count-a.count, cmp.Compare(a.who, b.who), cmp.Compare(a.reason, b.reason))
	})
	for _, g := range list {
		s.add(cmp.Or(g.who, "—"), g.reason, strconv.Itoa(g.count), Stamp(g.first), Stamp(g.last), strings.Join(slices.Sorted(maps.Keys(g.sources)), " "))
	}
	return nil
}
