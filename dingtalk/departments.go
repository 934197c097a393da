package dingtalk

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"kdgate/identity"
)

var (
	opSubDepartments = operation{name: "deptlistsub", host: oldHost, path: "/topapi/v2/department/listsub", class: ClassDirectory}
	opDepartment     = operation{name: "deptget", host: oldHost, path: "/topapi/v2/department/get", class: ClassDirectory}
)

// RootDepartment is the root of every organisation's tree (reference 5.1).
const RootDepartment = 1

const (
	// schoolRoot is the root of the school address book, which the contact
	// calls refuse; it is left out of every walk.
	schoolRoot = -7
	// mostDepartments bounds a walk: no organisation comes near, so a tree
	// that does is an answer gone wrong.
	mostDepartments = 200_000
	walkers         = 4 // levels are read by so many calls at once; the rate is the limit, not this
)

// Department is one department of the address book.
type Department struct {
	ID       int64
	ParentID int64 // 0 for the root
	Name     string

	// What only Department reads; a walk of the tree leaves it empty.
	Code     string   // set by the organisation, often empty
	Order    int64    // among its sisters
	Managers []string // userids
	Members  int      // with everything below, each person counted by DingTalk
	Own      int      // direct members
	Hidden   bool     // from the address book of other people
}

type departmentRecord struct {
	ID       number         `json:"dept_id"`
	ParentID number         `json:"parent_id"`
	Name     string         `json:"name"`
	Code     string         `json:"code"`
	Order    number         `json:"order"`
	Managers listOf[string] `json:"dept_manager_userid_list"`
	Members  number         `json:"member_count"`
	Own      number         `json:"owning_member_count"`
	Hidden   flag           `json:"hide_dept"`
}

func (r departmentRecord) department() Department {
	return Department{
		ID: int64(r.ID), ParentID: int64(r.ParentID), Name: r.Name, Code: r.Code, Order: int64(r.Order),
		Managers: r.Managers, Members: int(r.Members), Own: int(r.Own), Hidden: bool(r.Hidden),
	}
}

// Departments walks the tree from the given departments down to the leaves and
// lists every department once, parents before children (reference 5.1: one call
// shows one level). Without arguments the walk begins at the root, which needs
// a range of the whole company: a partial range is an error of kind Forbidden,
// and the departments of Scopes are then the places to begin.
//
// The list is complete or there is an error: a department that vanished or
// could not be read fails the whole walk, because whoever compares must not
// take the unread for the removed.
func (c *Client) Departments(ctx context.Context, from ...int64) ([]Department, error) {
	if len(from) == 0 {
		from = []int64{RootDepartment}
	}
	var all, level []Department
	seen := map[int64]bool{}
	for _, id := range from {
		top, err := c.Department(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("the departments cannot be read from %d down: %w", id, err)
		}
		if !seen[id] {
			seen[id] = true
			level = append(level, top)
		}
	}
	for len(level) > 0 {
		all = append(all, level...)
		below, err := c.levelBelow(ctx, level)
		if err != nil {
			return nil, fmt.Errorf("the walk of the departments is incomplete: %w", err)
		}
		// A department met twice was moved meanwhile, or begins a walk of its
		// own: its first place stands, and a circle ends here.
		level = slices.DeleteFunc(below, func(d Department) bool {
			twice := seen[d.ID]
			seen[d.ID] = true
			return twice
		})
		if len(all)+len(level) > mostDepartments {
			return nil, c.nonsense(opSubDepartments, "more departments than any organisation has")
		}
	}
	return all, nil
}

// levelBelow reads the children of a level, in the order of their parents.
func (c *Client) levelBelow(ctx context.Context, level []Department) ([]Department, error) {
	children := make([][]Department, len(level))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(walkers)
	for i, parent := range level {
		group.Go(func() (err error) {
			children[i], err = c.children(ctx, parent.ID)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(children...), nil
}

// children reads one level.
func (c *Client) children(ctx context.Context, parent int64) ([]Department, error) {
	var out struct {
		Result *listOf[departmentRecord] `json:"result"`
	}
	if err := c.ask(ctx, opSubDepartments, map[string]any{"dept_id": parent, "language": "zh_CN"}, &out); err != nil {
		return nil, fmt.Errorf("department %d: %w", parent, err)
	}
	if out.Result == nil {
		return nil, c.nonsense(opSubDepartments, "result")
	}
	list := make([]Department, 0, len(*out.Result))
	for _, r := range *out.Result {
		switch {
		case r.ID == schoolRoot:
			continue
		case r.ID <= 0:
			return nil, c.nonsense(opSubDepartments, "dept_id")
		}
		d := r.department()
		d.ParentID = parent // what we asked for; the vendor's samples leave it out at times
		list = append(list, d)
	}
	return list, nil
}

// Department reads one department in full. Kind NotFound: there is none;
// Forbidden: it is outside the application's range.
func (c *Client) Department(ctx context.Context, id int64) (Department, error) {
	if id <= 0 {
		return Department{}, identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: department %d", id)
	}
	var out struct {
		Result departmentRecord `json:"result"`
	}
	if err := c.ask(ctx, opDepartment, map[string]any{"dept_id": id, "language": "zh_CN"}, &out); err != nil {
		return Department{}, err
	}
	if int64(out.Result.ID) != id {
		return Department{}, c.nonsense(opDepartment, "dept_id")
	}
	return out.Result.department(), nil
}

// ask is one call that waits for its own turn.
func (c *Client) ask(ctx context.Context, op operation, body, out any) error {
	return c.asks(ctx, call{op: op, body: body, out: out})
}

func (c *Client) asks(ctx context.Context, k call) error {
	ctx, cancel, err := c.begin(ctx, k.op)
	if err != nil {
		return err
	}
	defer cancel()
	k.admitted = true
	return c.do(ctx, k)
}
