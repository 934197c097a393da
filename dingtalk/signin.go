package dingtalk

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"kdgate/identity"
)

// maxCode bounds a code in bytes; real ones are some forty.
const maxCode = 512

var (
	opUserInfo  = operation{name: "getuserinfo", host: oldHost, path: "/topapi/v2/user/getuserinfo", single: true}
	opUserToken = operation{name: "useraccesstoken", host: newHost, path: "/v1.0/oauth2/userAccessToken", auth: authNone, single: true}
	opMe        = operation{name: "usersme", host: newHost, path: "/v1.0/contact/users/me", get: true, auth: authUser}
	opByUnion   = operation{name: "getbyunionid", host: oldHost, path: "/topapi/user/getbyunionid"}
)

// InClient trades the code of the in-client door for a person (reference 2.5).
// The answer names no organisation: the code is good only for the application
// whose token asks, so the organisation is ours or the code is refused.
//
// A code goes to DingTalk once. A failure whose CallError is Ambiguous may have
// used it up; the sign-in must then start again with a new code.
func (c *Client) InClient(ctx context.Context, code identity.Secret) (identity.Assertion, error) {
	ctx, cancel, err := c.beginCode(ctx, opUserInfo, code)
	if err != nil {
		return identity.Assertion{}, err
	}
	defer cancel()
	var out struct {
		Result struct {
			UserID  string `json:"userid"`
			UnionID string `json:"unionid"`
			Name    string `json:"name"`
		} `json:"result"`
	}
	err = c.do(ctx, call{op: opUserInfo, body: map[string]string{"code": code.Reveal()}, out: &out, admitted: true})
	if err != nil {
		return identity.Assertion{}, err
	}
	if !validUserID(out.Result.UserID) {
		return identity.Assertion{}, c.nonsense(opUserInfo, "userid")
	}
	return c.assert(out.Result.UserID, out.Result.UnionID, out.Result.Name, identity.DoorInClient), nil
}

// AuthorizeURL is where the browser door sends a person (reference 3.1). The
// state comes back unchanged; redirectURI must be registered with the vendor.
func (c *Client) AuthorizeURL(state, redirectURI string) string {
	pairs := [][2]string{
		{"redirect_uri", redirectURI},
		{"response_type", "code"},
		{"client_id", c.cfg.AppKey},
		{"scope", c.cfg.Scope},
		{"state", state},
		{"prompt", "consent"},
	}
	if strings.Contains(c.cfg.Scope, "corpid") {
		pairs = append(pairs, [2]string{"corpId", c.cfg.Corp})
	}
	var b strings.Builder
	b.WriteString(c.login.String() + "/oauth2/auth")
	for i, pair := range pairs {
		separator := "&"
		if i == 0 {
			separator = "?"
		}
		// The vendor wants spaces as %20; form encoding would write a plus.
		b.WriteString(separator + pair[0] + "=" + strings.ReplaceAll(url.QueryEscape(pair[1]), "+", "%20"))
	}
	return b.String()
}

// Browser trades the code of the browser door for a person (reference 3.3 and
// 3.4): the code for a user token, which names the organisation; the user token
// for a unionid; the unionid for an employee of ours. The user token serves one
// call and is not kept.
func (c *Client) Browser(ctx context.Context, code identity.Secret) (identity.Assertion, error) {
	ctx, cancel, err := c.beginCode(ctx, opUserToken, code)
	if err != nil {
		return identity.Assertion{}, err
	}
	defer cancel()
	user, err := c.userToken(ctx, code)
	if err != nil {
		return identity.Assertion{}, err
	}
	var me struct {
		UnionID string `json:"unionId"`
		Nick    string `json:"nick"`
	}
	if err := c.do(ctx, call{op: opMe, user: user, out: &me}); err != nil {
		return identity.Assertion{}, err
	}
	if !visible(me.UnionID) {
		return identity.Assertion{}, c.nonsense(opMe, "unionId")
	}
	userid, err := c.employee(ctx, me.UnionID)
	if err != nil {
		return identity.Assertion{}, err
	}
	return c.assert(userid, me.UnionID, me.Nick, identity.DoorBrowser), nil
}

