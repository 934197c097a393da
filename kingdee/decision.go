package kingdee

import (
	"time"

	"kdgate/identity"
)

// symptom is what came back from Kingdee, named. The decision for each is data,
// in the one table below, which follows reference 3.5 row by row.
type symptom int

const (
	fine symptom = iota
	noConnection
	badCertificate
	circuitOpen
	queueFull
	callerGone
	serverDown
	serverError
	writeUnknown
	redirected
	statusRefused
	htmlPage
	responseError
	notAuthenticated
	forcedGateway
	passportRefused
	sessionLost
	sessionKicked
	authRefused
	timeRefused
	loginRefused
	loginMinus5
	lockedOut
	notWhiteListed
	noRights
	badRequest
	exception
	databaseFailed
	licence
	noData
	validationFailed
	recordInUse
	callLimit
	partial
	businessError
	unexpected
	implausible
	symptomCount
)

// decision is one row of the table.
type decision struct {
	row      int           // of reference 3.5; 0 for our own additions
	name     string        // for metrics and logs
	retries  int           // further tries of a read, with back-off and jitter
	delay    time.Duration // before the first further try, doubled each time; 0 means 200 ms
	relogin  bool          // log in once and repeat, then judge without this
	kind     identity.Kind
	code     identity.Code
	operator bool          // an administrator is told, once until it heals
	patience time.Duration // … after it has lasted so long
	stop     time.Duration // no further login (row 27: no further call) for so long
	stopMax  time.Duration // … doubled while it lasts, up to this
	advice   string        // what the administrator is to do
}

const (
	kdDown  = identity.CodeKingdeeDown
	kdSetup = identity.CodeKingdeeSetup

	unavailable   = identity.Unavailable
	misconfigured = identity.Misconfigured
)

