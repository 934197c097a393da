package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"time"

	"kdgate/audit"
	"kdgate/audit/feed"
	"kdgate/identity"
)

// carrier brings audit records somewhere, until its context ends.
type carrier interface {
	Run(ctx context.Context) error
	Err() error
}

// namedFeed is a carrier and what readiness calls it.
type namedFeed struct {
	name string
	carrier
}

// work runs it; what is wrong is told by Err, not by the end of Run.
func (f namedFeed) work(ctx context.Context) { _ = f.Run(ctx) }

type feeds []namedFeed

// checks show feeds that wait. Sign-ins go on all the same: the records are safe.
func (list feeds) checks() []check {
	var checks []check
	for _, f := range list {
		checks = append(checks, check{name: f.name, ask: func(context.Context) error { return f.Err() }, advisory: true})
	}
	return checks
}

// outboundTLS verifies receivers and webhooks.
func (c *Core) outboundTLS() (*tls.Config, error) {
	secure, err := clientTLS(c.options.Config.Outbound.CAFile, "", "")
	if err != nil {
		return nil, fmt.Errorf("outbound.ca_file: %w", err)
	}
	return secure, nil
}

func (c *Core) newWebhook(address string, secret identity.Secret) (*feed.Webhook, error) {
	secure, err := c.outboundTLS()
	if err != nil {
		return nil, err
	}
	private, err := prefixes(c.options.Config.Outbound.Private)
	if err != nil {
		return nil, fmt.Errorf("outbound.private: %w", err)
	}
	return feed.NewWebhook(feed.WebhookConfig{URL: address, Secret: secret, TLS: secure, Private: private, Now: c.options.Now})
}

// auditAnchors are the places for checkpoints beside the file.
func (c *Core) auditAnchors() ([]audit.Anchor, error) {
	address := c.options.Config.Audit.Anchor.Webhook
	if address == "" {
		return nil, nil
	}
	hook, err := c.newWebhook(address, identity.Secret{})
	if err != nil {
		return nil, fmt.Errorf("audit.anchor.webhook: %w", err)
	}
	return []audit.Anchor{hook}, nil
}

// newFeeds are the ways that records leave this gateway: to receivers, and where
// there may be other replicas, to each of them.
func (c *Core) newFeeds() (feeds, error) {
	var list feeds
	settings := c.options.Config.Audit
	if settings.Syslog != "" {
		sink, err := c.newSyslog(settings.Syslog)
		if err != nil {
			return nil, fmt.Errorf("audit.syslog: %w", err)
		}
		list = append(list, namedFeed{"audit syslog", c.newFeed("syslog", sink)})
	}
	if settings.Webhook.URL != "" {
		sink, err := c.newWebhook(settings.Webhook.URL, settings.Webhook.Secret)
		if err != nil {
			return nil, fmt.Errorf("audit.webhook: %w", err)
		}
		list = append(list, namedFeed{"audit webhook", c.newFeed("webhook", sink)})
	}
	if c.options.Config.Store.Driver != "sqlite" {
		list = append(list, namedFeed{"audit exchange", feed.NewExchange(feed.ExchangeConfig{
			Store: c.store, Chain: c.log, Replica: c.options.Replica, Logger: c.options.Logger, Renew: c.sealed.Renew,
		})})
	}
	return list, nil
}

func (c *Core) newSyslog(address string) (*feed.Syslog, error) {
	secure, err := c.outboundTLS()
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = c.options.Replica
	}
	return feed.NewSyslog(feed.SyslogConfig{Address: address, TLS: secure, Host: host})
}

func (c *Core) newFeed(name string, sink feed.Sink) *feed.Feed {
	return feed.New(feed.Config{
		Name: name, Source: c.log, Replica: c.options.Replica, Sink: sink,
		Dir: c.options.Config.Audit.Dir, Logger: c.options.Logger,
	})
}

// retainEvery is how often old days are looked for; whole days leave at a time.
const retainEvery = 6 * time.Hour

// retain removes what is older than audit.retain, day by day (R65).
func (c *Core) retain(ctx context.Context) {
	ticker := time.NewTicker(retainEvery)
	defer ticker.Stop()
	for {
		removed, err := c.log.Trim(ctx, c.options.Now().Add(-c.options.Config.Audit.Retain))
		switch {
		case err != nil && ctx.Err() == nil:
			c.options.Logger.Error("audit: old records could not be removed", "error", err)
		case removed > 0:
			c.options.Logger.Info("audit: records past audit.retain were removed", "records", removed)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
