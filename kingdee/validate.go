package kingdee

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// kingdeeIdle is Kingdee's own idle limit (web.config of the server, reference 2.4).
const kingdeeIdle = 20 * time.Minute

// problems collects mistakes, so that an administrator sees all of them at once.
type problems struct{ errs []error }

func (p *problems) check(ok bool, format string, args ...any) {
	if !ok {
		p.errs = append(p.errs, fmt.Errorf(format, args...))
	}
}

// validate reports every mistake in cfg, joined, and gives the base address with
// its last slash. It changes nothing and never repeats a secret.
func validate(cfg Config) (*url.URL, error) {
	p := &problems{}
	p.check(cfg.ID != "", "id: missing")
	base := p.baseURL(cfg)
	p.check(cleanToken(cfg.DBID), "db_id: missing, or not only letters, digits, _ and -")
	p.check(plainText(cfg.AppID, 128), "app_id: missing, or holds control characters")
	p.check(plainText(cfg.AppSecret.Reveal(), 256), "app_secret: missing, or holds control characters (a line end from a file?)")
	p.check(plainText(cfg.IntegrationUser, 128), "integration_user: missing, or holds control characters")
	p.check(slices.Contains([]int{2052, 1033, 3076}, cfg.LCID), "lcid: %d is none of 2052, 1033, 3076", cfg.LCID)
	p.link(cfg)
	p.users(cfg.Users)
	p.api(cfg)
	p.forms(cfg.Forms)
	if len(p.errs) > 0 {
		return nil, fmt.Errorf("kingdee: data centre %q: %w", cfg.ID, errors.Join(p.errs...))
	}
	return base, nil
}

func (p *problems) baseURL(cfg Config) *url.URL {
	base, err := url.Parse(cfg.BaseURL)
	if err != nil {
		p.check(false, "url: not an address") // the parse error repeats the text, which may hold a password
		return nil
	}
	p.check(base.Scheme == "https" || base.Scheme == "http", "url: must begin with https://")
	p.check(base.Hostname() != "", "url: names no host")
	p.check(base.User == nil && base.RawQuery == "" && base.Fragment == "", "url: must be scheme, host and path only")
	p.check(base.Scheme != "http" || cfg.AllowPlainHTTP || loopback(base.Hostname()),
		"url: plain http to another machine needs an explicit permission")
	if !strings.HasSuffix(base.Path, "/") {
		base.Path += "/"
	}
	return base
}

func (p *problems) link(cfg Config) {
	link := cfg.Link
	p.check(link.Version >= 1 && link.Version <= 4, "link.version: %d is not 1–4", link.Version)
	p.check(knownHash(link.Hash), "link.hash: %q is none of sha256, sha1", link.Hash)
	p.check(knownHash(link.MobileHash), "link.mobile_hash: %q is none of sha256, sha1", link.MobileHash)
	p.check(slices.Contains([]string{"0", "1", None}, link.Permitcount), "link.permitcount: %q is none of 1, 0, none", link.Permitcount)
	p.check(slices.Contains([]string{"ascii", "utf-8", "gbk"}, link.Characters), "link.characters: %q is none of ascii, utf-8, gbk", link.Characters)
	p.check(link.UDEncoding == None || cleanToken(link.UDEncoding), "link.udencoding: %q is not a name of an encoding", link.UDEncoding)
	p.check(link.Characters != "gbk" || !strings.EqualFold(link.UDEncoding, "utf-8"), "link.udencoding: says utf-8 while link.characters says gbk")
	p.check(slices.Contains([]Entry{EntryHTML5, EntryLight, EntryWPF, EntryMobile}, link.Entry), "link.entry: %q is not known", link.Entry)
	p.check(link.Entry != EntryMobile || link.Mobile, "link.entry: mobile needs link.mobile switched on")
	for _, page := range []string{link.HTML5Page, link.LightPage, link.MobilePage} {
		p.check(cleanPath(page), "link: page %q is not a plain relative path", page)
	}
	p.check(link.Window > 0 && link.Window <= 24*time.Hour, "link.window: %s is not within (0, 24h]", link.Window)
	p.check(link.Version > 1 || !strings.Contains(cfg.AppID+cfg.DBID, "|"), "link.version: 1 cannot carry an app id with a bar")
	p.check(link.Version > 1 || len(link.Extra) == 0, "link.extra: needs link.version 2 or later")
	for _, extra := range link.Extra {
		p.check(extra.Name == "loginthen" || extra.Name == "formargs", "link.extra: field %q is not loginthen or formargs", extra.Name)
	}
}

