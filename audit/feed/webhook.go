package feed

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/internal/peer"
)

// WebhookConfig names the receiver.
type WebhookConfig struct {
	URL     string          // https
	Secret  identity.Secret // signs each delivery; may be empty for checkpoints, which are signed themselves
	TLS     *tls.Config     // roots of the receiver's certificate
	Private []netip.Prefix  // addresses inside the network that may be called (T119)
	Now     func() time.Time
}

// hookTime bounds one delivery.
const hookTime = 5 * time.Second

// Webhook posts record lines (JSON Lines) to an https address. Any 2xx answer is
// an acknowledgement; anything else, also a redirect, is not.
type Webhook struct {
	config WebhookConfig
	client *peer.Client
}

// NewWebhook checks the address; it does not call yet.
func NewWebhook(c WebhookConfig) (*Webhook, error) {
	at, err := url.Parse(c.URL)
	if err != nil || at.Scheme != "https" || at.Host == "" || at.User != nil || at.Fragment != "" {
		return nil, fmt.Errorf("webhook: the address is not https://HOST/PATH")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Webhook{config: c, client: peer.New(peer.Config{
		Timeout: hookTime, MaxBody: 1 << 20, MaxConnections: 2, TLS: c.TLS,
		Guard: &peer.Guard{Private: c.Private},
	})}, nil
}

// Send implements Sink.
func (w *Webhook) Send(ctx context.Context, records []audit.Record) error {
	var body []byte
	for _, record := range records {
		body = append(record.AppendLine(body), '\n')
	}
	return w.post(ctx, body)
}

// Keep implements audit.Anchor: it posts one checkpoint line.
func (w *Webhook) Keep(ctx context.Context, line []byte) error {
	return w.post(ctx, append(bytes.Clone(line), '\n'))
}

func (w *Webhook) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.config.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("webhook: the address cannot be called") // the error would print it, and it may hold a token
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("User-Agent", "kdgate")
	if secret := w.config.Secret; !secret.IsZero() {
		at := strconv.FormatInt(w.config.Now().Unix(), 10)
		req.Header.Set(identity.HeaderTimestamp, at)
		req.Header.Set(identity.HeaderSignature, secret.SignMessage(at, body))
	}
	res, err := w.client.Do(ctx, req)
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	if res.Status < 200 || res.Status > 299 {
		return fmt.Errorf("webhook: the receiver answered %d", res.Status)
	}
	return nil
}
