package directory

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"

	"kdgate/store"
)

// roll is what a run knows of everybody, by userid: of each person the text of
// their record as it is stored, and no more than that. Decoded, 100,000 people
// are a million strings, which the collector would follow again and again while
// the run reads; as text they are a few hundred.
type roll struct {
	place map[string]*rolled // by userid
	pages [][]rolled         // as they were read
}

// rolled is one record on the roll, and what is asked of everybody at once.
type rolled struct {
	text                  string // part of the text of a whole page
	userid, number, print string // parts of text, where that is plain
	home                  int64
	version               store.Version
	gone                  bool // the state is not Active
	seen                  bool // by the run whose roll this is
}

func rolledOf(text string, version store.Version) (rolled, error) {
	known, err := readKnown(text)
	return rolled{
		text: text, userid: known.UserID, number: known.Number, print: known.Print, home: known.Home, version: version, gone: known.State != Active,
	}, err
}

// everybody reads what is known of all people: while one page is put on the roll
// the next one is on its way.
func (k *Keeper) everybody(ctx context.Context) (*roll, error) {
	all := newRoll()
	pages := make(chan []store.Entry, 1)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(pages)
		return k.people(ctx, pages)
	})
	group.Go(func() error {
		for page := range pages {
			if err := all.add(page); err != nil {
				return err
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return all, nil
}

// people reads everybody's records page by page.
func (k *Keeper) people(ctx context.Context, pages chan<- []store.Entry) error {
	prefix := personPrefix + k.cfg.Corp + "/"
	for after := ""; ; {
		page, err := k.cfg.Store.Scan(ctx, prefix, after, store.MaxPage)
		if err != nil {
			return fmt.Errorf("directory: %w", err)
		}
		select {
		case pages <- page:
		case <-ctx.Done():
			return ctx.Err()
		}
		if len(page) < store.MaxPage {
			return nil
		}
		after = page[len(page)-1].Key
	}
}

func newRoll() *roll { return &roll{place: map[string]*rolled{}} }

// add puts a page of records on the roll; one that cannot be read fails it.
func (r *roll) add(page []store.Entry) error {
	var whole strings.Builder
	size := 0
	for _, entry := range page {
		size += len(entry.Value)
	}
	whole.Grow(size)
	for _, entry := range page {
		whole.Write(entry.Value)
	}
	rest := whole.String()
	read := make([]rolled, 0, len(page))
	for _, entry := range page {
		one, err := rolledOf(rest[:len(entry.Value)], entry.Version)
		if err != nil {
			return fmt.Errorf("directory: %s: %w", entry.Key, err)
		}
		rest = rest[len(entry.Value):]
		read = r.set(one, read)
	}
	r.pages = append(r.pages, read)
	return nil
}

// set puts a person on the roll, over what stands there of them or else at the
// end of a page, which has the room.
func (r *roll) set(one rolled, page []rolled) []rolled {
	if there := r.place[one.userid]; there != nil {
		one.seen = there.seen
		*there = one
		return page
	}
	page = append(page, one)
	r.place[one.userid] = &page[len(page)-1]
	return page
}

// get is a person's record, nil when nothing is known of them.
func (r *roll) get(userid string) *rolled { return r.place[userid] }

// each goes through everybody.
func (r *roll) each() iter.Seq[*rolled] {
	return func(yield func(*rolled) bool) {
		for _, page := range r.pages {
			for i := range page {
				if !yield(&page[i]) {
					return
				}
			}
		}
	}
}

// put writes over what the roll has of a person.
func (r *roll) put(known Known) error {
	text, err := json.Marshal(known)
	if err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	one, err := rolledOf(string(text), known.Version)
	if err != nil {
		return err
	}
	r.pages = append(r.pages, r.set(one, nil))
	return nil
}

// of is what is known of a person, the zero Known when nothing is.
func (r *roll) of(userid string) Known {
	if one := r.get(userid); one != nil {
		return one.known()
	}
	return Known{}
}

// all goes through everybody.
func (r *roll) all() iter.Seq[Known] {
	return func(yield func(Known) bool) {
		for one := range r.each() {
			if !yield(one.known()) {
				return
			}
		}
	}
}

// written are those whose record in Kingdee is watched for drift, the userid by
// staff number.
func (r *roll) written() map[string]string {
	byNumber := make(map[string]string, len(r.place))
	for known := range r.all() {
		if known.State == Active && known.View != "" {
			byNumber[known.Number] = known.UserID
		}
	}
	return byNumber
}

// known decodes the record, which could be read when it was put here.
func (r rolled) known() Known {
	known, _ := readKnown(r.text)
	known.Version, known.claimed = r.version, known.Number
	return known
}

func readKnown(text string) (Known, error) {
	if known, plain := plainKnown(text); plain {
		return known, nil
	}
	return decode[Known](store.Entry{Key: "record", Value: []byte(text)})
}

// plainKnown reads the record of somebody who is here as this package writes it,
// without copying: the names we know, and texts without escapes. It gives up on
// anything else, which is for the decoder. The seal has proved the text ours, so
// this is no reader of hostile input.
func plainKnown(text string) (known Known, ok bool) {
	if strings.IndexByte(text, '\\') >= 0 {
		return known, false
	}
	rest, ok := strings.CutPrefix(text, "{")
	for ok {
		var one plainMember
		if one, rest, ok = cutMember(rest); !ok || !one.into(&known) {
			return Known{}, false
		}
		if rest == "}" {
			return known, true
		}
		rest, ok = strings.CutPrefix(rest, ",")
	}
	return Known{}, false
}

// plainMember is a name and a value without escapes.
type plainMember struct {
	name, value string
	quoted      bool // the value is a text
}

// cutMember takes the first member off.
func cutMember(text string) (one plainMember, rest string, ok bool) {
	if one.name, text, ok = cutText(text); !ok {
		return one, "", false
	}
	if text, ok = strings.CutPrefix(text, ":"); !ok {
		return one, "", false
	}
	if one.value, rest, ok = cutText(text); ok {
		one.quoted = true
		return one, rest, true
	}
	end := strings.IndexAny(text, ",}")
	if end <= 0 {
		return one, "", false
	}
	one.value = text[:end]
	return one, text[end:], true
}

// cutText takes a text off, of which it is known that nothing in it is escaped.
func cutText(text string) (value, rest string, ok bool) {
	if text, ok = strings.CutPrefix(text, `"`); !ok {
		return "", "", false
	}
	return strings.Cut(text, `"`)
}

func (m plainMember) into(known *Known) bool {
	if m.name == "home" && !m.quoted {
		var err error
		known.Home, err = strconv.ParseInt(m.value, 10, 64)
		return err == nil
	}
	switch m.name {
	case "userid":
		known.UserID = m.value
	case "unionid":
		known.UnionID = m.value
	case "name":
		known.Name = m.value
	case "number":
		known.Number = m.value
	case "staff":
		known.Staff = m.value
	case "print":
		known.Print = m.value
	case "view":
		known.View = m.value
	default:
		return false // a state, or of another release
	}
	return m.quoted
}
