package checkup

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"kdgate/dingtalk"
	"kdgate/identity"
)

// DingTalk is what is asked of a client of one organisation.
type DingTalk interface {
	Probe(ctx context.Context) (dingtalk.Report, error)
	FailedEvents(ctx context.Context) (events []dingtalk.Event, more bool, err error)
	Quota(ctx context.Context) dingtalk.Quota
	Uses
}

// Uses are the probes of what an application is used for beside sign-ins. None of
// them leaves anything behind at DingTalk.
type Uses interface {
	ProbeStream(ctx context.Context) error
	ProbeDepartments(ctx context.Context) error
	ProbeMembers(ctx context.Context) error
	ProbeApprovals(ctx context.Context, process string) error
	ProbeComments(ctx context.Context) error
	ProbeAgent(ctx context.Context) error
}

// App says what an organisation's application is used for.
type App struct {
	Directory bool     // the whole address book is read
	Events    string   // stream, callback, or empty
	Approvals []string // process codes whose approvals become bills
	Comments  bool     // bills are told under their approvals
	Notices   bool     // people get work notifications
	Robots    []string // names of the robots that groups hear from
	Yida      []YidaForm
}

// YidaForm is a form that becomes bills, and how to prove that it can be read.
type YidaForm struct {
	Form, Permission string
	Test             func(ctx context.Context) error
}

const (
	clockWarn  = 30 * time.Second
	clockFault = 5 * time.Minute // from here DingTalk and Kingdee refuse (T123)
	quotaWarn  = 20              // percent of the month's calls that are left: four fifths are gone (reference 11)
)

// DingTalkPeer tests an application: token, scopes, range, clock, quota, events.
func DingTalkPeer(corp string, client DingTalk, app App) Peer {
	return Peer{Name: "dingtalk/" + corp, Test: func(ctx context.Context) []Item {
		report, err := client.Probe(ctx)
		var items []Item
		for _, check := range report.Checks {
			items = append(items, dingtalkItem(check))
		}
		if err != nil {
			return items // the token is among the checks, and without one nothing else can be asked
		}
		items = append(items, rangeItem(report, app), clockItem(report.Skew), quotaItem(client.Quota(ctx)))
		if app.Events == "callback" {
			items = append(items, failedItem(ctx, client))
		}
		return append(append(items, useItems(ctx, client, app)...), egressItem(report))
	}}
}

func dingtalkItem(check dingtalk.Check) Item {
	if check.Err == nil {
		return good(check.Name, "")
	}
	item := Item{Check: check.Name, Status: Fault, Detail: check.Err.Error(), Values: map[string]string{"scope": check.Name}}
	kind := identity.KindOf(check.Err)
	call, _ := errors.AsType[*dingtalk.CallError](check.Err)
	switch {
	case check.OurAddress != "":
		item.Cause, item.Values["ip"] = "dingtalk-ip", check.OurAddress
	case check.ApplyLink != "" || call != nil && call.Permission != "":
		item.Cause, item.Values["link"] = "dingtalk-permission", check.ApplyLink
		if call != nil && call.Permission != "" {
			item.Values["scope"] = call.Permission
		}
	case kind == identity.Throttled:
		item.Cause = "dingtalk-quota"
	case kind == identity.Unavailable:
		item.Cause = "dingtalk-unreachable"
	case kind == identity.Misconfigured && check.Name == "token":
		item.Cause = "dingtalk-credentials"
	default:
		item.Cause = "dingtalk-answer"
	}
	return item
}

// rangeItem: the range of visible people bounds what a directory run can see.
func rangeItem(report dingtalk.Report, app App) Item {
	if report.WholeCompany {
		return good("range", "everybody")
	}
	item := good("range", fmt.Sprintf("%d departments, %d people", len(report.Departments), report.Users))
	item.Values = map[string]string{"departments": strconv.Itoa(len(report.Departments)), "people": strconv.Itoa(report.Users)}
	if app.Directory {
		item.Status, item.Cause = Warning, "dingtalk-range"
	}
	return item
}

func clockItem(skew time.Duration) Item {
	item := good("clock", skew.String())
	item.Values = map[string]string{"skew": skew.String()}
	switch {
	case skew.Abs() >= clockFault:
		item.Status, item.Cause = Fault, "clock"
	case skew.Abs() >= clockWarn:
		item.Status, item.Cause = Warning, "clock"
	}
	return item
}

func quotaItem(quota dingtalk.Quota) Item {
	switch {
	case quota.Banned > 0:
		return Item{Check: "quota", Status: Fault, Cause: "dingtalk-banned", Values: map[string]string{"wait": quota.Banned.Round(time.Second).String()}}
	case quota.Paused > 0:
		return Item{Check: "quota", Status: Fault, Cause: "dingtalk-quota", Values: map[string]string{"wait": quota.Paused.Round(time.Second).String()}}
	case quota.Calls.Limit <= 0:
		return good("quota", "")
	}
	item := good("quota", fmt.Sprintf("%d of %d calls left this month", quota.Calls.Left, quota.Calls.Limit))
	if quota.Calls.Left*100 < quota.Calls.Limit*quotaWarn {
		item.Status, item.Cause = Warning, "dingtalk-quota-low"
		item.Values = map[string]string{"left": strconv.FormatInt(quota.Calls.Left, 10), "limit": strconv.FormatInt(quota.Calls.Limit, 10)}
	}
	return item
}

// failedItem asks which events DingTalk could not deliver, which also proves the
// permission for events.
func failedItem(ctx context.Context, client DingTalk) Item {
	events, more, err := client.FailedEvents(ctx)
	switch {
	case err != nil:
		return dingtalkItem(checkOf("events", err))
	case len(events) > 0:
		count := strconv.Itoa(len(events))
		if more {
			count += "+"
		}
		return Item{Check: "events", Status: Warning, Cause: "dingtalk-undelivered", Values: map[string]string{"n": count}}
	default:
		return good("events", "none undelivered")
	}
}

// checkOf puts the error of one call into the form of a probe's.
func checkOf(name string, err error) dingtalk.Check {
	check := dingtalk.Check{Name: name, Err: err}
	if e, ok := errors.AsType[*dingtalk.CallError](err); ok {
		check.ApplyLink, check.OurAddress = e.ApplyLink, e.OurAddress
	}
	return check
}

// egressItem: DingTalk names our address only when it refuses it.
func egressItem(report dingtalk.Report) Item {
	for _, check := range report.Checks {
		if check.OurAddress != "" {
			return Item{Check: "egress", Status: Fault, Cause: "dingtalk-ip", Values: map[string]string{"ip": check.OurAddress}}
		}
	}
	return good("egress", "let in; DingTalk names the address only when it refuses it")
}