// decisions is the decision table. Reads and writes share it: a write is
// repeated only when the request never left (row 1), whatever the row says.
var decisions = [symptomCount]decision{
	noConnection: {
		row: 1, name: "no-connection", retries: 2, kind: unavailable, code: kdDown, operator: true, patience: 5 * time.Minute,
		advice: "Kingdee cannot be reached from this machine: check its address, the network and whether the server is up",
	},
	badCertificate: {
		row: 1, name: "bad-certificate", kind: misconfigured, code: kdSetup, operator: true,
		advice: "the TLS certificate of Kingdee is not valid for its address, or its issuer is not trusted: renew it, or name the issuer in ca_file",
	},
	circuitOpen: {name: "circuit-open", kind: unavailable, code: kdDown},
	queueFull:   {name: "queue-full", kind: identity.Throttled, code: identity.CodeKingdeeBusy},
	callerGone:  {name: "caller-gone", kind: unavailable, code: kdDown},
	serverDown: {
		row: 2, name: "server-down", retries: 2, kind: unavailable, code: kdDown, operator: true, patience: 5 * time.Minute,
		advice: "Kingdee's web server is up but its application is not (IIS recycling?): check the Kingdee server",
	},
	serverError: {
		row: 3, name: "server-error", retries: 1, kind: unavailable, code: kdDown, operator: true,
		advice: "Kingdee answers HTTP 500 to a query: look into its server log",
	},
	writeUnknown: {row: 4, name: "write-unknown", kind: unavailable, code: kdDown},
	redirected: {
		row: 5, name: "redirected", kind: misconfigured, code: kdSetup, operator: true,
		advice: "the address of the data centre redirects: correct url (https instead of http?)",
	},
	statusRefused: {
		row: 6, name: "status-refused", kind: misconfigured, code: kdSetup, operator: true,
		advice: "a proxy or IIS refuses the Web API address: correct url, or open the path *.common.kdsvc",
	},
	htmlPage: {
		row: 7, name: "html", kind: misconfigured, code: kdSetup, operator: true,
		advice: "a web page or filter answers where Kingdee's Web API should: correct url, or take the filter out of the way",
	},
	responseError: {
		row: 8, name: "response-error", kind: misconfigured, code: kdSetup, operator: true,
		advice: "Kingdee refuses the call with the text shown",
	},
	notAuthenticated: {
		row: 9, name: "not-authenticated", relogin: true, kind: misconfigured, code: kdSetup, operator: true, stop: 5 * time.Minute, stopMax: 30 * time.Minute,
		advice: "the session is not authenticated although login succeeded: renew the expired password of the integration user",
	},
	forcedGateway: {
		row: 10, name: "forced-gateway", kind: misconfigured, code: kdSetup, operator: true, stop: time.Minute,
		advice: "ask the Kingdee administrator to remove CDPIsForcedApiGW from T_BAS_USERPARAMETER",
	},
	passportRefused: {
		row: 11, name: "passport-refused", kind: misconfigured, code: kdSetup, operator: true, stop: time.Minute,
		advice: "in 第三方系统登录授权 the row is missing or switched off, its app id or secret differs, or the data-centre id is wrong: compare app_id, app_secret_file and db_id with the row",
	},
	sessionLost: {row: 12, name: "session-lost", relogin: true, kind: unavailable, code: kdDown},
	sessionKicked: {
		row: 12, name: "session-kicked", retries: 2, kind: unavailable, code: kdDown, operator: true,
		advice: "a second login of the integration user ends its first session: give kdgate an integration user of its own; one session is used from now on",
	},
	authRefused: {
		row: 13, name: "auth-refused", kind: misconfigured, code: kdSetup, operator: true, stop: 5 * time.Minute, stopMax: 30 * time.Minute,
		advice: "Kingdee reports a lost session right after the login: check db_id, integration_user, app_id and secret, that the row exists with 链接有效时间 not 0, and the user's licence group",
	},
	timeRefused: {
		row: 13, name: "time-refused", kind: misconfigured, code: kdSetup, operator: true, stop: time.Minute,
		advice: "set both servers' clocks by NTP, and 链接有效时间 of the row to 10, never 0",
	},
	loginRefused: {
		row: 15, name: "login-refused", kind: misconfigured, code: kdSetup, operator: true, stop: 5 * time.Minute, stopMax: 30 * time.Minute,
		advice: "the integration user cannot log in: check integration_user (用户名称), app id and secret, that the row lists the user, and that it is not forbidden, locked or without licence",
	},
	loginMinus5: {
		row: 16, name: "login-minus-5", kind: misconfigured, code: kdSetup, operator: true, stop: 5 * time.Minute, stopMax: 30 * time.Minute,
		advice: "Kingdee wants a form dealt with at login (type −5): use an integration user that is no administrator, or set api.accept_result_minus5",
	},
	lockedOut: {
		row: 17, name: "locked-out", kind: misconfigured, code: kdSetup, operator: true, stop: 30 * time.Minute,
		advice: "too many failed logins: the integration user is locked for about 30 minutes; correct the secret meanwhile",
	},
	notWhiteListed: {
		row: 18, name: "not-white-listed", kind: misconfigured, code: kdSetup, operator: true, stop: time.Minute,
		advice: "ask the Kingdee administrator to add the address shown to the white list of the row in 第三方系统登录授权",
	},
	noRights: {
		row: 19, name: "no-rights", kind: misconfigured, code: kdSetup, operator: true,
		advice: "give the integration user the right to query staff, post records and users, and to save, submit and audit what jobs write",
	},
	badRequest: {
		row: 20, name: "bad-request", kind: misconfigured, code: kdSetup, operator: true,
		advice: "a configured form id or field key does not exist on this server: correct users.* or forms.*",
	},
	exception: {
		row: 21, name: "exception", kind: misconfigured, code: kdSetup, operator: true,
		advice: "Kingdee could not process the query: compare users.* with the forms on this server",
	},
	databaseFailed: {
		row: 22, name: "database-failed", retries: 1, kind: unavailable, code: kdDown, operator: true,
		advice: "Kingdee reports a failed database operation: look into its server log",
	},
	licence: {
		row: 23, name: "licence", kind: misconfigured, code: kdSetup, operator: true,
		advice: "assign a licence group to the integration user",
	},
	noData:           {row: 24, name: "no-data", kind: identity.NotFound},
	validationFailed: {row: 25, name: "validation-failed", kind: identity.Upstream, code: kdSetup},
	recordInUse:      {row: 26, name: "record-in-use", retries: 2, delay: time.Second, kind: unavailable, code: kdDown, operator: true, patience: 5 * time.Minute, advice: "a record is held open elsewhere: close it in Kingdee"},
	callLimit: {
		row: 27, name: "call-limit", kind: identity.Throttled, code: kdDown, operator: true, stop: time.Minute, stopMax: 8 * time.Minute,
		advice: "Kingdee limits the calls of this client: put it on the limit's white list (9.1.0.20250807 and later), lower api.max_sessions, or set api.min_interval",
	},
	partial:       {row: 28, name: "partial", kind: identity.Upstream, code: kdSetup},
	businessError: {row: 29, name: "business-error", kind: identity.Upstream, code: kdSetup},
	unexpected: {
		row: 30, name: "unexpected", kind: identity.Upstream, code: kdDown, operator: true,
		advice: "Kingdee's answer has an unknown form: report the shape shown, with the server's version",
	},
	implausible: {
		name: "implausible", kind: identity.Upstream, code: kdSetup, operator: true,
		advice: "a look-up by number found far more records than one person can have: the filter is not applied; check the field keys in users.*",
	},
}

// rowOfMsgCode reads ResponseStatus.MsgCode (reference 3.4).
var rowOfMsgCode = map[string]symptom{
	"1": sessionLost, "2": noRights, "3": badRequest, "4": exception, "5": badRequest, "6": databaseFailed, "7": licence,
	"8": badRequest, "9": badRequest, "10": noData, "11": validationFailed, "12": validationFailed, "13": recordInUse,
	"14": callLimit, "15": noRights,
}

// knownTexts are looked at last, and only in texts that are messages, never in
// data. They change between patches; a code decides where there is one.
var knownTexts = []struct {
	part string
	symptom
}{
	{"The request is not from API GateWay", forcedGateway},
	{"白名单失败", notWhiteListed},
	{"次数超限", lockedOut},
	{"时间戳验证失败", timeRefused},
	{"Fail to verify thirty passport", passportRefused},
	{"Fail to VerifyThirtyPassport", passportRefused},
	{"Fail to RestoreSessionByApi", loginRefused},
	{"ByRspRetStatusCode", notAuthenticated},
	{"会话信息已丢失", sessionLost},
	{"业务对象不存在", badRequest},
	{"没有该功能的操作权限", noRights},
	{"请稍候再使用", recordInUse},
	{"已经被拦截规则", htmlPage},
}
