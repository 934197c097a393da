package dingtalk

import (
	"context"
	"fmt"
	"iter"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
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
	People     []Person
	Bytes      int // of JSON that the page took
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
	return func(yield func(Page, error) bool) {
		for cursor := from; ; {
			page, err := c.members(ctx, dept, cursor)
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
	Result struct {
		HasMore *flag          `json:"has_more"`
		Next    number         `json:"next_cursor"`
		List    *memberRecords `json:"list"`
	} `json:"result"`
}

func (m *memberList) empty() *envelope {
	*m = memberList{}
	return &m.envelope
}

// memberRecords is the list of a page, with room for a full one.
type memberRecords listOf[personRecord]

// UnmarshalJSONFrom reads it as any other list.
func (m *memberRecords) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*m = make(memberRecords, 0, mostMembers)
	return (*listOf[personRecord])(m).UnmarshalJSONFrom(dec)
}

// members reads one page. What would end a walk early without saying so - a
// list that is missing, a cursor that does not move on - is an error.
func (c *Client) members(ctx context.Context, dept, cursor int64) (Page, error) {
	if dept <= 0 || cursor < 0 {
		return Page{}, identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: department %d, cursor %d", dept, cursor)
	}
	var out memberList
	body := map[string]any{
		"dept_id": dept, "cursor": cursor, "size": c.cfg.MembersPage,
		"order_field": "entry_asc", "contain_access_limit": true, "language": "zh_CN",
	}
	read := sized{out: &out}
	if err := c.ask(ctx, opMembers, body, &read); err != nil {
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
	page := Page{Department: dept, Cursor: cursor, Last: !bool(*r.HasMore), Bytes: read.size}
	if !page.Last {
		page.Next = int64(r.Next)
	}
	page.People = make([]Person, 0, len(*r.List))
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
		page.People = append(page.People, p)
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
