package config

import (
	"slices"

	"kdgate/identity"
)

// HR lets a house's HR system be the master of the people at DingTalk (F57). It
// is one way: nothing is written back to it.
type HR struct {
	Corp          string          `mapstructure:"corp" doc:"whose people; the first organisation when empty"`
	Secret        identity.Secret `mapstructure:"secret" secret:"true" doc:"shared secret of POST /hr/CORP; the endpoint is closed without one"`
	SecretFile    string          `mapstructure:"secret_file" doc:"file that holds the secret"`
	OldSecret     identity.Secret `mapstructure:"old_secret" secret:"true" doc:"the secret before the change, accepted too while the sender still signs with it"`
	OldSecretFile string          `mapstructure:"old_secret_file" doc:"file that holds it"`
	Drop          string          `mapstructure:"drop" doc:"folder that CSV files are dropped into; none is looked at without one"`
	Breaker       Breaker         `mapstructure:"breaker" doc:"how many leavers one batch may have"`
}

// On reports whether HR says anything here.
func (h HR) On() bool { return !h.Secret.IsZero() || h.Drop != "" }

func (c *Config) checkHR(m *Mistakes) {
	if !c.HR.On() {
		return
	}
	if c.HR.Corp == "" && len(c.Corps) > 0 {
		c.HR.Corp = c.Corps[0].ID
	}
	if !slices.ContainsFunc(c.Corps, func(corp Corp) bool { return corp.ID == c.HR.Corp }) {
		m.add("hr.corp: %q is no organisation of this configuration", c.HR.Corp)
	}
	if !c.HR.Secret.IsZero() {
		checkSecret(m, "hr.secret", c.HR.Secret)
		if n := len(c.HR.Secret.Reveal()); n < MinSealKey {
			m.add("hr.secret: has %d bytes, at least %d are needed", n, MinSealKey)
		}
	}
	if c.HR.Breaker.Share < 0 || c.HR.Breaker.Share > 1 || c.HR.Breaker.Least < 0 {
		m.add("hr.breaker: share is a part between 0 and 1, least a number of people")
	}
}
