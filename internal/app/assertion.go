package app

import (
	"context"
	"net/url"
	"time"

	"kdgate/gateway"
	"kdgate/gateway/proxy"
	"kdgate/identity"
	"kdgate/identity/token"
)

const (
	assertionLife = time.Minute
	jwksPath      = "/.well-known/jwks.json"
	// forwardAudience is the aud of what /forward-auth says, behind the public
	// address: nginx does not tell which application asks.
	forwardAudience = "/forward-auth"
)

// newIssuer makes the signer of assertions. Its keys derive from the gateway's
// secrets, so every replica has the same and none is stored.
func (s *Server) newIssuer(public *url.URL, r ring) (*token.Issuer, error) {
	secrets := make([]identity.Secret, len(r.gateway))
	for i, secret := range r.gateway {
		var err error
		if secrets[i], err = deriveSecret([]byte(secret.Reveal()), "kdgate assertions"); err != nil {
			return nil, err
		}
	}
	return token.New(token.Config{
		Issuer: public.Scheme + "://" + public.Host, Secret: secrets[0], Others: secrets[1:], Lifetime: assertionLife, Now: s.options.Now,
	})
}

// asserter tells one audience who somebody is.
type asserter struct {
	issuer     *token.Issuer
	audience   string
	dataCentre string // that login users belong to; empty: none
	now        func() time.Time
}

// Assert implements gateway.Asserter and proxy.Signer.
func (a asserter) Assert(ctx context.Context, who identity.Principal, loginUser string) (identity.Secret, time.Time, error) {
	signed, err := a.issuer.Sign(ctx, token.Claims{
		Subject: who.Subject, Audience: a.audience, SessionID: who.SessionID, Name: who.Name,
		Account: identity.Account{DataCentre: a.dataCentre, LoginUser: loginUser},
	})
	return signed, a.now().Add(assertionLife), err
}

var (
	_ gateway.Asserter = asserter{}
	_ proxy.Signer     = asserter{}
	_ gateway.Proxy    = (*proxy.Proxy)(nil)
)
