package config

import (
	"slices"
	"time"

	"kdgate/identity"
)

// Config is the whole configuration. The tags `doc` and `default` feed the
// generated reference; `mapstructure` is the name of the key.
type Config struct {
	PublicURL       string       `mapstructure:"public_url" doc:"address that browsers use; every absolute URL comes from here" example:"https://gate.example.com"`
	Listen          Listen       `mapstructure:"listen" doc:"the public listener"`
	Ops             Ops          `mapstructure:"ops" doc:"health, readiness, metrics and the local API, never public"`
	Store           Store        `mapstructure:"store" doc:"where state is kept"`
	Seal            Seal         `mapstructure:"seal" doc:"key that seals every stored value"`
	Audit           Audit        `mapstructure:"audit" doc:"the audit log"`
	Outbound        Outbound     `mapstructure:"outbound" doc:"calls to webhooks and receivers"`
	Sessions        Sessions     `mapstructure:"sessions" doc:"browser sessions"`
	Limits          Limits       `mapstructure:"limits" doc:"limits on sign-in attempts"`
	Corps           []Corp       `mapstructure:"corps" doc:"DingTalk organisations, one internal H5 app each"`
	DataCentres     []DataCentre `mapstructure:"data_centres" doc:"Kingdee data centres (数据中心)"`
	Forms           []Form       `mapstructure:"forms" doc:"what a deep link may name; everything else is refused"`
	Mapping         Mapping      `mapstructure:"mapping" doc:"how userid becomes FStaffNumber"`
	Admins          []Admin      `mapstructure:"admins" doc:"who may use the console"`
	Console         Console      `mapstructure:"console" doc:"the administrators' console, at /admin/"`
	ForwardAuth     ForwardAuth  `mapstructure:"forward_auth" doc:"applications behind nginx, Traefik or Caddy that ask /forward-auth"`
	Check           Check        `mapstructure:"check" doc:"the self-check: what kdgate check tests, by the clock"`
	Canary          Canary       `mapstructure:"canary" doc:"an appointed visitor who is signed in to Kingdee by the clock"`
	Log             Log          `mapstructure:"log" doc:"the program's own log, on standard error"`
	Directory       Directory    `mapstructure:"directory" doc:"DingTalk's address book to Kingdee's staff"`
	HR              HR           `mapstructure:"hr" doc:"an HR system as the master of the people at DingTalk"`
	Approvals       []Approval   `mapstructure:"approvals" doc:"which approvals become which bills; see docs/approvals.md"`
	ApprovalConsole bool         `mapstructure:"approval_console" default:"true" doc:"rules of approvals may be written in the console too; for a form that this file names, this file wins"`
	ApprovalFiles   ApprovalFile `mapstructure:"approval_files" doc:"files of approvals on their bills, for rules with attachments"`
	Search          Search       `mapstructure:"approval_search" doc:"how approvals are found whose event never came"`
	Notices         []Notice     `mapstructure:"notices" doc:"what people are told"`
	Robots          []Robot      `mapstructure:"robots" doc:"robots of DingTalk groups, for notices"`
	Mail            Mail         `mapstructure:"mail" doc:"mail server, for notices"`
	Clients         Clients      `mapstructure:"clients" doc:"other applications that sign in through kdgate"`

	// Warnings are settings that are right but do nothing yet, or weaken something.
	Warnings []string `mapstructure:"-"`
}

// Check is the self-check.
type Check struct {
	Every string `mapstructure:"every" default:"40 4 1 * *" doc:"when: @every and a time, or five cron fields in UTC+8; the first of each month"`
}

// Canary is a visitor by the clock: the chain resolved, a link made and opened,
// the session ended again (F14).
type Canary struct {
	Corp        string        `mapstructure:"corp" doc:"whose; the first organisation when empty"`
	UserID      string        `mapstructure:"userid" doc:"userid whose mapping is walked, of a Kingdee user without rights kept for this; none is walked without one"`
	DataCentres []string      `mapstructure:"data_centres" doc:"where; every data centre when empty"`
	Every       time.Duration `mapstructure:"every" default:"5m" doc:"how often, on each replica"`
}

// Clients are the relying parties of the identity-provider doors.
type Clients struct {
	OIDC []any `mapstructure:"oidc" doc:"OpenID Connect relying parties"`
	CAS  []any `mapstructure:"cas" doc:"CAS services"`
	SAML []any `mapstructure:"saml" doc:"SAML service providers"`
}

