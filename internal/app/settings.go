package app

import (
	"maps"
	"time"

	"kdgate/dingtalk"
	"kdgate/internal/config"
	"kdgate/kingdee"
)

// dingTalkSettings is what the configuration says of an organisation.
func dingTalkSettings(corp config.Corp) dingtalk.Config {
	settings := dingtalk.Config{
		Corp: corp.ID, AppKey: corp.AppKey, AppSecret: corp.AppSecret, AgentID: corp.AgentID,
		Endpoints: dingtalk.Endpoints{OAPI: corp.Endpoints.OAPI, API: corp.Endpoints.API, Login: corp.Endpoints.Login},
		TokenCall: tokenCall(corp.TokenCall), Scope: corp.Wire.Scope, Digest: dingtalk.Digest(corp.Wire.JSAPIDigest),
		InvalidToken: corp.Wire.InvalidToken, MembersPage: corp.Wire.MembersPage, Limits: dingTalkLimits(corp.Quota),
	}
	if corp.ApprovalTimes == "utc" {
		settings.ApprovalZone = time.UTC
	}
	return settings
}

// newEgress is what this machine's address has in common towards DingTalk.
func newEgress(options Options) *dingtalk.Egress {
	bounds := options.Egress
	if bounds.Ban == 0 {
		bounds.Ban = options.Config.Outbound.DingTalkBan
	}
	return dingtalk.NewEgress(bounds)
}

// tokenCall is how the configuration names the ways to fetch an app token.
func tokenCall(name string) dingtalk.TokenCall {
	switch name {
	case "gettoken":
		return dingtalk.TokenGetToken
	case "corp_token":
		return dingtalk.TokenCorp
	default:
		return dingtalk.TokenAccessToken
	}
}

func dingTalkLimits(quota config.Quota) dingtalk.Limits {
	rates := map[string]float64{}
	for _, rate := range quota.PerAPI {
		rates[rate.API] = rate.QPS
	}
	return dingtalk.Limits{
		QPS: float64(quota.QPS), PerAPI: rates, ReserveLogin: quota.ReserveLogin, DirectoryPerMinute: quota.DirectoryPerMinute,
		Month: int64(quota.Month), EventMonth: int64(quota.EventsMonth), Free: quota.Free, Counted: quota.Counted,
		ThrottleWait: quota.Throttle.Wait, ThrottleTries: quota.Throttle.Tries,
	}
}

// kingdeeSettings is what the configuration says of a data centre.
func kingdeeSettings(dc config.DataCentre) kingdee.Config {
	users, forms := kingdeeKeys(dc)
	return kingdee.Config{
		ID: dc.ID, BaseURL: dc.URL, AllowPlainHTTP: dc.Insecure,
		DBID: dc.DBID, AppID: dc.AppID, AppSecret: dc.AppSecret, IntegrationUser: dc.IntegrationUser, LCID: dc.LCID,
		Link: kingdeeLink(dc.Link), Users: users, API: kingdeeAPI(dc.API), Forms: forms,
		NoLogoutNotice: !dc.Logout.NotifyKingdee,
	}
}

func kingdeeAPI(api config.API) kingdee.APIConfig {
	return kingdee.APIConfig{
		Auth: kingdee.Auth(api.Auth), Hash: kingdee.Hash(api.Hash), PageSize: api.PageSize,
		SessionIdle: api.SessionIdle, MaxSessions: api.MaxSessions, MaxConcurrency: api.MaxSessions,
		AcceptMinus5: api.AcceptMinus5, MinInterval: api.MinInterval,
		LoginBody: kingdee.LoginBody(api.LoginBody), HeaderTimestamp: api.Timestamp, OrgNumber: api.OrgNumber,
	}
}

func kingdeeLink(link config.Link) kingdee.LinkConfig {
	encoding := "none"
	if link.UDEncoding {
		encoding = "utf-8"
	}
	var extra []kingdee.ExtraField
	for _, field := range link.Extra {
		value := &field.Value
		if field.Null {
			value = nil
		}
		extra = append(extra, kingdee.ExtraField{Name: field.Name, Value: value})
	}
	return kingdee.LinkConfig{
		HTML5Page: link.Pages.HTML5, LightPage: link.Pages.Light, MobilePage: link.Pages.Mobile,
		MobileHash: kingdee.Hash(link.MobileHash), Extra: extra,
		Version: link.Version, Hash: kingdee.Hash(link.Hash), Permitcount: link.Permitcount,
		Characters: link.Characters, UDEncoding: encoding, Entry: kingdee.Entry(link.Entry), Mobile: link.MobileEntry, Window: link.Window,
	}
}

func kingdeeUsers(users config.Users) kingdee.UsersConfig {
	return kingdee.UsersConfig{
		Route: kingdee.Route(users.Route), Listed: users.Listed,
		Staff: kingdee.StaffKeys{Form: users.StaffForm, Number: users.StaffNumberField, Person: users.StaffPersonField},
		Post:  kingdee.PostKeys{Form: users.PostForm, Person: users.PersonField},
		User:  kingdee.UserKeys{Form: users.UserForm, Name: users.UserNameField, Link: users.UserLinkField},
	}
}

