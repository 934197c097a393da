package dingtalk

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"kdgate/identity"
)

// action is what a rule makes the client do besides failing the call.
type action int

const (
	actFail      action = iota // give up on this call
	actRetry                   // reads: the same call again after a wait
	actRefresh                 // new token, the call once more
	actPause                   // this API rests for the wait, reads try again
	actPauseTurn               // this API rests to the next minute
	actQuota                   // calls that cost quota rest to the next month
	actBan                     // every call from this address rests
)

// rule is one row of the decision table.
type rule struct {
	name   string // metric label, also in logs
	kind   identity.Kind
	code   identity.Code
	act    action
	tries  int           // calls in all, when act repeats
	wait   time.Duration // first wait, doubled each time; length of a pause
	drop   bool          // forget the token: a granted right needs a new one
	advice string        // what an administrator must do; empty means nobody need be told
}

// entry binds a rule to the reasons that call for it. A reason ending in an
// asterisk stands for everything that begins so.
type entry struct {
	rule    rule
	reasons []string
}

// decisions finds the rule for a refusal.
type decisions struct {
	refresh, throttled rule

	exact  map[string]rule
	token  map[string]rule // for token calls, where 40001 is the secret and not a token
	prefix []entry
}

func defaultInvalidToken() []string {
	return []string{"40014", "42001", "40001", "41001", "InvalidAuthentication"}
}

// Names of rules that are asked for elsewhere.
const (
	ruleParameter = "wrong_parameter"
	ruleProcess   = "process_code"
	ruleAgent     = "agent"
)

// Rules that do not hang on a reason.
var (
	ruleUnreachable = rule{
		name: "unreachable", kind: identity.Unavailable, code: identity.CodeDingTalkDown,
		act: actRetry, tries: 3, wait: 200 * time.Millisecond,
	}
	ruleUntrusted = rule{
		name: "tls", kind: identity.Unavailable, code: identity.CodeDingTalkDown,
		advice: "DingTalk's TLS certificate was not accepted: look for an intercepting proxy or a wrong address",
	}
	ruleUnreadable = rule{
		name: "unreadable", kind: identity.Upstream, code: identity.CodeDingTalkDown,
		act: actRetry, tries: 2, wait: 200 * time.Millisecond,
	}
	ruleBanned = rule{
		name: "banned", kind: identity.Throttled, code: identity.CodeDingTalkBusy, act: actBan,
		advice: "DingTalk has banned our address: lower the rates of everything that calls from it",
	}
	ruleThrottled = rule{
		name: "throttled", kind: identity.Throttled, code: identity.CodeDingTalkBusy,
		act: actPause, tries: 5, wait: time.Second,
	}
	rulePaused = rule{name: "paused", kind: identity.Throttled, code: identity.CodeDingTalkBusy}
	ruleHeld   = rule{name: "held", kind: identity.Unavailable, code: identity.CodeDingTalkDown}
	ruleBusy   = rule{
		name: "busy", kind: identity.Unavailable, code: identity.CodeDingTalkBusy,
		act: actRetry, tries: 3, wait: time.Second,
	}
	ruleSecret = rule{
		name: "secret_wrong", kind: identity.Misconfigured, code: identity.CodeDingTalkSetup,
		advice: "DingTalk refuses the Client ID or Client Secret: compare both with the developer console",
	}
	ruleUnclear403 = rule{
		name: "forbidden", kind: identity.Upstream, code: identity.CodeDingTalkSetup,
		act: actRetry, tries: 2, wait: time.Second,
		advice: "DingTalk answers 403 without a reason: check the application's permissions and rates",
	}
	ruleOther = rule{
		name: "other", kind: identity.Upstream, code: identity.CodeDingTalkDown,
		act: actRetry, tries: 2, wait: time.Second,
	}
)

// throttleEntries come before every rule for "Forbidden": the throttle codes
// begin alike and use the same status (reference 0.2, 8).
func throttleEntries(throttled rule) []entry {
	perMinute := throttled
	perMinute.act = actPauseTurn
	banned := throttled
	banned.name, banned.tries, banned.wait = "api_banned", 1, 5*time.Minute
	banned.advice = "DingTalk has banned one of its APIs for this application for a while: lower the rates"
	quota := rule{
		name: "quota", kind: identity.Throttled, code: identity.CodeDingTalkBusy, act: actQuota,
		advice: "the organisation's monthly API quota is used up: buy a pack or wait for the next month",
	}
	return []entry{
		{throttled, []string{
			"90018", "90002", "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi",
			"Forbidden.AccessDenied.QpsLimitForApi", "Forbidden.AccessDenied.QpsLimit*",
		}},
		{perMinute, []string{"Forbidden.AccessDenied.QpmLimit*"}},
		{quota, []string{"90020", "Forbidden.AccessDenied.ApiCountLimitForOrg"}},
		{banned, []string{
			"90001", "90003", "90004", "90005", "90006", "90007", "90008", "90009", "90010",
			"90011", "90012", "90013", "90014", "90017",
		}},
		{ruleBusy, []string{
			"-1", "15", "systemBusy", "system.busy", "qps.exceed.limit", "request.overlimit",
			"integrated.qps.exceed", "system.error", "systemError", "isp.*",
		}},
	}
}

