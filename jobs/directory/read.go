package directory

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sync/errgroup"

	"kdgate/dingtalk"
	"kdgate/store"
)

// read walks every department and keeps each page.
func (w *walk) read(ctx context.Context) error {
	first, asking := errgroup.WithContext(ctx) // DingTalk and the store at the same time
	first.Go(func() error {
		if err := w.look(asking); err != nil {
			return err
		}
		return w.remember(asking)
	})
	first.Go(func() error { return w.knownBeforehand(asking) })
	if err := first.Wait(); err != nil {
		return err
	}
	w.recognise()
	done, err := w.takeUp(ctx)
	if err != nil {
		return err
	}
	w.readings.part = len(done) > 0
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(w.cfg.Readers)
	ids := w.tree.ids()
	for i, id := range ids {
		at, ok := done[id]
		if ok && at.Last {
			continue
		}
		group.Go(func() error {
			err := w.department(inner, id, at.Next)
			w.progress(PhaseRead, i+1, len(ids))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	met := w.readings
	w.besides.Go(func() { w.keepReadings(ctx, met) })
	w.readings, w.news = nil, nil // they have served, and are large where everybody is new
	return nil
}

// look asks what may be seen and reads the departments.
func (w *walk) look(ctx context.Context) error {
	scopes, err := w.scopes(ctx)
	if err != nil {
		return err
	}
	w.run.Whole = scopes.WholeCompany
	from := w.cfg.Rules.Scope
	if len(from) == 0 && !scopes.WholeCompany {
		from = scopes.Departments
		w.run.note("", "应用的通讯录权限范围不是全部员工,范围外的人不处理")
	}
	list, err := w.cfg.Source.Departments(ctx, from...)
	if err != nil {
		return errors.Join(fmt.Errorf("directory: the departments: %w", err), w.forgetScopes(ctx))
	}
	w.tree = newTree(list)
	w.rememberTree(w.tree)
	w.run.Counts.Departments = len(list)
	if w.run.Counts.Headcount, err = w.cfg.Source.Headcount(ctx, false); err != nil {
		return fmt.Errorf("directory: the headcount: %w", err)
	}
	return nil
}

// knownBeforehand reads what is known of everybody and the numbers given by hand.
func (w *walk) knownBeforehand(ctx context.Context) error {
	if err := errors.Join(w.gifts(ctx), w.consents(ctx)); err != nil {
		return err
	}
	var err error
	w.known, err = w.everybody(ctx)
	return err
}

// takeUp reads the pages that this run has kept already and gives how far each
// department is.
func (w *walk) takeUp(ctx context.Context) (map[int64]page, error) {
	w.news = map[string]bool{}
	done := map[int64]page{}
	err := scan(ctx, w.cfg.Store, pagePrefix+w.cfg.Corp+"/"+w.run.ID+"/", func(entry store.Entry) error {
		p, err := decode[page](entry)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(entry.Key[len(entry.Key)-pageDigits:])
		if err != nil {
			return fmt.Errorf("directory: %s is no page: %w", entry.Key, err)
		}
		w.next = n + 1 // a page before it may be missing: its reader had not kept it yet
		for _, userid := range p.Seen {
			w.see(userid)
		}
		done[p.Department] = page{Department: p.Department, Next: p.Next, Last: p.Last || done[p.Department].Last}
		return nil
	})
	return done, err
}

// department reads one to its end. While the next page is asked for, the one
// before is on its way into the store, and no more than that one: a process that
// dies has lost a page of each reader.
func (w *walk) department(ctx context.Context, id, from int64) (err error) {
	last := false
	var before keeping
	defer func() { err = errors.Join(err, before.done()) }()
	for got, failed := range w.cfg.Source.Strangers(ctx, id, from, w.readings.familiar) {
		if failed != nil {
			return fmt.Errorf("directory: the members of department %d: %w", id, failed)
		}
		op, err := w.compared(got)
		if err := errors.Join(err, before.done()); err != nil {
			return err
		}
		before, last = w.keepPage(ctx, op), got.Last
	}
	if !last && ctx.Err() == nil {
		return fmt.Errorf("directory: department %d was not read to its end", id)
	}
	return ctx.Err()
}

// keeping is a page on its way into the store; nil when none is.
type keeping chan error

// done waits until it is there. It is told once.
func (k *keeping) done() error {
	if *k == nil {
		return nil
	}
	err := <-*k
	*k = nil
	return err
}

func (w *walk) keepPage(ctx context.Context, op store.Op) keeping {
	done := make(keeping, 1)
	go func() {
		err := w.cfg.Store.Commit(ctx, op)
		if err != nil {
			err = fmt.Errorf("directory: keep a page: %w", err)
		}
		done <- err
	}()
	return done
}

// compared is a page with what its people come to beside what is known.
func (w *walk) compared(got dingtalk.Page) (store.Op, error) {
	p := page{Department: got.Department, Next: got.Next, Last: got.Last, Bytes: got.Bytes}
	p.Seen = make([]string, 0, len(got.People)+len(got.Familiar))
	n, again := w.meet(&p, got)
	var elsewhere page // where those stand who were on another page before
	come := make([]reading, len(got.People))
	for i := range got.People {
		at := &p
		if again[i] {
			at = &elsewhere
		}
		come[i] = w.compare(at, &got.People[i].Person)
	}
	w.mu.Lock()
	for i := range come {
		w.readings.note(got.People[i].Text, come[i])
	}
	w.mu.Unlock()
	return put(w.pageKey(n), p, 0)
}

// meet notes who is on a page, counts those whose text is familiar, and gives the
// page's number and which of the others were on another page before.
func (w *walk) meet(p *page, got dingtalk.Page) (n int, again []bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, text := range got.Familiar {
		if known := w.readings.meet(text); !known.seen {
			known.seen = true
			p.Seen = append(p.Seen, known.userid)
			p.Same++
		}
	}
	again = make([]bool, len(got.People))
	for i := range got.People {
		userid := got.People[i].UserID
		if again[i] = !w.see(userid); !again[i] {
			p.Seen = append(p.Seen, userid)
		}
	}
	n = w.next
	w.next++
	return n, again
}

// compare puts a person where they belong on the page and gives what their text
// has come to, nothing where they are set aside. The roll is not written while a
// run reads.
func (w *walk) compare(p *page, person *dingtalk.Person) reading {
	known := w.known.get(person.UserID)
	if known == nil {
		known = &rolled{}
	}
	come := reading{
		userid: person.UserID, given: w.given[person.UserID].Number, home: w.tree.home(person, known.home), agreed: w.agrees[person.UserID],
	}
	s, err := w.cfg.Rules.staffOf(person, come.home, come.given)
	if err == nil {
		s, err = w.cfg.permit(s, come.agreed)
	}
	if err != nil {
		p.Aside = append(p.Aside, Note{person.UserID, err.Error()})
		return reading{}
	}
	come.print = s.print()
	switch {
	case known.gone:
		p.Back = append(p.Back, s)
	case known.print == come.print:
		p.Same++
	default:
		p.Write = append(p.Write, s)
	}
	return come
}

// see reports whether a person is seen for the first time. The caller holds mu.
func (w *walk) see(userid string) bool {
	known := w.known.get(userid)
	if known == nil {
		first := !w.news[userid]
		w.news[userid] = true
		return first
	}
	first := !known.seen
	known.seen = true
	return first
}
