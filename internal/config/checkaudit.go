package config

import (
	"net/url"
	"slices"
	"time"
)

func (c *Config) checkAudit(m *Mistakes) {
	if c.Audit.Retain < 183*24*time.Hour {
		m.add("audit.retain: %s is less than 183d, the least that six months need", writtenDuration(c.Audit.Retain))
	}
	if c.Audit.OnWriteFailure != "refuse" {
		m.add("audit.on_write_failure: %q; only refuse is there: no record, no action", c.Audit.OnWriteFailure)
	}
	if c.Audit.Anchor.File == "" && c.Audit.Anchor.Webhook == "" {
		c.warn("audit.anchor: neither file nor webhook is set; without checkpoints off the host, a cut-off tail of the log cannot be proven")
	}
	c.checkFeeds(m)
}

// checkFeeds looks at what leaves for receivers (T119, T121).
func (c *Config) checkFeeds(m *Mistakes) {
	checkWebhook(m, "audit.anchor.webhook", c.Audit.Anchor.Webhook)
	checkWebhook(m, "audit.webhook.url", c.Audit.Webhook.URL)
	if c.Audit.Webhook.URL != "" {
		checkSecret(m, "audit.webhook.secret", c.Audit.Webhook.Secret)
	}
	if c.Audit.Syslog != "" {
		c.checkSyslog(m, c.Audit.Syslog)
	}
	if c.Outbound.DingTalkBan < time.Minute || c.Outbound.DingTalkBan > time.Hour {
		m.add("outbound.dingtalk_ban: %s; between 1m and 1h", c.Outbound.DingTalkBan)
	}
	for i, network := range c.Outbound.Private {
		if _, err := ParsePrefix(network); err != nil {
			m.add("outbound.private[%d]: %q is neither an address nor a network such as 10.0.0.0/24", i, network)
		}
	}
}

func checkWebhook(m *Mistakes, name, address string) {
	at, err := url.Parse(address)
	if address != "" && (err != nil || at.Scheme != "https" || at.Host == "" || at.User != nil) {
		m.add("%s: not https://HOST/PATH", name)
	}
}

func (c *Config) checkSyslog(m *Mistakes, address string) {
	at, err := url.Parse(address)
	switch {
	case err != nil || at.Port() == "" || at.User != nil || !slices.Contains([]string{"udp", "tcp", "tls"}, at.Scheme):
		m.add("audit.syslog: %q is not udp://HOST:PORT, tcp://HOST:PORT or tls://HOST:PORT", address)
	case at.Scheme != "tls" && !isLoopback(at.Hostname()):
		c.warn("audit.syslog: %s sends names and addresses in the clear; use tls where the receiver can", at.Scheme)
	}
}