// setupEntries need an administrator or a programmer.
func setupEntries() []entry {
	setup := func(name, advice string) rule {
		return rule{name: name, kind: identity.Misconfigured, code: identity.CodeDingTalkSetup, advice: advice}
	}
	fault := func(name, advice string) rule {
		return rule{name: name, kind: identity.Internal, code: identity.CodeInternal, advice: advice}
	}
	permission := setup("permission", "grant the permission to the application, then test again: a grant may need a new token")
	permission.drop = true
	return []entry{
		{permission, []string{"60011", "43007", "needAuth", "Forbidden.AccessDenied.AccessTokenPermissionDenied"}},
		{
			setup("address", "put the gateway's outgoing address on the application's allow-list"),
			[]string{"60020", "Forbidden.AccessDenied.IpNotInWhiteList"},
		},
		{ruleSecret, []string{"40096", "40089", "invalidClientIdOrSecret", "invalid.client", "unauthorized.client", "authFailed"}},
		{
			fault("token_missing", "a call of ours went without a token"),
			[]string{"40000", "AuthenticationFailed.MissingParameter"},
		},
		{fault("wrong_path", "DingTalk does not know a path of ours: check the endpoints"), []string{"22", "404"}},
		{fault(ruleParameter, "DingTalk refuses a parameter of ours"), []string{
			"400002", "40035", "40068", "40069",
			"43004", "invalidMaxResults", "invalidEndTime", "invalidParameter*",
			"invalidInstanceListIdsStartTime", "invalidNextToken", "invalidUserIds", "invalidInstanceComment*",
		}},
		{
			setup(ruleProcess, "DingTalk does not know a process code of the configuration: compare it with the address of the form's page"),
			[]string{"invalidProcessCode", "processCodeError", "aflowProcessCodeIsError"},
		},
		{
			setup(ruleAgent, "corps[].agent_id is not the AgentId of this application: compare it with the developer console"),
			[]string{"40056"},
		},
		{ruleUnclear403, []string{"Forbidden"}},
	}
}

// personEntries are about the person, code or record of this call alone.
func personEntries() []entry {
	about := func(name string, kind identity.Kind, code identity.Code) rule {
		return rule{name: name, kind: kind, code: code}
	}
	return []entry{
		{
			about("code_refused", identity.Unauthenticated, identity.CodeAuthCodeRefused),
			[]string{"40078", "invalidParameter.authCode.notFound", "不合法的临时授权码", "invalidCode", "accesstoken.expired"},
		},
		{about("out_of_scope", identity.Forbidden, identity.CodeNotInScope), []string{"40079", "50002", "50004"}},
		{
			about("no_person", identity.NotFound, identity.CodeNotEmployee),
			[]string{"60121", "33012", "40003", "invalidParameter.user.notFound"},
		},
		{about("no_callback", identity.NotFound, ""), []string{"71007"}},
		{about("no_department", identity.NotFound, ""), []string{"60003", "40009"}},
		{about("no_approval", identity.NotFound, ""), []string{
			"processInstanceNotExist", "aflowProcessInstNotExist",
			"aflowProcessInstCanNotBeExecuted", "processInstanceIdError", "invalidInstanceId",
		}},
		{about("no_commenter", identity.Forbidden, identity.CodeNotInScope), []string{"userNotExist"}},
	}
}

// newDecisions builds the table; invalidToken is the configured list of
// reasons that mean "token invalid or expired", throttled what to do when DingTalk
// finds us too fast.
func newDecisions(invalidToken []string, throttled rule) decisions {
	refresh := rule{
		name: "token_invalid", kind: identity.Misconfigured, code: identity.CodeDingTalkSetup, act: actRefresh,
		advice: "DingTalk refuses a token it has just issued: check the token call and the application's state",
	}
	d := decisions{refresh: refresh, throttled: throttled, exact: map[string]rule{}, token: map[string]rule{}}
	for _, e := range slices.Concat(throttleEntries(throttled), setupEntries(), personEntries(), robotEntries(), yidaEntries(throttled)) {
		d.add(e)
	}
	d.add(entry{refresh, []string{"unauthorized"}}) // under 400, 401 and 500 alike (reference 0.2, 7)
	d.add(entry{refresh, invalidToken})
	for _, reason := range []string{
		"40001", "40089", "40096", "invalidClientIdOrSecret", "invalid.client",
		"unauthorized", "unauthorized.client", "unknownError",
	} {
		d.token[reason] = ruleSecret
	}
	return d
}

func (d *decisions) add(e entry) {
	for _, reason := range e.reasons {
		if stem, ok := strings.CutSuffix(reason, "*"); ok {
			d.prefix = append(d.prefix, entry{e.rule, []string{stem}})
			continue
		}
		d.exact[reason] = e.rule
	}
}

// find is the rule for the reason of a refusal. The HTTP status decides only
// where no reason does.
func (d *decisions) find(op operation, reason string, status int) rule {
	if r, ok := d.token[reason]; ok && op.auth == authSecret {
		return r
	}
	if r, ok := d.exact[reason]; ok {
		return r
	}
	for _, e := range d.prefix {
		if strings.HasPrefix(reason, e.reasons[0]) {
			return e.rule
		}
	}
	switch {
	case status == http.StatusUnauthorized && op.auth == authSecret:
		return ruleSecret
	case status == http.StatusUnauthorized:
		return d.refresh
	case status == http.StatusForbidden && reason == "":
		return ruleUnclear403
	case status == http.StatusTooManyRequests:
		return d.throttled
	case status >= http.StatusInternalServerError:
		return ruleBusy
	}
	return ruleOther
}
