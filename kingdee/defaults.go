package kingdee

import (
	"cmp"
	"log/slog"
	"time"

	"kdgate/internal/peer"
)

// None switches a setting off that has a default: Permitcount and UDEncoding.
const None = "none"

func withDefaults(cfg Config) Config {
	cfg.LCID = cmp.Or(cfg.LCID, 2052)
	cfg.Link = linkDefaults(cfg.Link)
	cfg.Users = userDefaults(cfg.Users)
	cfg.API = apiDefaults(cfg.API, cfg.Link.Hash)
	cfg.Forms = formsDefaults(cfg.Forms)
	if cfg.Peer == nil {
		cfg.Peer = peer.New(peer.Config{})
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return cfg
}

func linkDefaults(link LinkConfig) LinkConfig {
	link.Version = cmp.Or(link.Version, 4)
	if link.Hash == "" {
		link.Hash = SHA256
		if link.Version < 4 {
			link.Hash = SHA1
		}
	}
	link.Permitcount = cmp.Or(link.Permitcount, "1")
	if link.Version < 3 {
		link.Permitcount = None // the feature came with V3; older links live by the row's own setting
	}
	link.Characters = cmp.Or(link.Characters, "ascii")
	link.UDEncoding = cmp.Or(link.UDEncoding, "utf-8")
	link.Entry = cmp.Or(link.Entry, EntryHTML5)
	link.HTML5Page = cmp.Or(link.HTML5Page, "html5/index.aspx")
	link.LightPage = cmp.Or(link.LightPage, "html5/lightstartapp.aspx")
	link.MobilePage = cmp.Or(link.MobilePage, "mobile/k3cloudForPhone.html")
	link.MobileHash = cmp.Or(link.MobileHash, SHA1)
	link.Window = cmp.Or(link.Window, 10*time.Minute)
	return link
}

func userDefaults(users UsersConfig) UsersConfig {
	users.Route = cmp.Or(users.Route, RoutePerson)
	staff := &users.Staff
	staff.Form = cmp.Or(staff.Form, "BD_Empinfo")
	staff.ID = cmp.Or(staff.ID, "FID")
	staff.Number = cmp.Or(staff.Number, "FStaffNumber")
	staff.Name = cmp.Or(staff.Name, "FName")
	staff.ForbidStatus = cmp.Or(staff.ForbidStatus, "FForbidStatus")
	staff.DocumentStatus = cmp.Or(staff.DocumentStatus, "FDocumentStatus")
	staff.UserName = cmp.Or(staff.UserName, "FUserId.FName")
	post := &users.Post
	post.Form = cmp.Or(post.Form, "BD_NEWSTAFF")
	post.ID = cmp.Or(post.ID, "FSTAFFID")
	post.PersonNumber = cmp.Or(post.PersonNumber, "FPerson.FNumber")
	post.Person = cmp.Or(post.Person, "FPersonId")
	user := &users.User
	user.Form = cmp.Or(user.Form, "SEC_User")
	user.ID = cmp.Or(user.ID, "FUserID")
	user.Name = cmp.Or(user.Name, "FName")
	user.Account = cmp.Or(user.Account, "FUserAccount")
	user.ForbidStatus = cmp.Or(user.ForbidStatus, "FForbidStatus")
	user.Locked = cmp.Or(user.Locked, "FIsLocked")
	user.Link = cmp.Or(user.Link, "FLinkObject")
	user.LinkNumber = cmp.Or(user.LinkNumber, "FLinkObject.FNumber")
	user.Forbid = cmp.Or(user.Forbid, string(OpForbid))
	user.Enable = cmp.Or(user.Enable, string(OpEnable))
	return users
}

func apiDefaults(api APIConfig, hash Hash) APIConfig {
	api.Auth = cmp.Or(api.Auth, AuthLoginBySign)
	api.Hash = cmp.Or(api.Hash, hash)
	api.PageSize = cmp.Or(api.PageSize, 1000)
	api.SessionIdle = cmp.Or(api.SessionIdle, 15*time.Minute)
	api.MaxSessions = cmp.Or(api.MaxSessions, 2)
	api.MaxConcurrency = cmp.Or(api.MaxConcurrency, 2)
	api.OrgNumber = cmp.Or(api.OrgNumber, "0")
	api.LoginBody = cmp.Or(api.LoginBody, LoginArray)
	api.HeaderTimestamp = cmp.Or(api.HeaderTimestamp, "ms")
	return api
}