func (p *problems) users(users UsersConfig) {
	p.check(slices.Contains([]Route{RoutePerson, RouteEmployee, RouteUser}, users.Route), "users.route: %q is none of person, employee, user", users.Route)
	for _, name := range users.Listed {
		p.check(plainText(name, 128), "users.listed: %q is empty or holds control characters", name)
	}
	s, o, u := users.Staff, users.Post, users.User
	for _, key := range []string{
		s.Form, s.ID, s.Number, s.Name, s.ForbidStatus, s.DocumentStatus, s.UserName,
		o.Form, o.ID, o.PersonNumber, o.Person,
		u.Form, u.ID, u.Name, u.Account, u.ForbidStatus, u.Locked, u.Link, u.LinkNumber, u.Forbid, u.Enable,
	} {
		p.check(formKey(key), "users: %q is not a form id or field key", key)
	}
	p.check(s.Person == "" || formKey(s.Person), "users.staff.person: %q is not a field key", s.Person)
}

func (p *problems) api(cfg Config) {
	api := cfg.API
	p.check(slices.Contains([]Auth{AuthLoginBySign, AuthSignedHeaders, AuthAppSecret}, api.Auth), "api.auth: %q is none of login_by_sign, signed_headers, app_secret", api.Auth)
	p.check(knownHash(api.Hash), "api.hash: %q is none of sha256, sha1", api.Hash)
	p.check(api.PageSize >= 1 && api.PageSize <= 2000, "api.page_size: %d is not 1–2000", api.PageSize)
	p.check(api.SessionIdle > 0 && api.SessionIdle < kingdeeIdle, "api.session_idle: %s is not below Kingdee's 20 minutes", api.SessionIdle)
	p.check(api.MaxSessions >= 1 && api.MaxSessions <= 20, "api.max_sessions: %d is not 1–20", api.MaxSessions)
	p.check(api.MaxConcurrency >= 1 && api.MaxConcurrency <= 64, "api.max_concurrency: %d is not 1–64", api.MaxConcurrency)
	p.check(api.MinInterval >= 0 && api.MinInterval <= time.Minute, "api.min_interval: %s is not within [0, 1m]", api.MinInterval)
	p.check(api.HeaderTimestamp == "ms" || api.HeaderTimestamp == "s", "api.header_timestamp: %q is neither ms nor s", api.HeaderTimestamp)
	p.check(slices.Contains([]LoginBody{LoginArray, LoginText, LoginNamed}, api.LoginBody), "api.login_body: %q is none of array, text, named", api.LoginBody)
	p.check(api.LoginBody != LoginNamed || api.Auth == AuthLoginBySign, "api.login_body: named is known of login_by_sign only")
	_, _, ok := clientOfAppID(cfg.AppID)
	p.check(ok || api.Auth != AuthSignedHeaders, "api.auth: signed_headers needs an app id of the form NNNNNN_ plus 32 characters")
	p.check(cleanToken(api.OrgNumber), "api.org_number: %q is not letters, digits, _ and -", api.OrgNumber)
}

func knownHash(h Hash) bool { return h == SHA256 || h == SHA1 }

// loopback reports whether host is this machine.
func loopback(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// plainText is text of 1 to limit bytes that a person could have typed: valid
// UTF-8 without control characters.
func plainText(s string, limit int) bool {
	return s != "" && len(s) <= limit && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// cleanToken is [0-9A-Za-z_-]{1,64}: the only characters allowed in a value that
// goes into a query (reference 3.3, T27).
func cleanToken(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool { return !tokenRune(r) })
}

func tokenRune(r rune) bool {
	return '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || r == '_' || r == '-'
}

// formKey is a form id or a field key with its dots.
func formKey(s string) bool {
	return s != "" && len(s) <= 100 && !strings.ContainsFunc(s, func(r rune) bool { return !tokenRune(r) && r != '.' })
}

// cleanPath is a relative path of clean segments.
func cleanPath(s string) bool {
	for segment := range strings.SplitSeq(s, "/") {
		if !formKey(segment) || strings.Trim(segment, ".") == "" {
			return false
		}
	}
	return true
}
