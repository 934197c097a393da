package dingtalk

import (
	"context"
	"errors"
	"slices"
	"time"

	"kdgate/identity"
)

// probeUser stands for nobody: it probes the permission to read people.
const probeUser = "kdgate-probe-nobody"

// Report is what a probe found out about one application.
type Report struct {
	Corp         string
	WholeCompany bool    // the range is everybody
	Departments  []int64 // departments in the range
	Users        int     // people named in the range one by one
	Fields       []string
	// Skew is DingTalk's clock minus ours, to the second; zero when not told.
	Skew   time.Duration
	Checks []Check
}

// Check is one thing the application must be able to do.
type Check struct {
	Name       string // "token", or the scope name of the permission
	Err        error  // nil when it works
	ApplyLink  string // page of the vendor to apply for a missing permission
	OurAddress string // our address, when DingTalk does not let it in
}

// OK reports whether every check passed.
func (r Report) OK() bool {
	return !slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Err != nil })
}

// Probe tests an application from outside: a new token, what it may see, and
// whether it may read people. It forgets the cached token first, because a
// permission granted a minute ago may need another (reference 1.5). The error
// says that the token failed, so that nothing else could be asked.
func (c *Client) Probe(ctx context.Context) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Budget)
	defer cancel()
	report := Report{Corp: c.cfg.Corp}
	c.tokens.forget()
	c.pauses.end(quotaPause) // a pack may have been bought
	_, err := c.tokens.get(ctx)
	report.Skew = time.Duration(c.skew.Load())
	report.add("token", err)
	if err != nil {
		return report, err
	}
	report.add("qyapi_base", c.probeRange(ctx, &report))
	report.add("qyapi_get_member", c.probePeople(ctx))
	return report, nil
}

// Skew is how far DingTalk's clock is ahead of ours, by its last answer.
func (c *Client) Skew() time.Duration { return time.Duration(c.skew.Load()) }

func (r *Report) add(name string, err error) {
	check := Check{Name: name, Err: err}
	if e, ok := errors.AsType[*CallError](err); ok {
		check.ApplyLink, check.OurAddress = e.ApplyLink, e.OurAddress
	}
	r.Checks = append(r.Checks, check)
}

func (c *Client) probeRange(ctx context.Context, report *Report) error {
	s, err := c.scopes(ctx, false)
	if err != nil {
		return err
	}
	report.Departments, report.WholeCompany = s.Departments, s.WholeCompany
	report.Users, report.Fields = len(s.Users), s.Fields
	return nil
}

// probePeople asks for nobody: "no such person" proves the permission, and so
// does "not in your range".
func (c *Client) probePeople(ctx context.Context) error {
	_, err := c.Profile(ctx, probeUser)
	if kind := identity.KindOf(err); err != nil && (kind == identity.NotFound || kind == identity.Forbidden) {
		return nil
	}
	return err
}