// Listen is the public listener.
type Listen struct {
	Address        string   `mapstructure:"address" default:":8443" doc:"host:port"`
	Cert           string   `mapstructure:"cert" doc:"PEM certificate chain"`
	Key            string   `mapstructure:"key" doc:"PEM private key"`
	MinVersion     string   `mapstructure:"min_version" default:"1.3" doc:"oldest TLS version: 1.3, or 1.2 for old webviews"`
	TrustedProxies []string `mapstructure:"trusted_proxies" doc:"addresses or networks whose forwarded headers count; empty trusts nobody"`

	Connections           int `mapstructure:"connections" default:"4096" doc:"connections at once; less where the process may open few files. Past it the one that waits longest is closed"`
	ConnectionsPerAddress int `mapstructure:"connections_per_address" default:"2048" doc:"connections at once from one address; trusted proxies are held to connections only"`

	Leave time.Duration `mapstructure:"leave" default:"0s" doc:"after the signal to stop, how long to answer \"not ready\" and still serve; with replicas, longer than the balancer takes to look elsewhere"`
}

// Ops is the operations listener.
type Ops struct {
	Address string `mapstructure:"address" default:"127.0.0.1:9090" doc:"host:port"`
}

// Store says which driver keeps the state, and how Redis is reached.
type Store struct {
	Driver       string          `mapstructure:"driver" default:"sqlite" doc:"sqlite (embedded) or redis"`
	Path         string          `mapstructure:"path" default:"data/kdgate.db" doc:"database file of the embedded store"`
	URL          string          `mapstructure:"url" doc:"redis://host:port/db, rediss://… for TLS, or unix:///path/to/redis.sock"`
	URLs         []string        `mapstructure:"urls" doc:"several addresses: the sentinels, or some nodes of the cluster"`
	Sentinel     string          `mapstructure:"sentinel" doc:"name of the master that the sentinels at urls watch"`
	Cluster      bool            `mapstructure:"cluster" doc:"the addresses are nodes of a Redis Cluster"`
	TLS          StoreTLS        `mapstructure:"tls" doc:"certificates for rediss"`
	Username     string          `mapstructure:"username" doc:"ACL user"`
	Password     identity.Secret `mapstructure:"password" secret:"true" doc:"password"`
	PasswordFile string          `mapstructure:"password_file" doc:"file whose content is the password"`

	SentinelUsername     string          `mapstructure:"sentinel_username" doc:"ACL user at the sentinels"`
	SentinelPassword     identity.Secret `mapstructure:"sentinel_password" secret:"true" doc:"password at the sentinels; they do not share the master's"`
	SentinelPasswordFile string          `mapstructure:"sentinel_password_file" doc:"file whose content is the password at the sentinels"`

	Tenant   string `mapstructure:"tenant" default:"main" doc:"separates installations that share one Redis"`
	Insecure bool   `mapstructure:"insecure" doc:"allow Redis without TLS off loopback"`

	WaitReplicas int `mapstructure:"wait_replicas" default:"0" doc:"how many Redis replicas have to confirm a change before it counts, so that no failover forgets it; with Sentinel and two replicas: 1"`
}

// Addresses are url or urls, whichever is written.
func (s Store) Addresses() []string {
	if s.URL != "" {
		return []string{s.URL}
	}
	return s.URLs
}

// StoreTLS names the certificates for Redis over TLS.
type StoreTLS struct {
	CAFile     string `mapstructure:"ca_file" doc:"PEM roots instead of the system's"`
	ClientCert string `mapstructure:"client_cert" doc:"PEM client certificate"`
	ClientKey  string `mapstructure:"client_key" doc:"PEM client key"`
	ServerName string `mapstructure:"server_name" doc:"one name that the certificates of all nodes carry; each node's own address when empty"`
}

// Seal names the key that seals stored values and signs the audit log.
type Seal struct {
	KeyFile     string   `mapstructure:"key_file" doc:"at least 32 random bytes; made on the first run of the embedded store when left out"`
	OldKeyFiles []string `mapstructure:"old_key_files" doc:"keys that still verify, for rotation"`
}

// Audit is the audit log.
type Audit struct {
	Dir            string        `mapstructure:"dir" default:"data/audit" doc:"folder of the log"`
	Retain         time.Duration `mapstructure:"retain" default:"184d" doc:"how long records are kept, at least 183d"`
	Anchor         Anchor        `mapstructure:"anchor" doc:"where signed checkpoints go, off the host"`
	Syslog         string        `mapstructure:"syslog" doc:"receiver of every record as RFC 5424 messages" example:"tls://siem.example.com:6514"`
	Webhook        Webhook       `mapstructure:"webhook" doc:"receiver of every record as JSON Lines"`
	OnWriteFailure string        `mapstructure:"on_write_failure" default:"refuse" doc:"refuse: no record, no action"`
}

