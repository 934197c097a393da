package dingtalk

import (
	"context"
	"net/url"
	"time"

	"kdgate/identity"
)

// fetchToken asks for the application token by the configured call. A repeat
// inside its life gives the same token renewed, so replicas need not agree.
func (c *Client) fetchToken(ctx context.Context) (identity.Secret, time.Duration, error) {
	var old struct {
		Token string `json:"access_token"`
		Life  number `json:"expires_in"`
	}
	var current struct {
		Token string `json:"accessToken"`
		Life  number `json:"expireIn"`
	}
	key, secret := c.cfg.AppKey, c.cfg.AppSecret.Reveal()
	var k call
	switch c.cfg.TokenCall {
	case TokenGetToken:
		k = call{
			op:    operation{name: "gettoken", host: oldHost, path: "/gettoken", get: true, auth: authSecret},
			query: url.Values{"appkey": {key}, "appsecret": {secret}}, out: &old,
		}
	case TokenCorp:
		k = call{
			op:   operation{name: "corptoken", host: newHost, path: "/v1.0/oauth2/" + c.cfg.Corp + "/token", auth: authSecret, counted: true},
			body: map[string]string{"client_id": key, "client_secret": secret, "grant_type": "client_credentials"}, out: &old,
		}
	default:
		k = call{
			op:   operation{name: "accesstoken", host: newHost, path: "/v1.0/oauth2/accessToken", auth: authSecret},
			body: map[string]string{"appKey": key, "appSecret": secret}, out: &current,
		}
	}
	if err := c.do(ctx, k); err != nil {
		return identity.Secret{}, 0, err
	}
	token, life := old.Token+current.Token, time.Duration(old.Life+current.Life)*time.Second
	if !usableToken(token) || life <= 0 {
		return identity.Secret{}, 0, c.nonsense(k.op, "token")
	}
	return identity.NewSecret(token), life, nil
}

// usableToken keeps a hostile value out of headers and queries.
func usableToken(token string) bool { return len(token) <= 4096 && visible(token) }

// visible reports whether s is printable ASCII without spaces, and not empty.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}
