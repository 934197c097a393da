package dingtalk

import (
	"context"
	"iter"
	"maps"
	"net/url"
	"strconv"
	"time"

	"kdgate/identity"
)

// Limits of Yida's listings. The page is the largest in the vendor's examples;
// beyond the 5,000th it refuses to turn the page (its table of error codes).
const (
	yidaPage   = 100
	yidaCursor = 5000
)

// span is a run of days, both ends inside.
type span struct{ from, to time.Time }

// Instances lists the submissions of a form that were changed since a time, each
// once, with their values, as far as Yida can tell: it filters by whole days, so
// that many come again, and which zone's days is not known, so that a day more is
// asked for on either side. Whoever asks keeps a book of what he has seen. What is
// changed while the list is read may be missed until the next time.
// The walk is complete when it ends without an error; an error is its last item.
// Each 100 submissions cost one call of the quota.
func (y *Yida) Instances(ctx context.Context, form YidaForm, since time.Time) iter.Seq2[YidaInstance, error] {
	return func(yield func(YidaInstance, error) bool) {
		now := y.client.theirNow()
		if !ValidYidaForm(form.ID) || now.Sub(since) > instanceOldest {
			yield(YidaInstance{}, identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: submissions are listed by form, at most 364 days back"))
			return
		}
		walk := &yidaWalk{yida: y, form: form, seen: map[string]bool{}, yield: yield}
		// The day of a moment in UTC is never later than in UTC+8.
		walk.span(ctx, span{from: since.UTC(), to: beijing(now)})
	}
}

// yidaWalk is one listing under way.
type yidaWalk struct {
	yida  *Yida
	form  YidaForm
	seen  map[string]bool
	yield func(YidaInstance, error) bool
}

// span walks what was changed on some days; it is false when the walk is over. A
// span that holds more than the vendor shows is walked in halves, down to a day.
func (w *yidaWalk) span(ctx context.Context, s span) bool {
	first, err := w.yida.page(ctx, w.form, s, 1, yidaPage)
	if err != nil {
		w.yield(YidaInstance{}, err)
		return false
	}
	days := int(s.to.Sub(s.from).Hours() / 24)
	if first.total > yidaCursor && days >= 1 {
		middle := s.from.AddDate(0, 0, days/2)
		return w.span(ctx, span{s.from, middle}) && w.span(ctx, span{middle.AddDate(0, 0, 1), s.to})
	}
	if first.total > yidaCursor {
		if _, ok := w.pages(ctx, s, first, true); ok {
			w.yield(YidaInstance{}, identity.Fail(identity.Upstream, "", "dingtalk: %d submissions were changed within a day, of which Yida shows %d", first.total, yidaCursor))
		}
		return false
	}
	for round := range 2 {
		met, ok := w.pages(ctx, s, first, round == 0)
		// Fewer than there are: one went away from before the page's edge while
		// the pages were turned. Once more, for those that moved over it.
		if !ok || met >= first.total {
			return ok
		}
	}
	return true
}

// pages turns the pages of a span and tells how many submissions it met. fresh
// says that the first page was read just now.
func (w *yidaWalk) pages(ctx context.Context, s span, page yidaListed, fresh bool) (met int, ok bool) {
	here := map[string]bool{}
	for number := 1; number <= yidaCursor/yidaPage; number++ {
		if number > 1 || !fresh {
			var err error
			if page, err = w.yida.page(ctx, w.form, s, number, yidaPage); err != nil {
				w.yield(YidaInstance{}, err)
				return 0, false
			}
		}
		for _, in := range page.list {
			here[in.ID] = true
			if w.seen[in.ID] {
				continue
			}
			w.seen[in.ID] = true
			if !w.yield(in, nil) {
				return 0, false
			}
		}
		if len(page.list) < yidaPage {
			break
		}
	}
	return len(here), true
}

// yidaListed is one page.
type yidaListed struct {
	list  []YidaInstance
	total int
}

// page reads one page, by creation, so that what is added comes last.
func (y *Yida) page(ctx context.Context, form YidaForm, s span, number, size int) (yidaListed, error) {
	body := y.body(map[string]string{
		"formUuid": form.ID, "modifiedFromTimeGMT": s.from.Format(time.DateOnly), "modifiedToTimeGMT": s.to.Format(time.DateOnly),
	})
	op, query := opYidaList, url.Values{"pageNumber": {strconv.Itoa(number)}, "pageSize": {strconv.Itoa(size)}}
	if form.Plain {
		op, query = opYidaSearch, nil
		maps.Copy(body, map[string]any{"currentPage": number, "pageSize": size})
	} else {
		body["orderConfigJson"] = `{"gmt_create":"+"}`
	}
	ctx, cancel, err := y.client.begin(ctx, op)
	if err != nil {
		return yidaListed{}, err
	}
	defer cancel()
	var out struct {
		Total *count        `json:"totalCount"`
		Data  *[]yidaRecord `json:"data"`
	}
	if err := y.client.do(ctx, call{op: op, query: query, body: body, out: &out, admitted: true}); err != nil {
		return yidaListed{}, err
	}
	if out.Total == nil || out.Data == nil || *out.Total < 0 {
		return yidaListed{}, y.client.nonsense(op, "totalCount or data")
	}
	listed := yidaListed{total: int(*out.Total)}
	for _, record := range *out.Data {
		if !ValidInstance(record.id()) || record.Form != "" && record.Form != form.ID {
			return yidaListed{}, y.client.nonsense(op, "processInstanceId or formUuid")
		}
		in, err := y.instance(op, form, record.id(), record)
		if err != nil {
			return yidaListed{}, err
		}
		listed.list = append(listed.list, in)
	}
	return listed, nil
}

// count is number under a name that no parameter here has.
type count = number