func (c *Client) userToken(ctx context.Context, code identity.Secret) (identity.Secret, error) {
	var out struct {
		Token string `json:"accessToken"`
		Corp  string `json:"corpId"`
	}
	err := c.do(ctx, call{op: opUserToken, out: &out, admitted: true, body: map[string]string{
		"clientId": c.cfg.AppKey, "clientSecret": c.cfg.AppSecret.Reveal(),
		"code": code.Reveal(), "grantType": "authorization_code",
	}})
	c.alerts.oauthCode(ctx, identity.CodeOf(err) == identity.CodeAuthCodeRefused)
	if err != nil {
		return identity.Secret{}, err
	}
	if out.Corp != c.cfg.Corp { // absent counts as foreign (T3)
		return identity.Secret{}, identity.Fail(identity.Forbidden, identity.CodeForeignCorp,
			"dingtalk: the person signed in for organisation %q", clean(out.Corp))
	}
	if !usableToken(out.Token) {
		return identity.Secret{}, c.nonsense(opUserToken, "accessToken")
	}
	return identity.NewSecret(out.Token), nil
}

// employee finds the userid behind a unionid and refuses everybody who is not
// an employee, external contacts among them.
func (c *Client) employee(ctx context.Context, unionID string) (string, error) {
	var out struct {
		Result struct {
			UserID      string  `json:"userid"`
			ContactType *number `json:"contact_type"`
		} `json:"result"`
	}
	err := c.do(ctx, call{op: opByUnion, body: map[string]string{"unionid": unionID}, out: &out})
	switch {
	case identity.KindOf(err) == identity.NotFound && err != nil:
		return "", identity.Fail(identity.Forbidden, identity.CodeNotEmployee, "dingtalk: a stranger: %w", err)
	case err != nil:
		return "", err
	case out.Result.ContactType == nil || !validUserID(out.Result.UserID):
		return "", c.nonsense(opByUnion, "userid or contact_type")
	case *out.Result.ContactType != 0:
		return "", identity.Fail(identity.Forbidden, identity.CodeNotEmployee,
			"dingtalk: contact type %d is not an employee", *out.Result.ContactType)
	}
	return out.Result.UserID, nil
}

// beginCode looks at the code before anything else happens (T9), waits for a
// turn and marks the code as spent.
func (c *Client) beginCode(ctx context.Context, op operation, code identity.Secret) (context.Context, context.CancelFunc, error) {
	if text := code.Reveal(); len(text) > maxCode || !visible(text) {
		return nil, nil, identity.Fail(identity.Invalid, identity.CodeBadAuthCode,
			"dingtalk: a code of %d bytes or with strange characters", len(text))
	}
	if !c.spent.spend(code) {
		return nil, nil, identity.Fail(identity.Unauthenticated, identity.CodeAuthCodeRefused,
			"dingtalk: %w", errSpent)
	}
	turn, cancel, err := c.begin(ctx, op)
	if err != nil {
		c.spent.restore(code) // it has not left this process
	}
	return turn, cancel, err
}

func (c *Client) assert(userid, unionID, name string, door identity.Door) identity.Assertion {
	return identity.Assertion{
		Subject: identity.Subject{Corp: c.cfg.Corp, UserID: userid},
		UnionID: unionID, Name: name, Door: door, At: c.now(),
	}
}

// nonsense is an answer that says "success" and does not bring what success
// brings.
func (c *Client) nonsense(op operation, field string) error {
	e := c.failed(op, ruleUnreadable, fmt.Errorf("%w: %s", errShape, field))
	e.Ambiguous = true
	return c.public(e)
}

// validUserID checks the bounds of the reference (5.3) and refuses what no
// userid holds; it never changes one.
func validUserID(id string) bool {
	if n := utf8.RuneCountInString(id); n < 1 || n > 64 || !utf8.ValidString(id) {
		return false
	}
	return strings.IndexFunc(id, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) < 0
}