// kingdeeKeys are the form ids and field keys of a data centre, the vendor's but
// for what the configuration names: those that a sign-in reads, and those that
// jobs read and write.
func kingdeeKeys(dc config.DataCentre) (kingdee.UsersConfig, kingdee.FormsConfig) {
	forms, u := dc.Forms, kingdeeUsers(dc.Users)
	f := kingdee.FormsConfig{Organisation: forms.Organisation, BatchRows: forms.BatchRows, ModifyDate: forms.ModifyDate}
	places := formPlaces(&f)
	maps.Copy(places, userPlaces(&u))
	for _, key := range forms.Keys {
		*places[key.Of] = key.Key // the configuration knows only these names
	}
	for _, bill := range forms.Bills {
		if f.Bills == nil {
			f.Bills = map[string]kingdee.BillForm{}
		}
		f.Bills[bill.Form] = kingdee.BillForm{
			ID: bill.ID, Number: bill.Number, Remark: bill.Remark, Entry: bill.Entry, Status: bill.Status, Runs: bill.Runs,
		}
	}
	return u, f
}

// userPlaces is formPlaces for the keys that a sign-in reads.
func userPlaces(u *kingdee.UsersConfig) map[string]*string {
	return map[string]*string{
		"staff.id": &u.Staff.ID, "staff.name": &u.Staff.Name, "staff.forbid_status": &u.Staff.ForbidStatus,
		"staff.document_status": &u.Staff.DocumentStatus, "staff.user_name": &u.Staff.UserName,
		"post.id": &u.Post.ID, "post.person_number": &u.Post.PersonNumber,
		"user.id": &u.User.ID, "user.account": &u.User.Account, "user.forbid_status": &u.User.ForbidStatus,
		"user.locked": &u.User.Locked, "user.link_number": &u.User.LinkNumber, "user.forbid": &u.User.Forbid, "user.enable": &u.User.Enable,
	}
}

// formPlaces says where each name of config.FormKeys stands.
func formPlaces(f *kingdee.FormsConfig) map[string]*string {
	s, d, h, p, k, a := &f.Staff, &f.Department, &f.Position, &f.Post, &f.Stock, &f.Attachment
	return map[string]*string{
		"attachment.form": &a.Form, "attachment.id": &a.ID, "attachment.bill": &a.Bill, "attachment.record": &a.Record,
		"attachment.name": &a.Name, "attachment.alias": &a.Alias,
		"staff.save_number": &s.SaveNumber, "staff.mobile": &s.Mobile, "staff.email": &s.Email, "staff.join_date": &s.JoinDate,
		"staff.create_org": &s.CreateOrg, "staff.use_org": &s.UseOrg, "staff.login_user": &s.LoginUser, "staff.create_user": &s.CreateUser,
		"staff.department": &s.Department, "staff.position": &s.Position, "staff.entries": &s.Entries, "staff.entry_id": &s.EntryID,
		"staff.entry_org": &s.EntryOrg, "staff.entry_dept": &s.EntryDept, "staff.entry_post": &s.EntryPost, "staff.entry_start": &s.EntryStart,
		"staff.entry_primary": &s.EntryPrimary, "staff.primary": &s.Primary,
		"department.form": &d.Form, "department.id": &d.ID, "department.number": &d.Number, "department.name": &d.Name,
		"department.full_name": &d.FullName, "department.parent": &d.Parent, "department.create_org": &d.CreateOrg,
		"department.use_org": &d.UseOrg, "department.forbid_status": &d.ForbidStatus, "department.document_status": &d.DocumentStatus,
		"position.form": &h.Form, "position.id": &h.ID, "position.number": &h.Number, "position.name": &h.Name,
		"position.department": &h.Department, "position.create_org": &h.CreateOrg, "position.use_org": &h.UseOrg,
		"position.effect_date": &h.EffectDate, "position.lapse_date": &h.LapseDate, "position.forbid_status": &h.ForbidStatus,
		"position.document_status": &h.DocumentStatus,
		"post.number":              &p.Number, "post.person": &p.Person, "post.employee": &p.Employee, "post.department": &p.Department,
		"post.position": &p.Position, "post.create_org": &p.CreateOrg, "post.use_org": &p.UseOrg, "post.start_date": &p.StartDate,
		"post.primary": &p.Primary, "post.primary_in": &p.PrimaryIn, "post.forbid_status": &p.ForbidStatus, "post.document_status": &p.DocumentStatus,
		"stock.form": &k.Form, "stock.id": &k.ID, "stock.material": &k.Material, "stock.material_name": &k.MaterialName, "stock.stock": &k.Stock,
		"stock.organisation": &k.Organisation, "stock.quantity": &k.Quantity, "stock.material_form": &k.MaterialForm,
		"stock.material_id": &k.MaterialID, "stock.material_number": &k.MaterialNumber, "stock.material_title": &k.MaterialTitle,
		"stock.safety_stock": &k.SafetyStock, "stock.forbid_status": &k.ForbidStatus, "stock.document_status": &k.DocumentStatus,
	}
}