// Anchor is where signed checkpoints go.
type Anchor struct {
	File    string `mapstructure:"file" doc:"append-only file, best on another machine"`
	Webhook string `mapstructure:"webhook" doc:"https address that each checkpoint line is posted to"`
}

// Webhook is an address that records are posted to, signed.
type Webhook struct {
	URL        string          `mapstructure:"url" doc:"https address"`
	Secret     identity.Secret `mapstructure:"secret" secret:"true" doc:"signs each delivery: X-Kdgate-Signature is sha256= and the HMAC-SHA-256 of X-Kdgate-Timestamp, a dot and the body"`
	SecretFile string          `mapstructure:"secret_file" doc:"file that holds the secret"`
}

// Outbound bounds the calls to addresses that are not the vendors'.
type Outbound struct {
	Private []string `mapstructure:"private" doc:"addresses or networks inside the house that webhooks may call; all other private addresses are refused" example:"10.20.0.0/16"`
	CAFile  string   `mapstructure:"ca_file" doc:"PEM roots for webhooks and the syslog receiver; the system's when empty"`

	DingTalkBan time.Duration `mapstructure:"dingtalk_ban" default:"5m" doc:"silence after DingTalk's page that bans our address; a change wants a restart"`
}

// Sessions bounds browser sessions (T44).
type Sessions struct {
	Idle     time.Duration `mapstructure:"idle" default:"30m" doc:"ends a session that is not used, at most 30m"`
	Absolute time.Duration `mapstructure:"absolute" default:"8h" doc:"ends every session, at most 24h"`
}

// Limits bounds sign-ins, so that a flood cannot use up DingTalk's patience (T7) or fill the store.
type Limits struct {
	SignInPerAddress int `mapstructure:"signin_per_address" default:"120" doc:"refused codes a minute from one address, before only its clean browsers get a share; good sign-ins are not charged"`
	SignInTotal      int `mapstructure:"signin_total" default:"3000" doc:"codes sent to DingTalk a minute in all"`
	OpenPerAddress   int `mapstructure:"open_per_address" default:"10000" doc:"sign-ins that one address may have begun and not finished within five minutes; past that its browsers get a share, finished ones are not charged"`
	OpenTotal        int `mapstructure:"open_total" default:"50000" doc:"sign-ins begun and not finished within five minutes in all, for each replica"`
}

// Corp is one DingTalk organisation with our internal app in it.
type Corp struct {
	ID            string          `mapstructure:"id" doc:"corpId, for example dingcorp1"`
	AppKey        string          `mapstructure:"app_key" doc:"Client ID (AppKey) of the app"`
	AppSecret     identity.Secret `mapstructure:"app_secret" secret:"true" doc:"Client Secret (AppSecret)"`
	AppSecretFile string          `mapstructure:"app_secret_file" doc:"file whose content is the Client Secret"`
	AgentID       string          `mapstructure:"agent_id" doc:"AgentId of the app"`
	Events        string          `mapstructure:"events" default:"stream" doc:"stream or callback; callback where only that is described"`
	Callback      Callback        `mapstructure:"callback" doc:"HTTP callback, when events is callback"`
	Endpoints     Endpoints       `mapstructure:"endpoints" doc:"DingTalk's hosts"`
	TokenCall     string          `mapstructure:"token_call" default:"access_token" doc:"how the app token is fetched: access_token, gettoken or corp_token"`
	ApprovalTimes string          `mapstructure:"approval_times" default:"local" doc:"what the Z behind an approval's time means: local (UTC+8) or utc"`
	ApprovalPage  string          `mapstructure:"approval_page" default:"https://aflow.dingtalk.com/dingtalk/pc/query/pchomepage.htm?corpid={corp}#/detail?procInstId={instance}" doc:"address of an approval's page, for the console's links"`
	Quota         Quota           `mapstructure:"quota" doc:"how much of DingTalk's limits we use"`
	Wire          DingTalkWire    `mapstructure:"wire" doc:"what DingTalk's documents leave open"`
	Yida          []YidaApp       `mapstructure:"yida" doc:"Yida (宜搭) applications whose forms become bills"`
}

