package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/errgroup"

	"kdgate/identity"
	"kdgate/store"
)

// walk is a Run at work.
type walk struct {
	*Keeper
	run      *Run
	progress Progress
	tree     tree
	known    *roll
	readings *readings
	given    map[string]Given // staff numbers given by hand, by userid
	agrees   map[string]bool  // who has agreed; nil: nobody is asked
	drifted  map[string]bool  // staff numbers whose drift waits

	besides sync.WaitGroup // what nobody waits for before the run ends

	mu   sync.Mutex
	news map[string]bool // who was seen, and is not on the roll
	next int             // number of the next page
}

// page is what one page of the address book came to: who was seen, and whose
// record is to be written. It is kept in the store, so that a run that dies
// goes on behind it.
type page struct {
	Department int64    `json:"department"`
	Next       int64    `json:"next"` // cursor behind this page
	Last       bool     `json:"last,omitzero"`
	Seen       []string `json:"seen,omitempty"`
	Write      []Staff  `json:"write,omitempty"`
	Back       []Staff  `json:"back,omitempty"` // left before, and here again
	Aside      []Note   `json:"aside,omitempty"`
	Same       int      `json:"same,omitzero"`
	Bytes      int      `json:"bytes,omitzero"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

func (w *walk) pageKey(n int) string {
	return fmt.Sprintf("%s%s/%s/%0*d", pagePrefix, w.cfg.Corp, w.run.ID, pageDigits, n)
}

// pageDigits is the length of a page's number at the end of its key.
const pageDigits = 8

// through goes through the phases that are left.
func (w *walk) through(ctx context.Context) error {
	defer w.besides.Wait()
	for _, phase := range []struct {
		name Phase
		work func(context.Context) error
	}{
		{PhaseRead, w.read}, {PhaseJudge, w.judge}, {PhaseWrite, w.write}, {PhaseLeave, w.leave}, {PhaseDrift, w.drift},
	} {
		if w.run.Phase != phase.name {
			continue
		}
		began := w.cfg.Now()
		if err := phase.work(ctx); err != nil {
			return err
		}
		w.cfg.Logger.Debug("directory: phase", "run", w.run.ID, "phase", string(phase.name), "took", w.cfg.Now().Sub(began))
		after := w.nextPhase(phase.name)
		if after == "" {
			return nil
		}
		w.run.Phase = after
		if err := w.save(ctx, *w.run); err != nil {
			return err
		}
	}
	return nil
}

// nextPhase is empty at the end; a dry run ends when everything is known.
func (w *walk) nextPhase(done Phase) Phase {
	order := []Phase{PhaseRead, PhaseJudge, PhaseWrite, PhaseLeave, PhaseDrift}
	at := slices.Index(order, done) + 1
	if at == len(order) || w.run.Dry && done == PhaseWrite {
		return ""
	}
	return order[at]
}

// judge decides what the run may do, from the pages it kept.
func (w *walk) judge(ctx context.Context) error {
	if err := w.recall(ctx); err != nil {
		return err
	}
	w.run.Counts = Counts{Headcount: w.run.Counts.Headcount, Departments: w.run.Counts.Departments}
	w.run.Notes = slices.DeleteFunc(w.run.Notes, func(n Note) bool { return n.Who != "" })
	claims := claims{first: map[string]string{}, more: map[string][]string{}}
	if err := w.pages(ctx, func(_ string, p page) error { w.count(p, claims); return nil }); err != nil {
		return err
	}
	for known := range w.known.each() { // a leaver's too: whoever gets their number next would get their login user (T19)
		if _, sought := claims.first[known.number]; sought {
			claims.add(known.number, known.userid)
		}
	}
	if len(claims.more) > 0 {
		if err := w.refuseTwice(ctx, claims); err != nil {
			return err
		}
	}
	return w.findLeavers(ctx)
}

// claims are the userids that are to have a staff number, and those that have
// one of these. A number that nobody is to have is nobody's question.
type claims struct {
	first map[string]string
	more  map[string][]string // of the few numbers with several, those behind the first
}

func (c claims) add(number, userid string) {
	first, there := c.first[number]
	switch {
	case !there:
		c.first[number] = userid
	case first != userid && !slices.Contains(c.more[number], userid):
		c.more[number] = append(c.more[number], userid)
	}
}

// of are all who claim a number.
func (c claims) of(number string) []string {
	return append([]string{c.first[number]}, c.more[number]...)
}

// recall reads again what read knew, in a run that was taken up behind it.
func (w *walk) recall(ctx context.Context) error {
	if w.known != nil {
		return nil
	}
	var err error
	if w.known, err = w.everybody(ctx); err != nil {
		return err
	}
	_, err = w.takeUp(ctx)
	return err
}

func (w *walk) pages(ctx context.Context, fn func(key string, p page) error) error {
	return scan(ctx, w.cfg.Store, pagePrefix+w.cfg.Corp+"/"+w.run.ID+"/", func(entry store.Entry) error {
		p, err := decode[page](entry)
		if err != nil {
			return err
		}
		return fn(entry.Key, p)
	})
}

func (w *walk) count(p page, claims claims) {
	c := &w.run.Counts
	c.Pages++
	c.Bytes += int64(p.Bytes)
	c.People += len(p.Seen)
	c.Same += p.Same
	c.SetAside += len(p.Aside)
	c.Waiting += len(p.Back)
	for _, note := range p.Aside {
		if note.Words == errNoConsent.Error() {
			c.NoConsent++
		}
		w.run.note(note.Who, note.Words)
	}
	c.Differ += len(p.Write)
	for _, s := range p.Write {
		claims.add(s.Number, s.UserID)
	}
}

// refuseTwice takes people off the pages whose staff number somebody else has
// or is to have: a number leads to a login user, so neither may win by chance.
func (w *walk) refuseTwice(ctx context.Context, claims claims) error {
	return w.pages(ctx, func(key string, p page) error {
		kept := p.Write[:0:0]
		for _, s := range p.Write {
			others := w.stillClaimed(claims.of(s.Number), s)
			if len(others) == 0 {
				kept = append(kept, s)
				continue
			}
			w.run.Counts.Differ--
			w.run.Counts.SetAside++
			w.run.note(s.UserID, fmt.Sprintf("%s:%s(%s)", errTwice.Error(), s.Number, others[0]))
		}
		if len(kept) == len(p.Write) {
			return nil
		}
		p.Write = kept
		op, err := put(key, p, 0)
		if err != nil {
			return err
		}
		return w.cfg.Store.Commit(ctx, op)
	})
}

// stillClaimed are the others that a number belongs to.
func (w *walk) stillClaimed(userids []string, s Staff) []string {
	if known := w.known.of(s.UserID); known.Number == s.Number && known.Print != "" {
		return nil // theirs already; the newcomer is the one to be set aside
	}
	return slices.DeleteFunc(userids, func(userid string) bool { return userid == s.UserID })
}

// gone is a page of leavers.
type gone struct {
	UserIDs []string `json:"userids"`
}

// findLeavers asks DingTalk about everybody who is known and was not seen. One
// whom DingTalk still has, or may not show us, is no leaver.
func (w *walk) findLeavers(ctx context.Context) error {
	var missing []string
	active := 0
	for known := range w.known.each() {
		if !known.gone {
			if active++; !known.seen {
				missing = append(missing, known.userid)
			}
		}
	}
	slices.Sort(missing)
	left := make([]bool, len(missing))
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(w.cfg.Readers)
	for i, userid := range missing {
		group.Go(func() error {
			_, err := w.cfg.Source.Person(inner, userid)
			switch identity.KindOf(err) {
			case identity.NotFound:
				left[i] = true
			case identity.Forbidden:
			default:
				if err != nil {
					return fmt.Errorf("directory: whether %s has left: %w", userid, err)
				}
			}
			w.progress(PhaseJudge, i+1, len(missing))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var leavers []string
	for i, userid := range missing {
		if left[i] {
			leavers = append(leavers, userid)
		}
	}
	w.run.Counts.Left, w.run.Counts.Outside = len(leavers), len(missing)-len(leavers)
	if err := w.keepGone(ctx, leavers); err != nil {
		return err
	}
	return w.admit(len(leavers), active)
}

// admit is the breaker (F55, R46). A person's word counts for exactly the
// number it was given for, or fewer.
func (w *walk) admit(leavers, known int) error {
	if w.run.Dry || w.cfg.Breaker.admits(leavers, known) || leavers <= w.run.Allowed {
		return nil
	}
	w.run.Why = fmt.Sprintf("本次有 %d 人离职,超过保护阈值(已知 %d 人);核对后须由管理员确认", leavers, known)
	return errBreaker
}

// goneSize is how many leavers stand on one page.
const goneSize = 500

func (w *walk) keepGone(ctx context.Context, leavers []string) error {
	n := 0
	for chunk := range slices.Chunk(leavers, goneSize) {
		op, err := put(fmt.Sprintf("%s%s/%s/%08d", gonePrefix, w.cfg.Corp, w.run.ID, n), gone{chunk}, 0)
		if err != nil {
			return err
		}
		told := make([]Change, 0, len(chunk)) // whoever has to agree must see them
		for _, userid := range chunk {
			known := w.known.of(userid)
			told = append(told, Change{UserID: userid, Number: known.Number, Name: known.Name, Kind: Cut})
		}
		diff, err := put(fmt.Sprintf("%s%s/%s/left-%08d", changePrefix, w.cfg.Corp, w.run.ID, n), told, keepRuns)
		if err != nil {
			return err
		}
		if err := w.cfg.Store.Commit(ctx, op, diff); err != nil {
			return fmt.Errorf("directory: keep the leavers: %w", err)
		}
		n++
	}
	return nil
}

// leave puts every leaver on the work list; the cut-off itself is Leave's.
func (w *walk) leave(ctx context.Context) error {
	done := 0
	return scan(ctx, w.cfg.Store, gonePrefix+w.cfg.Corp+"/"+w.run.ID+"/", func(entry store.Entry) error {
		chunk, err := decode[gone](entry)
		if err != nil {
			return err
		}
		for _, userid := range chunk.UserIDs {
			if err := w.addLeaver(ctx, userid, w.run.ID, true); err != nil {
				return err
			}
			done++
			w.progress(PhaseLeave, done, w.run.Counts.Left)
		}
		return nil
	})
}

// publicWords are the words of an error that a person may see.
func publicWords(err error) string {
	if e, ok := errors.AsType[*identity.Error](err); ok && e.Code != "" {
		return string(e.Code)
	}
	return err.Error()
}
