package admin

import (
	"net/http"
	"net/url"
	"time"

	"kdgate/audit"
	"kdgate/identity"
)

// The paths of the doors.
const (
	pathEnter      = prefix + "enter"
	pathFresh      = prefix + "fresh"
	pathConfirm    = prefix + "confirm"
	pathLeave      = prefix + "leave"
	pathBreakGlass = prefix + "breakglass"
	pathPassword   = prefix + "password"
)

// The actions of the doors.
const (
	ActionConsoleEnter audit.Action = "console.enter"
	ActionConsoleLeave audit.Action = "console.leave"
)

// doors are the ways in to the console and out of it.
type doors struct{ *Console }

// Mount implements Page.
func (d doors) Mount(rt *Router) {
	rt.Add(
		Route{Pattern: "GET " + pathEnter, Access: Anyone, Summary: "The page before the console.", Serve: d.page},
		Route{Pattern: "POST " + pathEnter, Access: Anyone, Summary: "Enter with a DingTalk session that is minutes old.", Serve: d.enter},
		Route{Pattern: "POST " + pathFresh, Access: Anyone, Summary: "Sign in with DingTalk now, then come back.", Serve: d.fresh},
		Route{Pattern: "GET " + pathConfirm, Access: ToEveryRole, Summary: "Prove again who one is, before a dangerous act.", Serve: d.confirmPage},
		Route{Pattern: "POST " + pathLeave, Access: Anyone, Summary: "Leave the console.", Serve: d.leave},
	)
	if d.breakGlass != nil {
		rt.Add(
			Route{Pattern: "POST " + pathBreakGlass, Access: Anyone, Summary: "Enter, or prove again, with the emergency account.", Serve: d.enterBreakGlass},
			Route{Pattern: "GET " + pathPassword, Access: ToAdmin, Summary: "The form for a new emergency password.", Serve: d.passwordPage},
			Route{Pattern: "POST " + pathPassword, Access: ToAdmin, Danger: true, Summary: "Set a new emergency password.", Serve: d.setPassword},
		)
	}
}

// enterView is the page before the console.
type enterView struct {
	Next       string
	Name       string // of the DingTalk session, empty when there is none
	UserID     string
	Ready      bool // the session is minutes old: one click enters
	BreakGlass bool
	Account    string
	Failed     identity.Code
	Again      string // when the next try is taken, where it is too early for one
	RequestID  string
}

// page shows the doors. A console session that lives goes straight on.
func (d doors) page(v *Visit) error {
	query, err := v.Query("next")
	if err != nil {
		return err
	}
	if v.Who.Role != "" {
		return v.SeeOther(ownPlace(query["next"]))
	}
	return d.show(v, http.StatusOK, enterView{Next: ownPlace(query["next"])})
}

func (d doors) show(v *Visit, status int, view enterView) error {
	principal, err := d.cfg.Sessions.Current(v.R)
	if err != nil && identity.KindOf(err) != identity.Unauthenticated {
		return err
	}
	if err == nil {
		view.Name, view.UserID = principal.Name, principal.Subject.UserID
		view.Ready = d.Console.fresh(principal.At)
	}
	view.BreakGlass, view.Account, view.RequestID = d.breakGlass != nil, breakGlassAccount, v.RequestID()
	return v.page(status, "enter", view)
}

// enter opens the console for a person who was proven minutes ago and clicked (T14).
func (d doors) enter(v *Visit) error {
	form, err := v.Form("next")
	if err != nil {
		return err
	}
	principal, err := d.cfg.Sessions.Current(v.R)
	if err != nil {
		return err
	}
	v.Who, err = d.desk.standing(v.R.Context(), principal, time.Time{})
	if err == nil && !d.Console.fresh(principal.At) {
		err = identity.Fail(identity.Forbidden, identity.CodeProveAgain, "admin: the sign-in is of %s", principal.At)
	}
	if err := d.recordEntry(v, err); err != nil {
		return err
	}
	err = d.desk.sit(v.W, v.R, seat{
		Corp: principal.Subject.Corp, UserID: principal.Subject.UserID, Display: principal.Name,
		Door: principal.Door, ProvenAt: principal.At,
	})
	if err != nil {
		return err
	}
	return v.SeeOther(ownPlace(form["next"]))
}

// recordEntry writes down that somebody came in or was refused, before either
// happens. It returns why not.
func (d doors) recordEntry(v *Visit, refusal error) error {
	event := v.Event(ActionConsoleEnter, audit.OK)
	if v.Who.IsBreakGlass() {
		event.Action = audit.ActionBreakGlassEnter
	}
	if refusal != nil {
		event.Flood = v.flood("enter")
		event.Outcome, event.Reason = audit.Refused, string(identity.CodeOf(refusal))
		if identity.KindOf(refusal) == identity.Unavailable {
			event.Outcome = audit.Failed
		}
	} else {
		event.Detail = map[string]string{"role": string(v.Who.Role)}
	}
	if err := d.record(v.R.Context(), event); err != nil {
		return err
	}
	return refusal
}

// fresh begins a new sign-in with DingTalk. It leads back to the page before
// the console, where a click is still needed, or to the page that asked.
func (d doors) fresh(v *Visit) error {
	form, err := v.Form("next")
	if err != nil {
		return err
	}
	next := ownPlace(form["next"])
	if v.Who.Role == "" {
		next = pathEnter + "?" + url.Values{"next": {next}}.Encode()
	}
	return d.cfg.SignIn(v.W, v.R, next)
}

// confirmView is the page that asks for a new proof.
type confirmView struct {
	Next       string
	BreakGlass bool
	Account    string
	Failed     identity.Code
	Again      string // when the next try is taken, where it is too early for one
	RequestID  string
}

func (d doors) confirmPage(v *Visit) error {
	query, err := v.Query("next")
	if err != nil {
		return err
	}
	return v.Page("confirm", confirmView{
		Next: ownPlace(query["next"]), BreakGlass: v.Who.IsBreakGlass(), Account: breakGlassAccount, RequestID: v.RequestID(),
	})
}

// leave ends the console session, not the session at the gateway.
func (d doors) leave(v *Visit) error {
	if !v.Who.IsZero() {
		if err := d.record(v.R.Context(), v.Event(ActionConsoleLeave, audit.OK)); err != nil {
			d.cfg.Logger.Error("console: a door is closed without its record", "error", err)
		}
	}
	if err := d.desk.rise(v.W, v.R); err != nil {
		return err
	}
	return v.SeeOther(pathEnter)
}