// CallbackOwner is the key inside every frame of the organisation's callbacks.
func (c Corp) CallbackOwner() string {
	if c.Callback.OwnerKey != "" {
		return c.Callback.OwnerKey
	}
	return c.AppKey
}

// Callback is the set-up of DingTalk's HTTP events.
type Callback struct {
	Token      identity.Secret `mapstructure:"token" secret:"true" doc:"signature token (签名 token)"`
	TokenFile  string          `mapstructure:"token_file" doc:"file whose content is the token"`
	AESKey     identity.Secret `mapstructure:"aes_key" secret:"true" doc:"加密 aes_key, 43 characters"`
	AESKeyFile string          `mapstructure:"aes_key_file" doc:"file whose content is the aes_key"`
	OwnerKey   string          `mapstructure:"owner_key" doc:"corpId for subscriptions of the old register call; the Client ID when empty"`
	Old        OldCallback     `mapstructure:"old" doc:"what was in force before, for a time after a change"`

	MaxAge      time.Duration `mapstructure:"max_age" default:"5m" doc:"how far the signed time of an event may be from ours"`
	ReplyWithin time.Duration `mapstructure:"reply_within" default:"1200ms" doc:"an event that cannot be kept by then is left to DingTalk's next try"`
	Senders     []string      `mapstructure:"senders" doc:"addresses or networks that events may come from; empty: any, the signature proves them" example:"10.20.0.0/16"`
}

// OldCallback is the material before a change (T69).
type OldCallback struct {
	Token      identity.Secret `mapstructure:"token" secret:"true" doc:"token before the change"`
	TokenFile  string          `mapstructure:"token_file" doc:"file whose content it is"`
	AESKey     identity.Secret `mapstructure:"aes_key" secret:"true" doc:"aes_key before the change"`
	AESKeyFile string          `mapstructure:"aes_key_file" doc:"file whose content it is"`
	Until      string          `mapstructure:"until" doc:"day (2026-01-31) after which it is refused"`
}

// Endpoints are the base addresses of DingTalk.
type Endpoints struct {
	OAPI  string `mapstructure:"oapi" default:"https://oapi.dingtalk.com" doc:"old API"`
	API   string `mapstructure:"api" default:"https://api.dingtalk.com" doc:"new API"`
	Login string `mapstructure:"login" default:"https://login.dingtalk.com" doc:"browser sign-in"`
	JSAPI string `mapstructure:"jsapi" doc:"address of the client script; our own copy when empty"`
}

// Quota is our share of DingTalk's limits.
type Quota struct {
	QPS                int     `mapstructure:"qps" default:"20" doc:"calls a second to one API"`
	DirectoryPerMinute int     `mapstructure:"directory_per_minute" default:"100" doc:"address-book calls a minute"`
	Month              int     `mapstructure:"month" default:"5000" doc:"counted calls a calendar month"`
	ReserveLogin       float64 `mapstructure:"reserve_login" default:"0.5" doc:"part of the calls a second kept for sign-in"`

	EventsMonth int       `mapstructure:"events_month" default:"3000" doc:"counted events a calendar month"`
	Free        []string  `mapstructure:"free" doc:"calls that cost nothing of the month any more, by the names of the metric kdgate_peer_calls_total"`
	Counted     []string  `mapstructure:"counted" doc:"calls that cost a call of the month although they were free"`
	PerAPI      []APIRate `mapstructure:"per_api" doc:"rates of single APIs that differ from qps"`
	Throttle    Throttle  `mapstructure:"throttle" doc:"after an answer that says too fast"`
}

