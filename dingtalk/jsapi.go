package dingtalk

import (
	"context"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // the vendor's older signature, chosen by configuration
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"
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

// PageConfig is what a page hands to dd.config, by the names used there.
type PageConfig struct {
	AgentID   string `json:"agentId"`
	CorpID    string `json:"corpId"`
	TimeStamp string `json:"timeStamp"` // Unix milliseconds
	NonceStr  string `json:"nonceStr"`
	Signature string `json:"signature"`
}

// PageConfig signs one page, named by its address as the browser has it
// (reference 4). Neither code exchange nor openLink needs it.
func (c *Client) PageConfig(ctx context.Context, pageURL string) (PageConfig, error) {
	signed, err := signedURL(pageURL)
	if err != nil {
		return PageConfig{}, identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: %w", err)
	}
	ticket, err := c.tickets.get(ctx)
	if err != nil {
		return PageConfig{}, err
	}
	page := PageConfig{
		AgentID: c.cfg.AgentID, CorpID: c.cfg.Corp, NonceStr: rand.Text(),
		TimeStamp: strconv.FormatInt(c.now().UnixMilli(), 10),
	}
	page.Signature = signPage(ticket, page, signed, c.cfg.Digest)
	return page, nil
}

// signPage is the hex digest over the fixed text of reference 4.
func signPage(ticket identity.Secret, page PageConfig, signed string, digest Digest) string {
	plain := fmt.Sprintf("jsapi_ticket=%s&noncestr=%s&timestamp=%s&url=%s",
		ticket.Reveal(), page.NonceStr, page.TimeStamp, signed)
	if digest == SHA1 {
		sum := sha1.Sum([]byte(plain)) //nolint:gosec // see the import
		return hex.EncodeToString(sum[:])
	}
	sum := sha256.Sum256([]byte(plain))
	return hex.EncodeToString(sum[:])
}

// signedURL is the address that is signed: without fragment, its query
// form-decoded once, all else as the browser has it, even a default port.
func signedURL(pageURL string) (string, error) {
	address, _, _ := strings.Cut(pageURL, "#")
	path, query, has := strings.Cut(address, "?")
	if !has {
		return path, nil
	}
	decoded, err := url.QueryUnescape(query)
	if err != nil {
		return "", fmt.Errorf("the query of the page address cannot be decoded: %w", err)
	}
	return path + "?" + decoded, nil
}

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
