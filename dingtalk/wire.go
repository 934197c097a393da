package dingtalk

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"kdgate/identity"
	"kdgate/internal/peer"
)

// request builds the HTTP request. Old API: token in the query. New API: token
// in a header only.
func (c *Client) request(ctx context.Context, k *call, credential identity.Secret) (*http.Request, error) {
	base, query := c.oapi, url.Values{}
	if k.op.host == newHost {
		base = c.api
	}
	for name, values := range k.query {
		query[name] = values
	}
	if k.op.host == oldHost && k.op.auth == authApp {
		query.Set("access_token", credential.Reveal())
	}
	target := *base
	target.Path, target.RawQuery = base.Path+k.op.path, query.Encode()
	method, body := http.MethodPost, []byte(nil)
	if k.op.get {
		method = http.MethodGet
	}
	if k.body != nil {
		var err error
		if body, err = json.Marshal(k.body); err != nil {
			return nil, errors.New("the request cannot be encoded")
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), strings.NewReader(string(body)))
	if err != nil {
		return nil, errors.New("the request cannot be built") // the cause would print the token
	}
	req.Header.Set("Accept", "application/json")
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if k.op.host == newHost && !credential.IsZero() {
		req.Header.Set("x-acs-dingtalk-access-token", credential.Reveal())
	}
	return req, nil
}

// transportClass names what went wrong on the wire, for metrics (R23).
func transportClass(err error) string {
	var (
		dns       *net.DNSError
		alert     tls.AlertError
		record    tls.RecordHeaderError
		untrusted *tls.CertificateVerificationError
		host      x509.HostnameError
		op        *net.OpError
		timeout   net.Error
		call      *peer.Error
	)
	switch {
	case errors.Is(err, peer.ErrTooLarge):
		return "too_large"
	case errors.As(err, &untrusted), errors.As(err, &host), errors.As(err, &alert), errors.As(err, &record),
		errors.As(err, &op) && op.Op == "remote error": // an alert of the other side
		return "tls"
	case errors.As(err, &dns):
		return "dns"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.As(err, &call) && !call.Sent:
		return "connect"
	}
	return "reset"
}