// DataCentre is one Kingdee data centre.
type DataCentre struct {
	ID              string          `mapstructure:"id" doc:"our name for it, used in addresses"`
	Name            string          `mapstructure:"name" doc:"what people see; the id when empty"`
	URL             string          `mapstructure:"url" doc:"base address, ending in /K3Cloud/"`
	DBID            string          `mapstructure:"db_id" doc:"data centre id (数据中心ID), 14 characters"`
	AppID           string          `mapstructure:"app_id" doc:"应用ID of the row in 第三方系统登录授权"`
	AppSecret       identity.Secret `mapstructure:"app_secret" secret:"true" doc:"应用密钥"`
	AppSecretFile   string          `mapstructure:"app_secret_file" doc:"file whose content is the 应用密钥"`
	IntegrationUser string          `mapstructure:"integration_user" doc:"集成用户 of the row"`
	LCID            int             `mapstructure:"lcid" default:"2052" doc:"2052 Simplified Chinese, 1033 English, 3076 Traditional Chinese"`
	Link            Link            `mapstructure:"link" doc:"the sign-on link"`
	Users           Users           `mapstructure:"users" doc:"from staff number to login user"`
	API             API             `mapstructure:"api" doc:"the Web API session"`
	Forms           Forms           `mapstructure:"forms" doc:"forms and field keys of what is written to Kingdee"`
	Logout          Logout          `mapstructure:"logout" doc:"what Kingdee hears of a sign-out"`
	Mode            string          `mapstructure:"mode" default:"link" doc:"link: the browser is redirected to Kingdee; proxy: Kingdee is reached through the gateway only, one data centre at most"`
	Proxy           Proxy           `mapstructure:"proxy" doc:"the reverse proxy, when mode is proxy"`
	CAFile          string          `mapstructure:"ca_file" doc:"PEM roots instead of the system's"`
	ClientCert      string          `mapstructure:"client_cert" doc:"PEM client certificate"`
	ClientKey       string          `mapstructure:"client_key" doc:"PEM client key"`
	Insecure        bool            `mapstructure:"insecure" doc:"allow http to this server off loopback"`
}

// Proxy is what passes through the reverse proxy of a data centre.
type Proxy struct {
	Host         string   `mapstructure:"host" default:"upstream" doc:"the Host that Kingdee sees: upstream, its own name, or public, ours"`
	AllowHeaders []string `mapstructure:"allow_headers" default:"accept-encoding_wpf" doc:"request headers with an underscore that pass; every other is refused"`
	DenyPaths    []string `mapstructure:"deny_paths" doc:"paths below /K3Cloud/ to close beside those closed by default; * stands for any text"`
	AllowPaths   []string `mapstructure:"allow_paths" doc:"paths below /K3Cloud/ to open that are closed by default; the management centre and logins stay closed"`
}

// ForwardAuth is the door for applications behind another proxy.
type ForwardAuth struct {
	Origins []string `mapstructure:"origins" doc:"addresses on the gateway's own host name, as https://gate.example.com:8444, that a sign-in may lead back to"`
	Hosts   []string `mapstructure:"hosts" doc:"applications on hosts of their own, as app.example.com, which get a session cookie of their own; needs listen.trusted_proxies"`
}

// Link is how sign-on links are made. What Kingdee leaves uncertain is a setting.
type Link struct {
	Version     int           `mapstructure:"version" default:"4" doc:"1 to 4; 4 needs 8.0.0.202205 or later"`
	Hash        string        `mapstructure:"hash" doc:"sha1 or sha256; by version when empty"`
	Permitcount string        `mapstructure:"permitcount" default:"1" doc:"1 single use, 0 reusable, none to leave it out"`
	Window      time.Duration `mapstructure:"window" default:"10m" doc:"链接有效时间 of the row"`
	Entry       string        `mapstructure:"entry" default:"html5" doc:"html5, wpf, or light: links to a form open it alone, the icon the console"`
	MobileEntry bool          `mapstructure:"mobile_entry" doc:"offer the mobile page"`
	Characters  string        `mapstructure:"characters" default:"ascii" doc:"of the link's payload: ascii (decodes everywhere), utf-8 or gbk"`
	UDEncoding  bool          `mapstructure:"udencoding" default:"true" doc:"append udencoding=utf-8"`
	MobileHash  string        `mapstructure:"mobile_hash" default:"sha1" doc:"of the mobile page's links: sha1 or sha256"`
	Pages       LinkPages     `mapstructure:"pages" doc:"pages that a link leads to"`
	Extra       []LinkField   `mapstructure:"extra" doc:"further fields of the payload, of undocumented meaning"`
}

// Users is the route from a staff record to the login user (reference: five open field keys).
type Users struct {
	Route            string   `mapstructure:"route" default:"person" doc:"person (two steps), employee or user"`
	StaffForm        string   `mapstructure:"staff_form" default:"BD_Empinfo" doc:"form of staff records"`
	Listed           []string `mapstructure:"listed" doc:"user names on 指定用户登录 when the row lists its users; empty when it admits all"`
	StaffNumberField string   `mapstructure:"staff_number_field" default:"FStaffNumber" doc:"key of the staff number"`
	StaffPersonField string   `mapstructure:"staff_person_field" doc:"key of the person on a staff record; the post form is asked when empty"`
	PostForm         string   `mapstructure:"post_form" default:"BD_NEWSTAFF" doc:"form of post records (员工任岗信息)"`
	PersonField      string   `mapstructure:"person_field" default:"FPersonId" doc:"key of the person on a post record"`
	UserForm         string   `mapstructure:"user_form" default:"SEC_User" doc:"form of login users"`
	UserNameField    string   `mapstructure:"user_name_field" default:"FName" doc:"key of 用户名称"`
	UserLinkField    string   `mapstructure:"user_link_field" default:"FLinkObject" doc:"key of the linked person on a user"`
}

