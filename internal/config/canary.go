package config

import (
	"slices"
	"time"
)

// leastCanary keeps the canary from being a burden: each visit is a login.
const leastCanary = time.Minute

func (c *Config) checkCanary(m *Mistakes) {
	if c.Canary.UserID == "" {
		return
	}
	if c.Canary.Corp == "" && len(c.Corps) > 0 {
		c.Canary.Corp = c.Corps[0].ID
	}
	if !slices.ContainsFunc(c.Corps, func(corp Corp) bool { return corp.ID == c.Canary.Corp }) {
		m.add("canary.corp: %q is no organisation of this configuration", c.Canary.Corp)
	}
	if c.Canary.Every < leastCanary {
		m.add("canary.every: %s; at least %s, each visit is a login at Kingdee", c.Canary.Every, leastCanary)
	}
	if len(c.Canary.DataCentres) == 0 {
		for _, dc := range c.DataCentres {
			c.Canary.DataCentres = append(c.Canary.DataCentres, dc.ID)
		}
	}
	for i, id := range c.Canary.DataCentres {
		if !slices.ContainsFunc(c.DataCentres, func(dc DataCentre) bool { return dc.ID == id }) {
			m.add("canary.data_centres[%d]: %q is no data centre of this configuration", i, id)
		}
	}
}
