package dingtalk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"iter"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/internal/strictjson"
)

var (
	opMembers   = operation{name: "userlist", host: oldHost, path: "/topapi/v2/user/list", class: ClassDirectory}
	opMemberIDs = operation{name: "userlistid", host: oldHost, path: "/topapi/user/listid", class: ClassDirectory}
	opHeadcount = operation{name: "usercount", host: oldHost, path: "/topapi/user/count", class: ClassDirectory}
)

// mostMembers is the most people that user/list is known to give at once.
const mostMembers = 100

// Page is one page of a department's direct members.
type Page struct {
	Department int64
	Cursor     int64 // where this page begins; a walk resumes from here
	Next       int64 // where the next page begins; 0 on the last
	Last       bool  // nothing follows: the department has been read to its end
	People     []Member
	Familiar   []Sum // of those whom the caller knew by their text, who are not among People
	Bytes      int   // of JSON that the page took
}

// Member is a person of a page.
type Member struct {
	Person
	Text Sum // of what DingTalk sent about them here; zero where nobody is familiar
}

// Sum tells one text from another: the first half of its SHA-256.
type Sum [16]byte

func sumOf(text []byte) Sum {
	whole := sha256.Sum256(text)
	return Sum(whole[:])
}

// Members reads the direct members of a department page by page, from a cursor
// on (0 is the beginning), holding one page in memory. People in several
// departments appear in each of them: the caller keeps them apart by userid.
//
// A department has been read completely when a page with Last came and no
// error. An error ends the walk: the page that goes with it names department
// and cursor to resume from, and what came before it is partial. Every page is
// tried again as the decision table allows before it counts as failed.
func (c *Client) Members(ctx context.Context, dept, from int64) iter.Seq2[Page, error] {
	return c.Strangers(ctx, dept, from, nil)
}

// Strangers is Members for a caller who knows most of them. Familiar is asked
// about the sum of each record's text, by several walks at the same time perhaps,
// and twice where a page is read again; whoever it is true of is not among the
// People, and not decoded. So it may be true only of what Strangers has given as
// Member.Text before: that text was decoded then, and its names were looked at.
func (c *Client) Strangers(ctx context.Context, dept, from int64, familiar func(Sum) bool) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		out := memberList{text: sifted{familiar: familiar}}
		for cursor := from; ; {
			page, err := c.members(ctx, dept, cursor, &out)
			if err != nil {
				yield(Page{Department: dept, Cursor: cursor}, fmt.Errorf("members of department %d from %d: %w", dept, cursor, err))
				return
			}
			if !yield(page, nil) || page.Last {
				return
			}
			cursor = page.Next
		}
	}
}

// memberList is an answer of user/list. The envelope is part of it, so that the
// largest answers there are get read once and not twice.
type memberList struct {
	envelope
	Result memberResult `json:"result"`

	text sifted
}

type memberResult struct {
	HasMore *flag          `json:"has_more"`
	Next    number         `json:"next_cursor"`
	List    *memberRecords `json:"list"`
}

// sifted is how the body of a memberList was made smaller before it was decoded.
type sifted struct {
	familiar func(Sum) bool // nil: nobody is
	room     bytes.Buffer   // for the bodies of a walk, one after another
	size     int            // of the whole body
	left     []Sum          // of the records that were left in it, nil where it was read whole
	out      []Sum          // of those that were taken out
}

func (m *memberList) empty() *envelope {
	m.envelope, m.Result = envelope{}, memberResult{}
	return &m.envelope
}

// sift takes the records out that the caller is familiar with.
func (m *memberList) sift(body []byte) []byte {
	t := &m.text
	t.size, t.left, t.out = len(body), nil, nil
	if t.familiar == nil {
		return body
	}
	t.out = make([]Sum, 0, mostMembers)
	left, _ := strictjson.Sift(body, func(record []byte) bool {
		sum := sumOf(record)
		known := t.familiar(sum)
		if known {
			t.out = append(t.out, sum)
		} else {
			t.left = append(t.left, sum)
		}
		return known
	}, "result", "list")
	return left
}

