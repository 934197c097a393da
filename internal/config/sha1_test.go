package config

import (
	"strings"
	"testing"
)

// TestSHA1IsSaid proves T34: whatever a data centre signs with SHA-1 is a warning
// of check-config, of the start and of the console's settings, and nothing does by
// default.
func TestSHA1IsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*DataCentre)
		want   []string
	}{
		"as delivered":           {func(*DataCentre) {}, nil},
		"an old version":         {func(dc *DataCentre) { dc.Link.Version = 3 }, []string{"dc.link:"}},
		"the switch":             {func(dc *DataCentre) { dc.Link.Hash = "sha1" }, []string{"dc.link:"}},
		"old, and switched up":   {func(dc *DataCentre) { dc.Link.Version, dc.Link.Hash = 2, "sha256" }, nil},
		"the mobile page":        {func(dc *DataCentre) { dc.Link.MobileEntry = true }, []string{"dc.link.mobile_entry:"}},
		"the mobile page's hash": {func(dc *DataCentre) { dc.Link.MobileEntry, dc.Link.MobileHash = true, "sha256" }, nil},
		"logins":                 {func(dc *DataCentre) { dc.API.Hash = "sha1" }, []string{"dc.api.hash:"}},
		"all": {func(dc *DataCentre) {
			dc.Link.Version, dc.Link.MobileEntry, dc.API.Hash = 1, true, "sha1"
		}, []string{"dc.link:", "dc.link.mobile_entry:", "dc.api.hash:"}},
	} {
		cfg, err := load(t, install(t, ""))
		if err != nil {
			t.Fatal(err)
		}
		dc := cfg.DataCentres[0]
		c.change(&dc)
		cfg.Warnings = nil
		cfg.warnOfSHA1("dc", &dc)
		got := strings.Join(cfg.Warnings, "\n")
		if len(cfg.Warnings) != len(c.want) {
			t.Errorf("%s: %q", name, got)
		}
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q lacks %q", name, got, want)
			}
		}
	}
	cfg, err := load(t, install(t, ""), "KDGATE_DATA_CENTRES_0_LINK_VERSION=3")
	if err != nil || !strings.Contains(strings.Join(cfg.Warnings, "\n"), "data_centres[0].link: signs with SHA-1") {
		t.Errorf("by a whole file: %v", err)
	}
}
