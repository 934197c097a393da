package config

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// DingTalkWire are facts of DingTalk's wire that its documents leave open or tell
// in two ways. The defaults are what was seen to work; nobody needs to touch them
// before DingTalk's own answers say otherwise.
type DingTalkWire struct {
	Scope        string   `mapstructure:"scope" default:"openid corpid" doc:"scope of the browser sign-in"`
	JSAPIDigest  string   `mapstructure:"jsapi_digest" default:"sha256" doc:"digest of JSAPI signatures: sha256 or sha1"`
	InvalidToken []string `mapstructure:"invalid_token" default:"40014,42001,40001,41001,InvalidAuthentication" doc:"reasons that mean that the app token is no longer valid"`
	MessageBytes int      `mapstructure:"message_bytes" default:"2000" doc:"longest work notification, encoded; longer ones are cut, because DingTalk drops them in silence"`
	MembersPage  int      `mapstructure:"members_page" default:"100" doc:"people asked for at once, 1 to 100"`
}

// Throttle is what happens after DingTalk has said that we are too fast.
type Throttle struct {
	Wait  time.Duration `mapstructure:"wait" default:"1s" doc:"the first wait; each further one is longer"`
	Tries int           `mapstructure:"tries" default:"5" doc:"tries of one call, 1 to 10"`
}

// APIRate is another rate for one of DingTalk's APIs.
type APIRate struct {
	API string  `mapstructure:"api" doc:"which one: the operation as the metric kdgate_peer_calls_total names it"`
	QPS float64 `mapstructure:"qps" doc:"calls a second"`
}

var (
	scopePattern  = regexp.MustCompile(`^[a-zA-Z._]+( [a-zA-Z._]+)*$`)
	reasonPattern = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	apiPattern    = regexp.MustCompile(`^[a-z0-9_]+$`)
)

func checkDingTalkWire(m *Mistakes, at string, w DingTalkWire) {
	if !scopePattern.MatchString(w.Scope) {
		m.add("%s.scope: %q is no list of scopes; for example openid corpid", at, w.Scope)
	}
	oneOf(m, at+".jsapi_digest", w.JSAPIDigest, "sha256", "sha1")
	if len(w.InvalidToken) == 0 {
		m.add("%s.invalid_token: missing; without a reason an invalid token would never be fetched anew", at)
	}
	for i, reason := range w.InvalidToken {
		if !reasonPattern.MatchString(reason) {
			m.add("%s.invalid_token[%d]: %q is no error code of DingTalk's", at, i, reason)
		}
	}
	if w.MessageBytes < 500 || w.MessageBytes > 5000 {
		m.add("%s.message_bytes: %d; 500 to 5000", at, w.MessageBytes)
	}
	if w.MembersPage < 1 || w.MembersPage > 100 {
		m.add("%s.members_page: %d; 1 to 100", at, w.MembersPage)
	}
}

func checkRates(m *Mistakes, at string, q Quota) {
	if q.Throttle.Wait < 100*time.Millisecond || q.Throttle.Wait > time.Minute {
		m.add("%s.throttle.wait: %s; between 100ms and 1m", at, q.Throttle.Wait)
	}
	if q.Throttle.Tries < 1 || q.Throttle.Tries > 10 {
		m.add("%s.throttle.tries: %d; 1 to 10", at, q.Throttle.Tries)
	}
	checkOperations(m, at+".free", q.Free)
	checkOperations(m, at+".counted", q.Counted)
	for i, rate := range q.PerAPI {
		at := fmt.Sprintf("%s.per_api[%d]", at, i)
		if !apiPattern.MatchString(rate.API) {
			m.add("%s.api: %q is no operation; see the metric kdgate_peer_calls_total", at, rate.API)
		}
		if rate.QPS <= 0 || rate.QPS > 1000 {
			m.add("%s.qps: %v; more than 0, at most 1000", at, rate.QPS)
		}
	}
}

func checkOperations(m *Mistakes, at string, names []string) {
	for i, name := range names {
		if !apiPattern.MatchString(name) {
			m.add("%s[%d]: %q is no operation; see the metric kdgate_peer_calls_total", at, i, name)
		}
	}
}

func checkDelivery(m *Mistakes, at string, c Callback) {
	if c.MaxAge < time.Minute || c.MaxAge > 15*time.Minute {
		m.add("%s.max_age: %s; between 1m and 15m", at, c.MaxAge)
	}
	if c.ReplyWithin < 200*time.Millisecond || c.ReplyWithin > 2*time.Second {
		m.add("%s.reply_within: %s; between 200ms and 2s", at, c.ReplyWithin)
	}
	for i, sender := range c.Senders {
		if _, err := ParsePrefix(sender); err != nil {
			m.add("%s.senders[%d]: %q is neither an address nor a network", at, i, sender)
		}
	}
}

// LinkPages are the pages of Kingdee that a sign-on link leads to.
type LinkPages struct {
	HTML5  string `mapstructure:"html5" default:"html5/index.aspx" doc:"main page, below url; the letter case is the installation's taste"`
	Light  string `mapstructure:"light" default:"html5/lightstartapp.aspx" doc:"page of one form alone"`
	Mobile string `mapstructure:"mobile" default:"mobile/k3cloudForPhone.html" doc:"mobile page"`
}

// LinkField is one more field of a link's payload.
type LinkField struct {
	Name  string `mapstructure:"name" doc:"loginthen or formargs"`
	Value string `mapstructure:"value" doc:"its value"`
	Null  bool   `mapstructure:"is_null" doc:"write null instead of a value"`
}

// Logout is what Kingdee hears of a sign-out here.
type Logout struct {
	NotifyKingdee bool `mapstructure:"notify_kingdee" default:"true" doc:"end the person's sessions in Kingdee too (LogoutByOtherSystem)"`
}

var pagePattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*\.[A-Za-z0-9]+$`)

func checkLinkWire(m *Mistakes, at string, link Link) {
	for _, page := range [][2]string{{"html5", link.Pages.HTML5}, {"light", link.Pages.Light}, {"mobile", link.Pages.Mobile}} {
		if !pagePattern.MatchString(page[1]) {
			m.add("%s.pages.%s: %q is no page below url, such as html5/index.aspx", at, page[0], page[1])
		}
	}
	oneOf(m, at+".mobile_hash", link.MobileHash, "sha1", "sha256")
	if link.Version < 2 && len(link.Extra) > 0 {
		m.add("%s.extra: a link of version 1 has no such fields", at)
	}
	var seen []string
	for i, field := range link.Extra {
		at := fmt.Sprintf("%s.extra[%d]", at, i)
		oneOf(m, at+".name", field.Name, "loginthen", "formargs")
		if slices.Contains(seen, field.Name) {
			m.add("%s.name: %s is there twice", at, field.Name)
		}
		seen = append(seen, field.Name)
		if field.Null && field.Value != "" {
			m.add("%s: has a value and says is_null; one of them", at)
		}
	}
}