// textOf is the sum of a record's text, by its place among those decoded.
func (m *memberList) textOf(i int) Sum {
	if len(m.text.left) != len(*m.Result.List) {
		return Sum{}
	}
	return m.text.left[i]
}

// memberRecords is the list of a page, with room for those who are left on it.
type memberRecords listOf[personRecord]

// shortRecord is the length in bytes of a person about whom little is told.
const shortRecord = 400

// UnmarshalJSONFrom reads it as any other list.
func (m *memberRecords) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*m = make(memberRecords, 0, min(1+len(dec.UnreadBuffer())/shortRecord, mostMembers))
	return (*listOf[personRecord])(m).UnmarshalJSONFrom(dec)
}

// members reads one page. What would end a walk early without saying so - a
// list that is missing, a cursor that does not move on - is an error.
func (c *Client) members(ctx context.Context, dept, cursor int64, out *memberList) (Page, error) {
	if dept <= 0 || cursor < 0 {
		return Page{}, identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: department %d, cursor %d", dept, cursor)
	}
	body := map[string]any{
		"dept_id": dept, "cursor": cursor, "size": c.cfg.MembersPage,
		"order_field": "entry_asc", "contain_access_limit": true, "language": "zh_CN",
	}
	if err := c.asks(ctx, call{op: opMembers, body: body, out: out, room: &out.text.room}); err != nil {
		return Page{}, err
	}
	r := out.Result
	switch {
	case r.HasMore == nil:
		return Page{}, c.nonsense(opMembers, "has_more")
	case r.List == nil:
		return Page{}, c.nonsense(opMembers, "list")
	case bool(*r.HasMore) && int64(r.Next) <= cursor:
		return Page{}, c.nonsense(opMembers, "next_cursor")
	}
	page := Page{Department: dept, Cursor: cursor, Last: !bool(*r.HasMore), Familiar: out.text.out, Bytes: out.text.size}
	if !page.Last {
		page.Next = int64(r.Next)
	}
	page.People = make([]Member, 0, len(*r.List))
	for i := range *r.List {
		one := &(*r.List)[i]
		if !validUserID(one.UserID) {
			return Page{}, c.nonsense(opMembers, "userid")
		}
		p := one.person(c.cfg.Corp)
		if one.Leader {
			p.Leads = append(p.Leads, dept)
		}
		if one.DeptOrder != 0 {
			p.Orders = append(p.Orders, DepartmentOrder{Department: dept, Order: int64(one.DeptOrder)})
		}
		page.People = append(page.People, Member{p, out.textOf(i)})
	}
	return page, nil
}

// MemberIDs lists the userids of a department's direct members in one call. It
// is not limited by the application's range (reference 5.2).
func (c *Client) MemberIDs(ctx context.Context, dept int64) ([]string, error) {
	var out struct {
		Result struct {
			IDs *listOf[string] `json:"userid_list"`
		} `json:"result"`
	}
	if err := c.ask(ctx, opMemberIDs, map[string]any{"dept_id": dept}, &out); err != nil {
		return nil, err
	}
	if out.Result.IDs == nil {
		return nil, c.nonsense(opMemberIDs, "userid_list")
	}
	for _, id := range *out.Result.IDs {
		if !validUserID(id) {
			return nil, c.nonsense(opMemberIDs, "userid_list")
		}
	}
	return *out.Result.IDs, nil
}

// Headcount is how many people the whole organisation has, whatever the range
// ("DingTalk has N, we have M"); onlyActive counts those who have activated
// DingTalk.
func (c *Client) Headcount(ctx context.Context, onlyActive bool) (int, error) {
	var out struct {
		Result struct {
			Count *number `json:"count"`
		} `json:"result"`
	}
	if err := c.ask(ctx, opHeadcount, map[string]any{"only_active": onlyActive}, &out); err != nil {
		return 0, err
	}
	if out.Result.Count == nil || *out.Result.Count < 0 {
		return 0, c.nonsense(opHeadcount, "count")
	}
	return int(*out.Result.Count), nil
}
