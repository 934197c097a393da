package kingdee

import (
	"context"
	"errors"
	"fmt"

	"kdgate/identity"
)

// Finding is what one look at a running Kingdee has confirmed, or not.
type Finding struct {
	Item string // what was tried: a form with its keys, or the clock
	Err  error  // nil: confirmed; otherwise an *identity.Error, mostly around a *Fault with advice
}

// Probe logs in and asks one row of each configured form with the configured
// keys. Nil means that everything a sign-in needs was confirmed on this server;
// otherwise the errors of Examine, joined.
func (c *Client) Probe(ctx context.Context) error {
	var all []error
	for _, finding := range c.Examine(ctx) {
		if finding.Err != nil {
			all = append(all, fmt.Errorf("%s: %w", finding.Item, finding.Err))
		}
	}
	return errors.Join(all...)
}

// Examine is Probe item by item, for the connections page and kdgate check. A
// person who asks for it gets one login although earlier ones were refused, but
// not while Kingdee has locked the integration user.
func (c *Client) Examine(ctx context.Context) []Finding {
	c.logins.allowOne()
	u := c.cfg.Users
	findings := []Finding{c.examineForm(ctx, u.Staff.Form, u.Staff.ForbidStatus, c.staffKeys())}
	if u.Route == RoutePerson && u.Staff.Person == "" {
		findings = append(findings, c.examinePosts(ctx))
	}
	findings = append(findings,
		c.examineForm(ctx, u.User.Form, u.User.ForbidStatus, c.userKeys()),
		Finding{Item: "clock", Err: c.clock.check(c.cfg.Link.Window)})
	return findings
}

func (c *Client) staffKeys() []string {
	k := c.cfg.Users.Staff
	keys := []string{k.ID, k.Number, k.Name, k.ForbidStatus, k.DocumentStatus}
	if k.Person != "" {
		keys = append(keys, k.Person)
	}
	if c.cfg.Users.Route == RouteEmployee {
		keys = append(keys, k.UserName)
	}
	return keys
}

func (c *Client) userKeys() []string {
	k := c.cfg.Users.User
	keys := []string{k.ID, k.Name, k.Account, k.ForbidStatus, k.Locked}
	switch c.cfg.Users.Route {
	case RoutePerson:
		keys = append(keys, k.Link)
	case RouteUser:
		keys = append(keys, k.LinkNumber)
	}
	return keys
}

// examineForm wants one record in use: missing rights may show as no rows.
func (c *Client) examineForm(ctx context.Context, form, forbidKey string, keys []string) Finding {
	finding := Finding{Item: form}
	rows, err := c.oneRow(ctx, form, keys, Is(forbidKey, "A"))
	switch {
	case err != nil:
		finding.Err = err
	case len(rows) == 0:
		finding.Err = identity.Fail(identity.Misconfigured, identity.CodeKingdeeSetup,
			"kingdee: %s answers without a record: give the integration user the right to query it, or check that it has records in use", form)
	}
	return finding
}

// examinePosts asks with the key that sign-ins filter by, for a number that
// nobody has: the keys are confirmed by the empty answer.
func (c *Client) examinePosts(ctx context.Context) Finding {
	k := c.cfg.Users.Post
	_, err := c.oneRow(ctx, k.Form, []string{k.ID, k.PersonNumber, k.Person}, Equals(k.PersonNumber, "kdgate-probe"))
	return Finding{Item: k.Form, Err: err}
}

func (c *Client) oneRow(ctx context.Context, form string, keys []string, filter Filter) ([][]string, error) {
	return c.Query(ctx, Query{Form: form, Fields: keys, Filter: filter, Page: Page{Limit: 1}})
}

// ExamineForms asks one row of each form that the directory writes or lists, with
// the configured keys: a wrong key shows here and not in the middle of a run.
func (c *Client) ExamineForms(ctx context.Context) []Finding {
	f := c.cfg.Forms
	staff, dept, position, post := f.Staff, f.Department, f.Position, f.Post
	asked := []Query{
		{Form: c.cfg.Users.Staff.Form, Fields: []string{c.cfg.Users.Staff.ID, staff.Mobile, staff.Email, staff.Department, staff.Position, f.ModifyDate}},
		{Form: dept.Form, Fields: []string{dept.ID, dept.Number, dept.Name, dept.ForbidStatus, dept.DocumentStatus, dept.Parent, f.ModifyDate}},
		{Form: position.Form, Fields: []string{position.ID, position.Number, position.Name, position.Department + ".FNumber", position.DocumentStatus, f.ModifyDate}},
		{Form: c.cfg.Users.Post.Form, Fields: []string{c.cfg.Users.Post.ID, post.Number, post.Department + ".FNumber", post.Position + ".FNumber", post.Primary, f.ModifyDate}},
	}
	if staff.Primary != None {
		asked[0].Fields = append(asked[0].Fields, staff.Primary)
	}
	findings := make([]Finding, 0, len(asked))
	for _, q := range asked {
		q.Page.Limit = 1
		_, err := c.Query(ctx, q)
		findings = append(findings, Finding{Item: q.Form, Err: err})
	}
	return findings
}

// noRecord is an internal id that no record has.
const noRecord = "2147483646"

// ExamineBills asks whether the bills of each form can be looked up, by the keys that
// a look-up before writing uses. A form that shows no bill at all is asked for one
// that nobody has too: there Kingdee refuses who has no right, while a query may show
// such a user nothing (reference 10, SIM-K57). The rights to save, submit and audit
// are proved by no call that leaves nothing behind.
func (c *Client) ExamineBills(ctx context.Context, forms ...string) []Finding {
	findings := make([]Finding, 0, len(forms))
	for _, form := range forms {
		findings = append(findings, Finding{Item: form, Err: c.examineBill(ctx, form)})
	}
	return findings
}

func (c *Client) examineBill(ctx context.Context, form string) error {
	keys := c.billForm(form)
	q := Query{Form: form, Fields: []string{keys.ID, keys.Number, keys.Status}, Page: Page{Limit: 1}}
	if keys.Remark != "" {
		q.Fields = append(q.Fields, keys.Remark)
	}
	rows, err := c.Query(ctx, q)
	if err != nil || len(rows) > 0 {
		return err
	}
	_, err = c.view(ctx, form, noRecord)
	if fault, ok := errors.AsType[*Fault](err); ok && (fault.symptom == noRights || identity.KindOf(err) == identity.Unavailable) {
		return err
	}
	return nil // that there is none such is what was asked, whatever words say so
}
