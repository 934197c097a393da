package token

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"kdgate/identity"
	"kdgate/internal/strictjson"
)

// Claims is what a token says about a person, and to whom. Subject and Audience
// are required.
type Claims struct {
	Subject   identity.Subject
	Audience  string           // the one upstream that may accept the token
	Account   identity.Account // empty fields are left out
	SessionID string           // public handle of the session
	Name      string           // display name, for people's eyes only, never a key
}

var (
	errSubject  = errors.New("the subject must have a corp without a slash, and a userid")
	errAudience = errors.New("the audience must be named")
	errText     = errors.New("a claim is not UTF-8")
)

func (c Claims) validate() error {
	if c.Subject.Corp == "" || c.Subject.UserID == "" || strings.Contains(c.Subject.Corp, "/") {
		return errSubject
	}
	if c.Audience == "" {
		return errAudience
	}
	// The encoder would replace what is not UTF-8, and two people become one.
	for _, text := range []string{
		c.Subject.Corp, c.Subject.UserID, c.Audience, c.SessionID, c.Name,
		c.Account.DataCentre, c.Account.StaffNumber, c.Account.LoginUser,
	} {
		if !utf8.ValidString(text) {
			return errText
		}
	}
	return nil
}

// Token is a checked token.
type Token struct {
	Claims
	ID        string // jti, unique to this token
	IssuedAt  time.Time
	ExpiresAt time.Time
}

// stamp is what the issuer adds.
type stamp struct {
	issuer, id      string
	issued, expires int64 // Unix seconds
}

// payload is a token's claims on the wire. Times are whole seconds; pointers
// tell an absent claim from a zero.
type payload struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"` // corp/userid; the corp holds no slash
	Audience  audience `json:"aud"`
	Expires   *int64   `json:"exp"`
	NotBefore *int64   `json:"nbf"`
	Issued    *int64   `json:"iat"`
	ID        string   `json:"jti"`
	Name      string   `json:"name,omitempty"`
	Session   string   `json:"sid,omitempty"`
	Centre    string   `json:"kd_dc,omitempty"`    // our id of the data centre
	Staff     string   `json:"kd_staff,omitempty"` // FStaffNumber
	Login     string   `json:"kd_user,omitempty"`  // 用户名称, as Kingdee spells it
}

func newPayload(c Claims, s stamp) *payload {
	return &payload{
		Issuer: s.issuer, Subject: c.Subject.Corp + "/" + c.Subject.UserID, Audience: audience(c.Audience),
		Expires: &s.expires, NotBefore: &s.issued, Issued: &s.issued, ID: s.id, Name: c.Name, Session: c.SessionID,
		Centre: c.Account.DataCentre, Staff: c.Account.StaffNumber, Login: c.Account.LoginUser,
	}
}

// token is the payload in our words, once it has been checked.
func (p *payload) token() Token {
	corp, userID, _ := strings.Cut(p.Subject, "/")
	return Token{
		Claims: Claims{
			Subject: identity.Subject{Corp: corp, UserID: userID}, Audience: string(p.Audience),
			Account:   identity.Account{DataCentre: p.Centre, StaffNumber: p.Staff, LoginUser: p.Login},
			SessionID: p.Session, Name: p.Name,
		},
		ID: p.ID, IssuedAt: time.Unix(*p.Issued, 0), ExpiresAt: time.Unix(*p.Expires, 0),
	}
}

// wire is payload without its methods.
type wire payload

// UnmarshalJSON reads the claims with exact names, and refuses one that stands
// there twice (T75). What is missing is for Validate, after the signature.
func (p *payload) UnmarshalJSON(raw []byte) error {
	if err := strictjson.Decode(raw, (*wire)(p)); err != nil {
		return fmt.Errorf("token: claims: %w", err)
	}
	return nil
}

// audience is one audience, as text or as an array of one. A token for several
// is for nobody here: whoever receives it could pass it on.
type audience string

// UnmarshalJSON reads both forms of RFC 7519, 4.1.3.
func (a *audience) UnmarshalJSON(raw []byte) error {
	var several jwt.ClaimStrings
	if err := several.UnmarshalJSON(raw); err != nil {
		return fmt.Errorf("token: aud: %w", err)
	}
	if len(several) == 1 {
		*a = audience(several[0])
	}
	return nil
}

// errMissing is a required claim that is absent or empty.
var errMissing = errors.New("a required claim is missing")

// Validate implements jwt.ClaimsValidator: what the library does not require.
// It runs after the signature has been found good.
func (p *payload) Validate() error {
	corp, userID, found := strings.Cut(p.Subject, "/")
	if !found || corp == "" || userID == "" || p.ID == "" || p.Issued == nil || p.NotBefore == nil || p.Expires == nil {
		return errMissing
	}
	return nil
}

// maxSeconds is the end of the year 9999; beyond it arithmetic could overflow.
const maxSeconds = 253402300799

// date gives the library a time; nil for an absent one.
func date(seconds *int64) (*jwt.NumericDate, error) {
	if seconds == nil {
		return nil, nil
	}
	if *seconds < 0 || *seconds > maxSeconds {
		return nil, jwt.ErrInvalidType
	}
	return jwt.NewNumericDate(time.Unix(*seconds, 0)), nil
}

// GetExpirationTime implements jwt.Claims.
func (p *payload) GetExpirationTime() (*jwt.NumericDate, error) { return date(p.Expires) }

// GetIssuedAt implements jwt.Claims.
func (p *payload) GetIssuedAt() (*jwt.NumericDate, error) { return date(p.Issued) }

// GetNotBefore implements jwt.Claims.
func (p *payload) GetNotBefore() (*jwt.NumericDate, error) { return date(p.NotBefore) }

// GetIssuer implements jwt.Claims.
func (p *payload) GetIssuer() (string, error) { return p.Issuer, nil }

// GetSubject implements jwt.Claims.
func (p *payload) GetSubject() (string, error) { return p.Subject, nil }

// GetAudience implements jwt.Claims.
func (p *payload) GetAudience() (jwt.ClaimStrings, error) {
	return jwt.ClaimStrings{string(p.Audience)}, nil
}
