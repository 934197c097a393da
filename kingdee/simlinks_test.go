package kingdee_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/kingdee"
	"kdgate/kingdee/kingdeesim"
)

// land opens a link as a browser does and gives the page it ends on.
func land(t *testing.T, link identity.Secret) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	defer browser.CloseIdleConnections()
	res, err := browser.Get(link.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

func landedAs(page, user string) bool { return strings.Contains(page, `id="login-user">`+user+`<`) }

// TestLinksLand redeems every version and entry, with an ASCII and a Chinese
// login name (F6, F7, SIM-K79–K84).
func TestLinksLand(t *testing.T) {
	for version := 1; version <= 4; version++ {
		s := newStage(t, func(dc *kingdeesim.DataCentre) {
			if version < 4 {
				dc.Hash = "sha1"
			}
		})
		for _, characters := range []string{"ascii", "utf-8"} {
			c := s.client(t, func(cfg *kingdee.Config) { cfg.Link.Version, cfg.Link.Characters = version, characters })
			s.at.Advance(time.Minute) // another client in the same second would mint the same link
			for _, user := range []string{"zhangsan", "李四（华东）2"} {
				places := []kingdee.Place{{}}
				if version > 1 {
					places = append(places,
						kingdee.Place{Entry: kingdee.EntryHTML5, FormID: "ER_ExpReimbursement", FormType: "bill", PK: "100001"},
						kingdee.Place{Entry: kingdee.EntryLight, FormID: "ER_ExpReimbursement", FormType: "list"})
				}
				for _, place := range places {
					link, err := c.MintLink(user, place)
					if err != nil {
						t.Fatal(err)
					}
					page := land(t, link)
					if !landedAs(page, user) || !strings.Contains(page, `id="form-id">`+place.FormID) || !strings.Contains(page, `id="pk-id">`+place.PK+`<`) {
						t.Errorf("V%d %s %s %+v did not land", version, characters, user, place)
					}
				}
			}
		}
	}
}

// TestMobileLands redeems the third-party mobile page (reference 1.5), on tenants of
// before and after SHA256: of the page itself SHA1 is all that is known.
func TestMobileLands(t *testing.T) {
	for version, tenant := range map[int]string{3: "sha1", 4: "sha256"} {
		s := newStage(t, func(dc *kingdeesim.DataCentre) { dc.Hash = tenant; dc.Rows[0].Reusable = true })
		for _, hash := range []kingdee.Hash{"", kingdee.Hash(tenant)} {
			s.sim.SetSwitches(kingdeesim.Switches{MobileByTenant: hash != ""})
			c := s.client(t, func(cfg *kingdee.Config) {
				cfg.Link.Mobile, cfg.Link.Version, cfg.Link.MobileHash = true, version, hash
			})
			link, err := c.MintLink("zhangsan", kingdee.Place{Entry: kingdee.EntryMobile, FormID: "ER_MobileHome"})
			if err != nil {
				t.Fatal(err)
			}
			if page := land(t, link); !landedAs(page, "zhangsan") {
				t.Errorf("%s, signed %q: did not land", tenant, hash)
			}
		}
	}
}

// TestLinkOnce proves the single use (T32), and that a double tap within one
// second gives two links that both land.
func TestLinkOnce(t *testing.T) {
	s := newStage(t, func(dc *kingdeesim.DataCentre) { dc.Rows[0].Reusable = true })
	frozen := s.at.Now()
	c := s.client(t, func(cfg *kingdee.Config) { cfg.Now = func() time.Time { return frozen } })
	first, err := c.MintLink("zhangsan", kingdee.Place{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.MintLink("zhangsan", kingdee.Place{})
	if err != nil {
		t.Fatal(err)
	}
	if !landedAs(land(t, first), "zhangsan") || !landedAs(land(t, second), "zhangsan") {
		t.Error("one of two taps did not land")
	}
	if landedAs(land(t, first), "zhangsan") {
		t.Error("a link worked twice")
	}
}

// TestLinkWindow proves that a kept link dies with Kingdee's window (SIM-K89).
func TestLinkWindow(t *testing.T) {
	s := newStage(t, nil)
	link, err := s.client(t, nil).MintLink("zhangsan", kingdee.Place{})
	if err != nil {
		t.Fatal(err)
	}
	s.at.Advance(11 * time.Minute)
	if landedAs(land(t, link), "zhangsan") {
		t.Error("an old link landed")
	}
}

// TestGBKServer proves that the ASCII form does not care about the server's code
// page, that plain UTF-8 needs udencoding there, and that GBK works as a setting
// (reference 1.4, SIM-K82).
func TestGBKServer(t *testing.T) {
	s := newStage(t, nil)
	s.sim.SetSwitches(kingdeesim.Switches{GBKByDefault: true})
	cases := []struct {
		characters, encoding string
		lands                bool
	}{
		{"ascii", kingdee.None, true},
		{"ascii", "utf-8", true},
		{"utf-8", "utf-8", true},
		{"utf-8", kingdee.None, false},
		{"gbk", kingdee.None, true},
	}
	for _, tc := range cases {
		c := s.client(t, func(cfg *kingdee.Config) { cfg.Link.Characters, cfg.Link.UDEncoding = tc.characters, tc.encoding })
		s.at.Advance(time.Second)
		link, err := c.MintLink("李四（华东）2", kingdee.Place{})
		if err != nil {
			t.Fatal(err)
		}
		if landedAs(land(t, link), "李四（华东）2") != tc.lands {
			t.Errorf("%s with udencoding %s: landed %v", tc.characters, tc.encoding, !tc.lands)
		}
	}
}

// TestSignOut ends the user's Kingdee session (F9, T36), leaves others alone,
// and is no error for somebody who is not there.
func TestSignOut(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil)
	for _, user := range []string{"zhangsan", "李四（华东）2"} {
		link, err := c.MintLink(user, kingdee.Place{})
		if err != nil || !landedAs(land(t, link), user) {
			t.Fatalf("%s did not land: %v", user, err)
		}
	}
	for _, user := range []string{"zhangsan", "nobody"} {
		if err := c.SignOut(t.Context(), user); err != nil {
			t.Fatalf("%s: %v", user, err)
		}
	}
	left := s.sim.Sessions()
	if len(left) != 1 || left[0].User != "李四（华东）2" {
		t.Errorf("sessions left: %+v", left)
	}
}