// API bounds the Web API session.
type API struct {
	Auth         string        `mapstructure:"auth" default:"login_by_sign" doc:"login_by_sign, signed_headers or app_secret"`
	Hash         string        `mapstructure:"hash" doc:"sha1 or sha256 for logins; as link.hash when empty"`
	MaxSessions  int           `mapstructure:"max_sessions" default:"5" doc:"Web API sessions side by side"`
	SessionIdle  time.Duration `mapstructure:"session_idle" default:"15m" doc:"log in again after this, below Kingdee's 20m"`
	AcceptMinus5 bool          `mapstructure:"accept_result_minus5" doc:"count LoginResultType -5 as success"`
	PageSize     int           `mapstructure:"page_size" default:"1000" doc:"rows a query, at most 2000"`
	MinInterval  time.Duration `mapstructure:"min_interval" default:"0s" doc:"least time between two calls"`
	LoginBody    string        `mapstructure:"login_body" default:"array" doc:"how a login's parameters are written: array, text (the array as JSON text) or named"`
	Timestamp    string        `mapstructure:"header_timestamp" default:"ms" doc:"unit of the time in signed headers: ms or s"`
	OrgNumber    string        `mapstructure:"org_number" default:"0" doc:"organisation number in signed headers"`
}

// Form is one entry of the server-side list of deep links.
type Form struct {
	Name   string   `mapstructure:"name" doc:"name in the address: /launch/kingdee/NAME/ID"`
	FormID string   `mapstructure:"form_id" doc:"Kingdee form id (业务对象标识)"`
	Types  []string `mapstructure:"types" doc:"bill, list, …; the first is the default"`
	Entry  string   `mapstructure:"entry" doc:"html5 or light; the data centre's own when empty"`
}

// Mapping says how userid becomes FStaffNumber.
type Mapping struct {
	StaffNumberFrom string        `mapstructure:"staff_number_from" default:"userid" doc:"userid, job_number, extension:NAME or none"`
	Recheck         string        `mapstructure:"recheck" default:"30 2 * * *" doc:"when every mapping is looked up in Kingdee again: five cron fields in UTC+8, or off"`
	PrivilegedUsers []string      `mapstructure:"privileged_users" default:"Administrator" doc:"login users that need two approvals, beside the integration users"`
	VerifyMaxAge    time.Duration `mapstructure:"verify_max_age" default:"10m" doc:"how old Kingdee's word on a user may be at a launch"`
	AllowCached     time.Duration `mapstructure:"allow_cached" default:"0s" doc:"how much older it may be while Kingdee cannot be asked; 0 refuses"`
}

// Privileged are the login users that nobody is mapped to by one person's word and
// that nothing forbids: those listed, and the integration users, which act on
// whatever the gateway may (T18).
func (c *Config) Privileged() []string {
	users := slices.Clone(c.Mapping.PrivilegedUsers)
	for _, dc := range c.DataCentres {
		users = append(users, dc.IntegrationUser)
	}
	return users
}

// Admin is a console administrator.
type Admin struct {
	Corp   string `mapstructure:"corp" doc:"corpId"`
	UserID string `mapstructure:"userid" doc:"DingTalk userid"`
	Role   string `mapstructure:"role" doc:"admin, mapping-admin or auditor"`
}

// Console says where the console stands and how it is entered when DingTalk cannot be asked.
type Console struct {
	Address    string   `mapstructure:"address" doc:"host:port of a listener of its own; empty: on the public listener"`
	URL        string   `mapstructure:"url" doc:"address that browsers use for that listener"`
	Allow      []string `mapstructure:"allow" doc:"client addresses or networks that reach the console; empty allows all"`
	BreakGlass bool     `mapstructure:"break_glass" default:"true" doc:"keep a local emergency account; its one-time secret is written to console-secret in the data folder"`
}

// Log is the program's own log.
type Log struct {
	Level string `mapstructure:"level" default:"info" doc:"debug, info, warn or error"`
}
