package dingtalk

import (
	"context"
	"time"

	"kdgate/identity"
)

// Digest names the hash of a JSAPI signature.
type Digest string

// The digests in use: current vendor samples take SHA-256, older ones SHA-1.
const (
	SHA256 Digest = "sha256"
	SHA1   Digest = "sha1"
)

func (d Digest) valid() bool { return d == SHA256 || d == SHA1 }

var opTicket = operation{name: "jsapiticket", host: newHost, path: "/v1.0/oauth2/jsapiTickets"}

func (c *Client) fetchTicket(ctx context.Context) (identity.Secret, time.Duration, error) {
	var out struct {
		Ticket string `json:"jsapiTicket"`
		Life   number `json:"expireIn"`
	}
	if err := c.do(ctx, call{op: opTicket, out: &out}); err != nil {
		return identity.Secret{}, 0, err
	}
	if !usableToken(out.Ticket) || out.Life <= 0 {
		return identity.Secret{}, 0, c.nonsense(opTicket, "jsapiTicket")
	}
	return identity.NewSecret(out.Ticket), time.Duration(out.Life) * time.Second, nil
}
