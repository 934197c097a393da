package config

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"kdgate/identity"
	"kdgate/internal/lazyregexp"
)

var (
	idPattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`) // {0,63} would be compiled 63 times over, and kept
	corpPattern = regexp.MustCompile(`^ding[a-z0-9]+$`)
	// placeholders are what sample files say where a secret belongs (T123).
	placeholders = lazyregexp.New(`(?i)^\s*(change.?(me|it).*|replace.?(me|this|with).*|insert.*here|secret|password|placeholder|dummy|your.*|xxx+|\*\*\*+|todo|fixme|tbd|none|null|example.*|<.*>|\$\{.*\}|\.\.\.)\s*$`)
)

func isID(text string) bool { return len(text) <= 64 && idPattern.MatchString(text) }

func isCorp(text string) bool { return len(text) <= 64 && corpPattern.MatchString(text) }

// check adds every mistake it finds; it changes nothing but Warnings.
func (c *Config) check(m *Mistakes) {
	c.checkPlaceholders(m)
	c.checkPublicURL(m)
	c.checkListen(m)
	c.checkOps(m)
	c.checkStore(m)
	c.checkSeal(m)
	c.checkAudit(m)
	c.checkSessions(m)
	c.checkCorps(m)
	c.checkDataCentres(m)
	c.checkForms(m)
	c.checkForwardAuth(m)
	c.checkMapping(m)
	c.checkAdmins(m)
	c.checkConsole(m)
	c.checkDirectory(m)
	c.checkHR(m)
	c.checkCanary(m)
	c.checkApprovals(m)
	c.checkNotices(m)
	c.checkUnsupported(m)
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		m.add("log.level: %q is none of debug, info, warn, error", c.Log.Level)
	}
}

func (c *Config) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

func (c *Config) checkPublicURL(m *Mistakes) {
	if c.PublicURL == "" {
		m.add("public_url: missing; write the address that browsers use, for example public_url: https://gate.example.com")
		return
	}
	u, err := url.Parse(c.PublicURL)
	if err != nil || u.Host == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		m.add("public_url: %q is not scheme://host[:port]; for example https://gate.example.com", c.PublicURL)
		return
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		m.add("public_url: must begin with https:// (plain http is for loopback only)")
	}
}

func (c *Config) checkListen(m *Mistakes) {
	host, _, err := net.SplitHostPort(c.Listen.Address)
	if err != nil {
		m.add("listen.address: %q is not host:port, for example \":8443\"", c.Listen.Address)
	}
	c.checkProxies(m)
	switch {
	case (c.Listen.Cert == "") != (c.Listen.Key == ""):
		m.add("listen: cert and key belong together; name both files")
	case c.Listen.Cert != "":
		if _, err := tls.LoadX509KeyPair(c.Listen.Cert, c.Listen.Key); err != nil {
			m.add("listen.cert: %v", err)
		}
		checkKeyFile(m, "listen.key", c.Listen.Key)
	case err == nil && !isLoopback(host) && len(c.Listen.TrustedProxies) == 0:
		m.add("listen: %s would speak plain HTTP off loopback; give cert and key, or name the proxy that speaks TLS in trusted_proxies", c.Listen.Address)
	}
	if c.Listen.Leave < 0 || c.Listen.Leave > time.Minute {
		m.add("listen.leave: %s; at most 1m", c.Listen.Leave)
	}
	if c.Listen.ConnectionsPerAddress < 8 || c.Listen.Connections < c.Listen.ConnectionsPerAddress {
		m.add("listen: connections_per_address must be at least 8 and connections no less than it")
	}
	switch c.Listen.MinVersion {
	case "1.3":
	case "1.2":
		c.warn("listen.min_version: TLS 1.2 is allowed, for old webviews")
	default:
		m.add("listen.min_version: %q is neither 1.3 nor 1.2", c.Listen.MinVersion)
	}
}

func (c *Config) checkProxies(m *Mistakes) {
	for i, proxy := range c.Listen.TrustedProxies {
		if prefix, err := ParsePrefix(proxy); err != nil {
			m.add("listen.trusted_proxies[%d]: %q is neither an address nor a network such as 10.0.0.0/24", i, proxy)
		} else if isEverybody(prefix) {
			m.add("listen.trusted_proxies[%d]: %s trusts everybody; name the proxy's own address", i, proxy)
		}
	}
}

// isEverybody reports a network wider than any that is one's own: 10.0.0.0/8 and
// fc00::/7 are the widest. Two halves of the world are all of it (T49, T123).
func isEverybody(network netip.Prefix) bool {
	if network.Addr().Is4() {
		return network.Bits() < 8
	}
	return network.Bits() < 7
}

func (c *Config) checkOps(m *Mistakes) {
	if opsHost, _, err := net.SplitHostPort(c.Ops.Address); err != nil {
		m.add("ops.address: %q is not host:port, for example 127.0.0.1:9090", c.Ops.Address)
	} else if !isLoopback(opsHost) {
		c.warn("ops.address: %s is reachable off this machine; metrics and readiness have no sign-in of their own", c.Ops.Address)
	}
}

// checkSeal reads the keys but makes none (T123).
func (c *Config) checkSeal(m *Mistakes) {
	first, err := c.firstRun()
	switch {
	case c.Seal.KeyFile == "" && c.Store.Driver != "sqlite": // checkRedis says so
	case err != nil:
		m.add("seal.key_file: %v", err)
	case !first:
		if _, err := readSealKey(c.sealKeyFile()); err != nil {
			m.add("seal.key_file: %v", err)
		}
	}
	for i, file := range c.Seal.OldKeyFiles {
		if _, err := readSealKey(file); err != nil {
			m.add("seal.old_key_files[%d]: %v", i, err)
		}
	}
}

func (c *Config) checkSessions(m *Mistakes) {
	if c.Sessions.Idle < time.Minute || c.Sessions.Idle > 30*time.Minute {
		m.add("sessions.idle: %s; between 1m and 30m", c.Sessions.Idle)
	}
	if c.Sessions.Absolute < c.Sessions.Idle || c.Sessions.Absolute > 24*time.Hour {
		m.add("sessions.absolute: %s; between sessions.idle and 24h", c.Sessions.Absolute)
	}
	if c.Limits.SignInPerAddress < 1 || c.Limits.SignInTotal < c.Limits.SignInPerAddress {
		m.add("limits: signin_per_address must be at least 1 and signin_total no less than it")
	}
	if c.Limits.OpenPerAddress < 10 || c.Limits.OpenTotal < c.Limits.OpenPerAddress {
		m.add("limits: open_per_address must be at least 10 and open_total no less than it")
	}
}

func (c *Config) checkCorps(m *Mistakes) {
	if len(c.Corps) == 0 {
		m.add("corps: missing; name the DingTalk organisation and its app")
	}
	seen := map[string]bool{}
	for i := range c.Corps {
		corp, at := &c.Corps[i], fmt.Sprintf("corps[%d]", i)
		if !isCorp(corp.ID) {
			m.add("%s.id: %q is not a corpId (ding followed by lower-case letters and digits)", at, corp.ID)
		} else if seen[corp.ID] {
			m.add("%s.id: %s is there twice", at, corp.ID)
		}
		seen[corp.ID] = true
		if corp.AppKey == "" {
			m.add("%s.app_key: missing; it stands as Client ID on the app's 凭证与基础信息 page", at)
		}
		checkSecret(m, at+".app_secret", corp.AppSecret)
		for _, endpoint := range [][2]string{
			{"oapi", corp.Endpoints.OAPI},
			{"api", corp.Endpoints.API},
			{"login", corp.Endpoints.Login},
			{"jsapi", corp.Endpoints.JSAPI},
		} {
			if endpoint[1] != "" {
				checkPeerURL(m, at+".endpoints."+endpoint[0], endpoint[1], false)
			}
		}
		oneOf(m, at+".approval_times", corp.ApprovalTimes, "local", "utc")
		if page := corp.ApprovalPage; !strings.HasPrefix(page, "https://") && !strings.HasPrefix(page, "http://") {
			m.add("%s.approval_page: %q is no address", at, page)
		}
		oneOf(m, at+".token_call", corp.TokenCall, "access_token", "gettoken", "corp_token")
		c.checkEvents(m, at, corp)
		checkQuota(m, at+".quota", corp.Quota)
		checkDingTalkWire(m, at+".wire", corp.Wire)
		checkYida(m, at+".yida", corp.Yida)
	}
}

// checkEvents wants the callback's keys where it is used, and says so where they
// are there and it is not.
func (c *Config) checkEvents(m *Mistakes, at string, corp *Corp) {
	oneOf(m, at+".events", corp.Events, "stream", "callback")
	switch callback := corp.Callback; {
	case corp.Events == "callback":
		checkCallback(m, at+".callback", callback)
	case !callback.Token.IsZero() || !callback.AESKey.IsZero():
		c.warn("%s.callback: does nothing while events is %s", at, corp.Events)
	}
}

func checkQuota(m *Mistakes, at string, q Quota) {
	atLeastOne(m, at+".qps", q.QPS)
	atLeastOne(m, at+".directory_per_minute", q.DirectoryPerMinute)
	atLeastOne(m, at+".month", q.Month)
	atLeastOne(m, at+".events_month", q.EventsMonth)
	checkRates(m, at, q)
	if q.ReserveLogin < 0 || q.ReserveLogin > 0.9 {
		m.add("%s.reserve_login: %v; between 0 and 0.9", at, q.ReserveLogin)
	}
}

func (c *Config) checkDataCentres(m *Mistakes) {
	if len(c.DataCentres) == 0 {
		m.add("data_centres: missing; name the Kingdee data centre")
	}
	seen := map[string]bool{}
	for i := range c.DataCentres {
		dc, at := &c.DataCentres[i], fmt.Sprintf("data_centres[%d]", i)
		if !isID(dc.ID) {
			m.add("%s.id: %q; use lower-case letters, digits, - and _", at, dc.ID)
		} else if seen[dc.ID] || dc.ID == "kingdee" {
			m.add("%s.id: %s is there twice, or is the reserved word kingdee", at, dc.ID)
		}
		seen[dc.ID] = true
		checkPeerURL(m, at+".url", dc.URL, dc.Insecure)
		required(m, at+".db_id", dc.DBID, "it stands in the link of 生成测试链接 (数据中心ID)")
		required(m, at+".app_id", dc.AppID, "it is the 应用ID of the row in 第三方系统登录授权")
		required(m, at+".integration_user", dc.IntegrationUser, "it is the 集成用户 of the row")
		checkSecret(m, at+".app_secret", dc.AppSecret)
		if !slices.Contains([]int{2052, 1033, 3076}, dc.LCID) {
			m.add("%s.lcid: %d is none of 2052, 1033, 3076", at, dc.LCID)
		}
		oneOf(m, at+".mode", dc.Mode, "link", "proxy")
		checkProxy(m, at, dc)
		if (dc.ClientCert == "") != (dc.ClientKey == "") {
			m.add("%s: client_cert and client_key belong together; name both files", at)
		}
		for _, file := range [][2]string{{"ca_file", dc.CAFile}, {"client_cert", dc.ClientCert}, {"client_key", dc.ClientKey}} {
			if _, err := os.Stat(file[1]); file[1] != "" && err != nil {
				m.add("%s.%s: there is no file %s", at, file[0], file[1])
			}
		}
		checkKeyFile(m, at+".client_key", dc.ClientKey)
		c.checkLink(m, at+".link", dc.Link)
		checkAPI(m, at, dc)
		c.warnOfSHA1(at, dc)
	}
	c.checkOneProxy(m)
}

func (c *Config) checkLink(m *Mistakes, at string, link Link) {
	if link.Version < 1 || link.Version > 4 {
		m.add("%s.version: %d; 1 to 4", at, link.Version)
	}
	if link.Hash != "" {
		oneOf(m, at+".hash", link.Hash, "sha1", "sha256")
	}
	oneOf(m, at+".permitcount", link.Permitcount, "1", "0", "none")
	if link.Permitcount != "1" {
		c.warn("%s.permitcount: %s lets a link be used more than once", at, link.Permitcount)
	}
	oneOf(m, at+".entry", link.Entry, "html5", "light", "wpf")
	oneOf(m, at+".characters", link.Characters, "ascii", "utf-8", "gbk")
	if link.Window <= 0 {
		m.add("%s.window: must be more than nothing; Kingdee refuses every link when it is 0", at)
	}
	checkLinkWire(m, at, link)
}

// warnOfSHA1 names every signature of a data centre that is not SHA-256 (T34).
func (c *Config) warnOfSHA1(at string, dc *DataCentre) {
	link := dc.Link
	if link.Hash == "sha1" || (link.Hash == "" && link.Version < 4) {
		c.warn("%s.link: signs with SHA-1; use version 4 where the server is 8.0.0.202205 or later", at)
	}
	if link.MobileEntry && link.MobileHash == "sha1" {
		c.warn("%s.link.mobile_entry: the mobile page's links are signed with SHA-1; try mobile_hash: sha256, or leave the mobile page off", at)
	}
	if dc.API.Hash == "sha1" {
		c.warn("%s.api.hash: signs logins with SHA-1; leave it out where the server is 8.0.0.202205 or later", at)
	}
}

func checkAPI(m *Mistakes, at string, dc *DataCentre) {
	oneOf(m, at+".api.auth", dc.API.Auth, "login_by_sign", "signed_headers", "app_secret")
	if dc.API.Hash != "" {
		oneOf(m, at+".api.hash", dc.API.Hash, "sha1", "sha256")
	}
	oneOf(m, at+".api.login_body", dc.API.LoginBody, "array", "text", "named")
	if dc.API.LoginBody == "named" && dc.API.Auth != "login_by_sign" {
		m.add("%s.api.login_body: named is known of login_by_sign only", at)
	}
	oneOf(m, at+".api.header_timestamp", dc.API.Timestamp, "ms", "s")
	oneOf(m, at+".users.route", dc.Users.Route, "person", "employee", "user")
	if dc.API.PageSize < 1 || dc.API.PageSize > 2000 {
		m.add("%s.api.page_size: %d; 1 to 2000", at, dc.API.PageSize)
	}
	checkForms(m, at+".forms", dc.Forms)
	if dc.API.MaxSessions < 1 || dc.API.MaxSessions > 5 {
		m.add("%s.api.max_sessions: %d; 1 to 5", at, dc.API.MaxSessions)
	}
	if dc.API.SessionIdle < time.Minute || dc.API.SessionIdle >= 20*time.Minute {
		m.add("%s.api.session_idle: %s; between 1m and 20m", at, dc.API.SessionIdle)
	}
}

func (c *Config) checkForms(m *Mistakes) {
	seen := map[string]bool{}
	for i, form := range c.Forms {
		at := fmt.Sprintf("forms[%d]", i)
		if !isID(form.Name) || seen[form.Name] {
			m.add("%s.name: %q; lower-case letters, digits, - and _, each name once", at, form.Name)
		}
		seen[form.Name] = true
		if !regexp.MustCompile(`^[A-Za-z0-9_]{1,80}$`).MatchString(form.FormID) {
			m.add("%s.form_id: %q is not a Kingdee form id", at, form.FormID)
		}
		if len(form.Types) == 0 {
			m.add("%s.types: missing; for example [bill, list]", at)
		}
		for _, kind := range form.Types {
			oneOf(m, at+".types", kind, "bill", "list", "wnreport", "sqlreport", "sysreport", "treereport", "movereport", "dynamicform")
		}
		if form.Entry != "" {
			oneOf(m, at+".entry", form.Entry, "html5", "light")
		}
	}
}

func (c *Config) checkMapping(m *Mistakes) {
	from := c.Mapping.StaffNumberFrom
	if name, ok := strings.CutPrefix(from, "extension:"); ok {
		required(m, "mapping.staff_number_from", name, "extension: wants the field's name behind it")
	} else {
		oneOf(m, "mapping.staff_number_from", from, "userid", "job_number", "none")
	}
	if c.Mapping.VerifyMaxAge < 0 || c.Mapping.VerifyMaxAge > 24*time.Hour {
		m.add("mapping.verify_max_age: %s; at most 24h", c.Mapping.VerifyMaxAge)
	}
	if c.Mapping.AllowCached < 0 || c.Mapping.AllowCached > 10*time.Minute {
		m.add("mapping.allow_cached: %s; at most 10m", c.Mapping.AllowCached)
	}
}

func (c *Config) checkAdmins(m *Mistakes) {
	for i, admin := range c.Admins {
		at := fmt.Sprintf("admins[%d]", i)
		if !slices.ContainsFunc(c.Corps, func(corp Corp) bool { return corp.ID == admin.Corp }) {
			m.add("%s.corp: %q is not one of corps", at, admin.Corp)
		}
		required(m, at+".userid", admin.UserID, "it is the DingTalk userid")
		if slices.ContainsFunc(c.Admins[:i], func(a Admin) bool { return a.Corp == admin.Corp && a.UserID == admin.UserID }) {
			m.add("%s: %s/%s is there twice; a person has one role", at, admin.Corp, admin.UserID)
		}
		oneOf(m, at+".role", admin.Role, "admin", "mapping-admin", "auditor")
	}
}

// checkUnsupported refuses sections that would do nothing: a control that is
// written down but not there must not look as if it were.
func (c *Config) checkUnsupported(m *Mistakes) {
	if len(c.Clients.OIDC)+len(c.Clients.CAS)+len(c.Clients.SAML) > 0 {
		m.add("clients: not available yet in this version; leave the lists empty")
	}
}

func atLeastOne(m *Mistakes, name string, value int) {
	if value < 1 {
		m.add("%s: %d; at least 1", name, value)
	}
}

func required(m *Mistakes, name, value, hint string) {
	if value == "" {
		m.add("%s: missing; %s", name, hint)
	}
}

func oneOf(m *Mistakes, name, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		m.add("%s: %q is none of %s", name, value, strings.Join(allowed, ", "))
	}
}

// checkKeyFile refuses a private key that everybody may read (T123). That it is
// there and fits is looked at where it is loaded.
func checkKeyFile(m *Mistakes, name, path string) {
	if info, err := os.Stat(path); path != "" && err == nil && openToOthers(info) {
		m.add("%s: everybody may read %s; run: chmod 600 %s", name, path, path)
	}
}

func checkSecret(m *Mistakes, name string, secret identity.Secret) {
	if secret.IsZero() {
		m.add("%s_file: missing; write the secret into a file of mode 0600 and name it here, or set %s", name, envName(name))
	}
}

// checkPlaceholders refuses a sample's word wherever a secret stands (T123).
func (c *Config) checkPlaceholders(m *Mistakes) {
	for name, secret := range c.Secrets() {
		if placeholders().MatchString(secret.Reveal()) {
			m.add("%s: still holds a placeholder; put the real secret there", name)
		}
	}
}

func checkPeerURL(m *Mistakes, name, text string, insecure bool) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		m.add("%s: %q is not an address such as https://host/path/", name, text)
		return
	}
	if u.Scheme != "https" && (u.Scheme != "http" || (!insecure && !isLoopback(u.Hostname()))) {
		m.add("%s: must begin with https://", name)
	}
}

// ParsePrefix reads an address or a network in CIDR form.
func ParsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
