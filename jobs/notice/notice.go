package notice

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/dingtalk"
	"kdgate/identity"
)

// Bounds of a notice.
const (
	maxKey   = 256
	maxTitle = 80       // characters
	maxText  = 16 << 10 // bytes; what a message has no room for is cut, see words.go
	maxLink  = 500      // bytes
)

// Notice is something that people are told once.
type Notice struct {
	// Key names it: the same key twice is one notice.
	Key string
	// Topic says what it is about in one word, for lists: stock, leaver, queue, …
	Topic     string
	To        []Address
	Title     string
	Text      string // Markdown
	Link      string // absolute; where one click leads
	LinkTitle string // of the button; a default when empty
	// Sensitive keeps it to people: no robot and no department gets it (F73).
	Sensitive bool
	// Urgent leaves at once instead of waiting for others to go along.
	Urgent bool
	// Fallbacks are robots and mail addresses, tried in this order for people
	// whom DingTalk gave nothing.
	Fallbacks []Address
}

// ErrSensitive is a sensitive notice to an open group.
var ErrSensitive = errors.New("notice: sensitive figures go to people, not to groups")

func (n *Notice) check() error {
	switch {
	case n.Key == "" || len(n.Key) > maxKey:
		return fmt.Errorf("a key of %d bytes (1 to %d)", len(n.Key), maxKey)
	case n.Title == "" || utf8.RuneCountInString(n.Title) > maxTitle:
		return fmt.Errorf("a title of %d characters (1 to %d)", utf8.RuneCountInString(n.Title), maxTitle)
	case n.Text == "" || len(n.Text) > maxText || !utf8.ValidString(n.Title+n.Text):
		return fmt.Errorf("a text of %d bytes (1 to %d), in UTF-8", len(n.Text), maxText)
	case len(n.Link) > maxLink:
		return fmt.Errorf("a link of %d bytes, at most %d", len(n.Link), maxLink)
	case len(n.To) == 0:
		return errors.New("it is to nobody")
	}
	return n.checkAddresses()
}

func (n *Notice) checkAddresses() error {
	for _, a := range slices.Concat(n.To, n.Fallbacks) {
		if err := a.check(); err != nil {
			return err
		}
		if n.Sensitive && a.open() {
			return fmt.Errorf("%w: %s", ErrSensitive, a.Way)
		}
	}
	for _, a := range n.Fallbacks {
		if a.Way != WayRobot && a.Way != WayMail {
			return fmt.Errorf("%s is no fallback: a robot or a mail address is", a.Way)
		}
	}
	return nil
}

// letter is a notice to one group of people by one way, as it is stored.
type letter struct {
	ID        string    `json:"id"` // key of its item
	Corp      string    `json:"corp"`
	Topic     string    `json:"topic"`
	Title     string    `json:"title"`
	Text      string    `json:"text"`
	Link      string    `json:"link,omitempty"`
	LinkTitle string    `json:"link_title,omitempty"`
	Route     []hop     `json:"route"` // the first is meant, the others are fallbacks
	Sensitive bool      `json:"sensitive,omitzero"`
	Roles     []string  `json:"roles,omitempty"` // that named people of the first hop
	Created   time.Time `json:"created"`

	Unknown jsontext.Value `json:",embed"` // members of a newer release, kept (R54)
}

// letters splits a notice by way and by as many people as one call takes. The
// ids hang on the key and the place in the order alone, so that a notice that
// is sent twice makes the same letters.
func (n *Notice) letters(corp string, roles map[string][]string, now time.Time) []letter {
	var list []letter
	for i, first := range n.hops(roles) {
		list = append(list, letter{
			ID: letterID(corp, n.Key, i), Corp: corp, Topic: n.Topic, Title: n.Title, Text: n.Text, Link: n.Link, LinkTitle: n.LinkTitle,
			Route: append([]hop{first}, n.detours(first)...), Created: now.UTC().Truncate(time.Microsecond),
			Sensitive: n.Sensitive, Roles: n.rolesOf(first, roles),
		})
	}
	return list
}

// hops are the ways that a notice is meant to go.
func (n *Notice) hops(roles map[string][]string) []hop {
	var people, mails []string
	var departments []int64
	var list []hop
	for _, a := range n.To {
		switch a.Way {
		case WayPerson:
			people = append(people, a.Who)
		case WayRole:
			people = append(people, roles[a.Who]...)
		case WayDepartment:
			id, _ := strconv.ParseInt(a.Who, 10, 64) // check has read it
			departments = append(departments, id)
		case WayMail:
			mails = append(mails, a.Who)
		case WayRobot:
			list = append(list, hop{Way: WayRobot, Who: []string{a.Who}})
		}
	}
	slices.Sort(people)
	for chunk := range slices.Chunk(slices.Compact(people), dingtalk.MaxMessageUsers) {
		list = append(list, hop{Way: WayPerson, Who: chunk})
	}
	slices.Sort(departments)
	for chunk := range slices.Chunk(slices.Compact(departments), dingtalk.MaxMessageDepartments) {
		list = append(list, hop{Way: WayPerson, Departments: chunk})
	}
	if len(mails) > 0 {
		slices.Sort(mails)
		list = append(list, hop{Way: WayMail, Who: slices.Compact(mails)})
	}
	return list
}

// rolesOf are the roles by which people of a hop were named.
func (n *Notice) rolesOf(h hop, roles map[string][]string) []string {
	var list []string
	for _, a := range n.To {
		named := func(userid string) bool { return slices.Contains(roles[a.Who], userid) }
		if a.Way == WayRole && h.Way == WayPerson && slices.ContainsFunc(h.Who, named) {
			list = append(list, a.Who)
		}
	}
	return list
}

// detours are the fallbacks that are not the way itself.
func (n *Notice) detours(first hop) []hop {
	var list []hop
	for _, a := range n.Fallbacks {
		one := hop{Way: a.Way, Who: []string{a.Who}}
		if one.String() != first.String() {
			list = append(list, one)
		}
	}
	return list
}

// letterID is short enough for a key and cannot be made to collide by choosing keys.
func letterID(corp, key string, n int) string {
	return digest(corp, strconv.Itoa(len(key)), key, strconv.Itoa(n))
}

// gathers reports whether the letter waits for others to go along: people have a
// bound of messages a minute, a robot one that silences it for ten minutes. A mail
// goes by itself, as its subject is what it is found by.
func (l *letter) gathers() bool { return l.Route[0].Way != WayMail }

// people names the group that a letter is to, fallbacks included: letters of one
// group may leave as one.
func (l *letter) people() string {
	parts := []string{l.Corp}
	for _, h := range l.Route {
		parts = append(parts, h.String())
	}
	return digest(parts...)
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16]))
}

func refused(err error) error {
	return &identity.Error{Kind: identity.Invalid, Code: identity.CodeBadRequest, Err: fmt.Errorf("notice: %w", err)}
}
