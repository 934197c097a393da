package app

import (
	"fmt"
	"strings"

	"kdgate/internal/checkup"
	"kdgate/internal/config"
)

// The tests that a fact can be confirmed by, as the check-up names them.
const (
	byToken   = "token"
	byMembers = "qyapi_get_department_member"
	byLink    = "once-only"
	ofJobs    = " (jobs)"
)

// facts collects what stands for open questions about one peer.
type facts struct {
	peer string
	list []checkup.Fact
}

func (f *facts) add(key string, value any, by ...string) {
	f.list = append(f.list, checkup.Fact{Peer: f.peer, Key: key, Value: strings.Trim(fmt.Sprint(value), "[]"), By: by})
}

// vendorFacts are the settings that stand for open questions about the vendors'
// wires, with the tests that would fail were they wrong.
func vendorFacts(cfg *config.Config) []checkup.Fact {
	var all []checkup.Fact
	for _, corp := range cfg.Corps {
		all = append(all, dingTalkFacts(cfg, corp)...)
	}
	for _, dc := range cfg.DataCentres {
		all = append(all, kingdeeFacts(cfg, dc)...)
	}
	return all
}

func dingTalkFacts(cfg *config.Config, corp config.Corp) []checkup.Fact {
	f := &facts{peer: "dingtalk/" + corp.ID}
	f.add("token_call", corp.TokenCall, byToken)
	f.add("endpoints.oapi", corp.Endpoints.OAPI, "qyapi_base")
	f.add("endpoints.api", corp.Endpoints.API)
	f.add("endpoints.login", corp.Endpoints.Login)
	f.add("wire.scope", corp.Wire.Scope)
	f.add("wire.jsapi_digest", corp.Wire.JSAPIDigest)
	f.add("wire.invalid_token", corp.Wire.InvalidToken)
	if cfg.Directory.On() && cfg.Directory.Corp == corp.ID {
		f.add("wire.members_page", corp.Wire.MembersPage, byMembers)
	}
	if corp.Events == "callback" {
		f.add("callback.owner_key", corp.CallbackOwner())
		f.add("callback.max_age", corp.Callback.MaxAge)
	}
	f.add("wire.message_bytes", corp.Wire.MessageBytes)
	f.add("approval_times", corp.ApprovalTimes)
	for i, app := range corp.Yida {
		f.add(fmt.Sprintf("yida[%d].times", i), app.Times)
	}
	f.add("quota.qps", corp.Quota.QPS)
	f.add("quota.month", corp.Quota.Month)
	if len(corp.Quota.Free)+len(corp.Quota.Counted) > 0 {
		f.add("quota.free", corp.Quota.Free)
		f.add("quota.counted", corp.Quota.Counted)
	}
	f.add("quota.events_month", corp.Quota.EventsMonth)
	f.add("quota.throttle.wait", corp.Quota.Throttle.Wait)
	return f.list
}

func kingdeeFacts(cfg *config.Config, dc config.DataCentre) []checkup.Fact {
	f := &facts{peer: "kingdee/" + dc.ID}
	f.ofLogin(dc)
	f.ofUsers(dc.Users)
	f.ofLink(dc.Link)
	if cfg.Directory.On() && cfg.Directory.DataCentre == dc.ID {
		f.add("forms.modify_date", dc.Forms.ModifyDate, dc.Users.StaffForm+ofJobs)
	}
	for _, key := range dc.Forms.Keys {
		f.add("forms.keys "+key.Of, key.Key, formOf(dc, key.Of)...)
	}
	f.add("logout.notify_kingdee", dc.Logout.NotifyKingdee)
	return f.list
}

// ofLogin: whoever could read the staff form was let in.
func (f *facts) ofLogin(dc config.DataCentre) {
	api, in := dc.API, dc.Users.StaffForm
	f.add("api.auth", api.Auth, in)
	switch api.Auth {
	case "signed_headers":
		f.add("api.header_timestamp", api.Timestamp, in)
		f.add("api.org_number", api.OrgNumber) // a wrong one is no error (reference 2.5)
	default:
		f.add("api.login_body", api.LoginBody, in)
		f.add("api.accept_result_minus5", api.AcceptMinus5)
	}
	if api.Auth == "login_by_sign" && api.Hash != "" {
		f.add("api.hash", api.Hash, in)
	}
	f.add("api.page_size", api.PageSize)
	f.add("api.session_idle", api.SessionIdle)
	f.add("api.max_sessions", api.MaxSessions)
}

func (f *facts) ofUsers(u config.Users) {
	f.add("users.staff_form", u.StaffForm, u.StaffForm)
	f.add("users.staff_number_field", u.StaffNumberField, u.StaffForm)
	switch {
	case u.StaffPersonField != "":
		f.add("users.staff_person_field", u.StaffPersonField, u.StaffForm)
	case u.Route == "person":
		f.add("users.post_form", u.PostForm, u.PostForm)
		f.add("users.person_field", u.PersonField, u.PostForm)
	}
	f.add("users.user_form", u.UserForm, u.UserForm)
	f.add("users.user_name_field", u.UserNameField, u.UserForm)
	if u.Route == "person" {
		f.add("users.user_link_field", u.UserLinkField, u.UserForm)
	}
}

// ofLink: an appointed visitor's link opened once, and not twice.
func (f *facts) ofLink(link config.Link) {
	f.add("link.version", link.Version, byLink)
	if link.Hash != "" {
		f.add("link.hash", link.Hash, byLink)
	}
	f.add("link.permitcount", link.Permitcount, byLink)
	f.add("link.characters", link.Characters, byLink)
	f.add("link.udencoding", link.UDEncoding, byLink)
	f.add("link.window", link.Window)
	for _, field := range link.Extra {
		f.add("link.extra "+field.Name, field.Value, byLink) // empty: null or nothing
	}
	switch link.Entry {
	case "html5":
		f.add("link.pages.html5", link.Pages.HTML5, byLink)
	case "light":
		f.add("link.pages.light", link.Pages.Light, byLink)
	}
	if link.MobileEntry {
		f.add("link.pages.mobile", link.Pages.Mobile)
		f.add("link.mobile_hash", link.MobileHash)
	}
}

// formOf names the test of the form that a key of forms.keys belongs to; nothing
// where no test reads it.
func formOf(dc config.DataCentre, of string) []string {
	group, key, _ := strings.Cut(of, ".")
	switch group + "." + key {
	case "staff.id", "staff.name", "staff.forbid_status", "staff.document_status":
		return []string{dc.Users.StaffForm}
	case "staff.mobile", "staff.email", "staff.department", "staff.position", "staff.primary":
		return []string{dc.Users.StaffForm + ofJobs}
	case "post.id", "post.person_number":
		return []string{dc.Users.PostForm}
	case "post.number", "post.department", "post.position", "post.primary":
		return []string{dc.Users.PostForm + ofJobs}
	case "user.id", "user.account", "user.forbid_status", "user.locked":
		return []string{dc.Users.UserForm}
	default:
		return nil
	}
}
