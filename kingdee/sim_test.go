package kingdee_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"kdgate/identity"
	"kdgate/internal/handclock"
	"kdgate/kingdee"
	"kdgate/kingdee/kingdeesim"
)

// The tests of this file run against the strict simulator, which shares no code
// with the client.

type stage struct {
	sim *kingdeesim.Server
	web *httptest.Server
	log *logbook
	at  *handclock.Running // both sides' clock
}

func newStage(t *testing.T, change func(*kingdeesim.DataCentre)) *stage {
	t.Helper()
	var tables kingdeesim.Tables
	tables.Hire(kingdeesim.Employee{Number: "1001", Name: "张三丰", ExtraPosts: 2, Users: []kingdeesim.User{{Name: "zhangsan", Account: "zs001"}}})
	tables.Hire(kingdeesim.Employee{Number: "1002", Name: "李四", Users: []kingdeesim.User{{Name: "李四（华东）2", Account: "ls"}}})
	tables.Hire(kingdeesim.Employee{Number: "1003", Name: "无号"})
	tables.Hire(kingdeesim.Employee{Number: "1004", Name: "双号", Users: []kingdeesim.User{{Name: "two-a"}, {Name: "two-b"}}})
	tables.Hire(kingdeesim.Employee{Number: "1005", Name: "停用", Users: []kingdeesim.User{{Name: "stopped", ForbidStatus: kingdeesim.Forbidden}}})
	tables.Hire(kingdeesim.Employee{Number: "1006", Name: "锁定", Users: []kingdeesim.User{{Name: "locked", Locked: true}}})
	tables.Hire(kingdeesim.Employee{Number: "1007", Name: "离职", ForbidStatus: kingdeesim.Forbidden})
	tables.Hire(kingdeesim.Employee{Number: "1008", Name: "未审", DocumentStatus: "A"})
	tables.Hire(kingdeesim.Employee{Number: "1009", Name: "重号甲"})
	tables.Hire(kingdeesim.Employee{Number: "1009", Name: "重号乙"})
	tables.Hire(kingdeesim.Employee{Number: "K1", Name: "大写"})
	tables.Hire(kingdeesim.Employee{Number: "k1", Name: "小写"})
	tables.Users = append(tables.Users, kingdeesim.User{Name: "api", Account: "api"})
	centre := kingdeesim.DataCentre{
		ID: testDBID, Name: "正式账套", Tables: tables,
		Rows: []kingdeesim.Row{{AppID: testAppID, Secret: testSecret, IntegrationUser: "api"}},
	}
	if change != nil {
		change(&centre)
	}
	s := &stage{log: &logbook{}, at: &handclock.Running{}}
	sim, err := kingdeesim.New(kingdeesim.Config{DataCentres: []kingdeesim.DataCentre{centre}, Now: s.at.Now})
	if err != nil {
		t.Fatal(err)
	}
	s.sim, s.web = sim, httptest.NewServer(sim)
	t.Cleanup(func() {
		s.web.Close()
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *stage) client(t *testing.T, change func(*kingdee.Config)) *kingdee.Client {
	t.Helper()
	cfg := testConfig(s.web.URL)
	cfg.Now, cfg.Logger = s.at.Now, s.log.logger()
	if change != nil {
		change(&cfg)
	}
	return newClient(t, cfg)
}

// TestClocksApart proves R49 against Kingdee's own clock: five minutes apart
// either way people get in, and a login that was refused for its date costs no
// pause; far apart is told as what it is.
func TestClocksApart(t *testing.T) {
	for _, tc := range []struct {
		skew time.Duration
		ok   bool
	}{{0, true}, {5 * time.Minute, true}, {-5 * time.Minute, true}, {-9 * time.Minute, true}, {15 * time.Minute, false}, {-15 * time.Minute, false}} {
		t.Run(tc.skew.String(), func(t *testing.T) {
			s := newStage(t, nil)
			c := s.client(t, nil)
			s.sim.SetSkew(tc.skew)
			_, err := c.StaffByNumber(t.Context(), "1001")
			link, mintErr := c.MintLink("zhangsan", kingdee.Place{})
			if !tc.ok {
				if identity.CodeOf(err) != identity.CodeKingdeeSetup || identity.CodeOf(mintErr) != identity.CodeKingdeeSetup {
					t.Fatalf("query: %v; link: %v", err, mintErr)
				}
				if !strings.Contains(s.log.String(), "NTP") {
					t.Errorf("the administrator is not told of the clocks: %s", s.log.String())
				}
				s.sim.SetSkew(0)
				s.at.Advance(2 * time.Minute) // less than the pause after a wrong secret
				s.sim.SetSkew(2 * time.Minute)
				if _, err := c.StaffByNumber(t.Context(), "1001"); err != nil {
					t.Errorf("after the clocks were set: %v", err)
				}
				return
			}
			if err != nil || mintErr != nil {
				t.Fatalf("query: %v; link: %v", err, mintErr)
			}
			if page := land(t, link); !landedAs(page, "zhangsan") {
				t.Errorf("the link does not land: %.300s", page)
			}
		})
	}
}

// TestReadClock proves R49 for people whose chain is remembered: the first link
// after Kingdee's clock was set back lands, one too far off is refused as that,
// a clock that was set right lets people in again, and asking is rare.
func TestReadClock(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil)
	click := func() error {
		link, err := c.MintSharedLink(t.Context(), "zhangsan", kingdee.Place{})
		if err != nil {
			return err
		}
		if page := land(t, link); !landedAs(page, "zhangsan") {
			return errors.New("the link does not land")
		}
		return nil
	}
	for _, tc := range []struct {
		skew time.Duration
		ok   bool
	}{{-5 * time.Minute, true}, {-15 * time.Minute, false}, {0, true}, {15 * time.Minute, false}, {5 * time.Minute, true}} {
		s.sim.SetSkew(tc.skew)
		if err := click(); (err == nil) != tc.ok {
			t.Errorf("Kingdee's clock off by %s: %v", tc.skew, err)
		}
		s.at.Advance(11 * time.Second)
	}
	s.sim.SetSkew(0)
	s.at.Advance(11 * time.Second)
	s.sim.ForgetCalls()
	for range 20 {
		c.ReadClock(t.Context())
	}
	if n := len(s.sim.Calls()); n != 1 {
		t.Errorf("Kingdee was asked for its time %d times", n)
	}
	s.web.Close()
	s.at.Advance(11 * time.Second)
	if _, err := c.MintSharedLink(t.Context(), "zhangsan", kingdee.Place{}); err != nil {
		t.Errorf("no answer to the question for the time: %v", err)
	}
}

// TestStaffStates reads every state of the second link (F5, SIM-K75).
func TestStaffStates(t *testing.T) {
	c := newStage(t, nil).client(t, nil)
	cases := []struct {
		number              string
		count               int
		forbidden, approved bool
	}{
		{"1001", 1, false, true},
		{"1007", 1, true, true},
		{"1008", 1, false, false},
		{"1009", 2, false, true},
		{"9999", 0, false, false},
		{"K1", 1, false, true},
	}
	for _, tc := range cases {
		got, err := c.StaffByNumber(t.Context(), tc.number)
		if err != nil || len(got) != tc.count {
			t.Errorf("%s: %v %v", tc.number, got, err)
			continue
		}
		for _, staff := range got {
			if staff.Number != tc.number || staff.ID == "" || staff.Forbidden != tc.forbidden || staff.Approved != tc.approved {
				t.Errorf("%s: %+v", tc.number, staff)
			}
		}
	}
}

// TestRoutes walks the third link by every route and under every doubtful
// spelling of the answer (reference 5; SIM-K62, K77, K78).
func TestRoutes(t *testing.T) {
	s := newStage(t, nil)
	want := map[string][]string{
		"1001": {"zhangsan"}, "1002": {"李四（华东）2"}, "1003": {}, "1004": {"two-a", "two-b"}, "1005": {"stopped"}, "1006": {"locked"},
	}
	for _, switches := range []kingdeesim.Switches{{}, {TextIDs: true, TextFlags: true, TextCodes: true, EscapeUnicode: true, BlankTexts: true}} {
		s.sim.SetSwitches(switches)
		for _, route := range []kingdee.Route{kingdee.RoutePerson, kingdee.RouteUser, kingdee.RouteEmployee} {
			c := s.client(t, func(cfg *kingdee.Config) { cfg.Users.Route = route })
			for number, names := range want {
				staff, err := c.StaffByNumber(t.Context(), number)
				if err != nil || len(staff) != 1 {
					t.Fatalf("%s: %v %v", number, staff, err)
				}
				users, err := c.UsersOfStaff(t.Context(), staff[0])
				if err != nil {
					t.Fatalf("%s by %s: %v", number, route, err)
				}
				if route == kingdee.RouteEmployee && number == "1004" && len(users) > 0 {
					continue // the employee record can name one user only
				}
				if len(users) != len(names) {
					t.Errorf("%s by %s: %+v", number, route, users)
					continue
				}
				for i, user := range users {
					if user.Name != names[i] || user.ID == "" || user.Forbidden != (number == "1005") || user.Locked != (number == "1006") {
						t.Errorf("%s by %s: %+v", number, route, user)
					}
				}
			}
		}
	}
}

// TestPersonsOwnNumbers proves that route R3 can go by the employee where persons
// have numbers of their own, as one public View of an employee shows.
func TestPersonsOwnNumbers(t *testing.T) {
	s := newStage(t, func(dc *kingdeesim.DataCentre) {
		for i := range dc.Tables.Persons {
			dc.Tables.Persons[i].Number = fmt.Sprintf("BDRY%06d", i)
		}
	})
	for key, want := range map[string]int{"FPerson.FNumber": 0, "FEmpInfoId.FNumber": 1} {
		c := s.client(t, func(cfg *kingdee.Config) { cfg.Users.Post.PersonNumber = key })
		users, err := c.UsersOfStaff(t.Context(), kingdee.Staff{Number: "1001"})
		if err != nil || len(users) != want {
			t.Errorf("%s: %+v %v", key, users, err)
		}
	}
}

// TestStatusesAsText proves that no status is asked for by code 67, which is known
// of texts and base data only.
func TestStatusesAsText(t *testing.T) {
	s := newStage(t, nil)
	s.sim.SetSwitches(kingdeesim.Switches{ChoicesByCode: true})
	c := s.client(t, nil)
	if err := c.Probe(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.LowStock(t.Context()); err != nil {
		t.Error(err)
	}
	for _, filter := range []kingdee.Filter{kingdee.Is("FForbidStatus", "B"), kingdee.Where(kingdee.Is("FForbidStatus", "B", "X"), kingdee.Equals("FName", "离职"))} {
		rows, err := c.Query(t.Context(), kingdee.Query{Form: "BD_Empinfo", Fields: []string{"FStaffNumber"}, Filter: filter})
		if err != nil || fmt.Sprint(rows) != "[[1007]]" {
			t.Errorf("%v %v", rows, err)
		}
	}
}

// TestPersonOnStaffForm proves that a configured person key saves the post query.
func TestPersonOnStaffForm(t *testing.T) {
	s := newStage(t, nil)
	s.sim.SetSwitches(kingdeesim.Switches{ShowEmpinfoPersonID: true})
	c := s.client(t, func(cfg *kingdee.Config) { cfg.Users.Staff.Person = "FPersonId" })
	staff, err := c.StaffByNumber(t.Context(), "1001")
	if err != nil || len(staff) != 1 || staff[0].PersonID == "" {
		t.Fatalf("%+v %v", staff, err)
	}
	s.sim.ForgetCalls()
	users, err := c.UsersOfStaff(t.Context(), staff[0])
	if err != nil || len(users) != 1 || len(s.sim.Calls()) != 1 {
		t.Errorf("%+v %v after %d calls", users, err, len(s.sim.Calls()))
	}
}

// TestUserByName finds users by exact name, and tells "none" from "could not ask".
func TestUserByName(t *testing.T) {
	c := newStage(t, nil).client(t, nil)
	for name, count := range map[string]int{"zhangsan": 1, "李四（华东）2": 1, "Zhangsan": 0, "zhangsan ": 0, "nobody": 0, "zs001": 0} {
		users, err := c.UserByName(t.Context(), name)
		if err != nil || len(users) != count || users == nil {
			t.Errorf("%q: %+v %v", name, users, err)
		}
	}
}

// TestHostileValues proves T27: nothing that could widen a query is ever asked.
func TestHostileValues(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil)
	hostile := []string{"", "x' or '1'='1", "1001'--", "1001;", "张三", "10 01", "1001\n", "%", "1001\x00", strings.Repeat("1", 65), "\u212a1"}
	for _, value := range hostile {
		if got, err := c.StaffByNumber(t.Context(), value); identity.KindOf(err) != identity.Invalid || got != nil {
			t.Errorf("number %q: %v %v", value, got, err)
		}
		if got, err := c.UsersOfStaff(t.Context(), kingdee.Staff{Number: value}); identity.KindOf(err) != identity.Invalid || got != nil {
			t.Errorf("staff %q: %v %v", value, got, err)
		}
	}
	for _, name := range []string{"", "x' or '1'='1", `a"b`, `a\b`, "a;b", "a\tb", "\xff"} {
		if got, err := c.UserByName(t.Context(), name); identity.CodeOf(err) != identity.CodeKingdeeSetup || got != nil {
			t.Errorf("name %q: %v %v", name, got, err)
		}
	}
	if calls := s.sim.Calls(); len(calls) != 0 {
		t.Errorf("%d calls went out, the first %s", len(calls), calls[0].Route)
	}
}

// TestWidenedAnswer proves that an answer far too long is not believed.
func TestWidenedAnswer(t *testing.T) {
	row := `[1,"1001","x","A","C"]`
	server := newScripted(t, map[string][]step{"query": {{body: "[" + strings.Repeat(row+",", 60) + row + "]"}}})
	if got, err := newClient(t, testConfig(server.URL)).StaffByNumber(t.Context(), "1001"); err == nil || got != nil {
		t.Errorf("believed %d records", len(got))
	}
}

// TestPages proves that short pages end a query and full ones go on (SIM-K51–K53).
func TestPages(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, func(cfg *kingdee.Config) { cfg.API.PageSize = 1 })
	if staff, err := c.StaffByNumber(t.Context(), "1009"); err != nil || len(staff) != 2 || staff[0].ID == staff[1].ID {
		t.Errorf("%+v %v", staff, err)
	}
}

// TestSessionLife proves 2.4 on the simulator: one login serves many calls, idle
// time means a new one before Kingdee's limit, a restart is repaired within the
// same question (R27, SIM-K35, K39, K103).
func TestSessionLife(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil)
	ask := func(wantLogins int) {
		t.Helper()
		if staff, err := c.StaffByNumber(t.Context(), "1001"); err != nil || len(staff) != 1 {
			t.Fatalf("%+v %v", staff, err)
		}
		if got := s.sim.Counters().Logins; got != wantLogins {
			t.Fatalf("%d logins, want %d", got, wantLogins)
		}
	}
	ask(1)
	for range 10 {
		ask(1)
	}
	s.at.Advance(14 * time.Minute)
	ask(1)
	s.at.Advance(16 * time.Minute) // over ours, below Kingdee's
	ask(2)
	s.sim.Restart()
	ask(3)
	ask(3)
	if s.sim.Counters().LoginBeforeCall {
		t.Error("the simulator suspects a login before every call")
	}
}

// TestKickOff proves that a server which ends the older session of one user is
// noticed and then worked with, never looped on (reference A 19).
func TestKickOff(t *testing.T) {
	s := newStage(t, nil)
	s.sim.SetSwitches(kingdeesim.Switches{KickOff: true})
	c := s.client(t, func(cfg *kingdee.Config) { cfg.API.Auth = kingdee.AuthLoginBySign })
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := c.StaffByNumber(t.Context(), "1001"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := s.sim.Counters().Logins; n > 6 {
		t.Errorf("%d logins for 20 questions", n)
	}
}

// TestRefusedLoginStops proves that a wrong secret costs one login however many
// people click, that time lets one more through, and that a person who tests may
// try at once (rows 13, 15; lock-out).
func TestRefusedLoginStops(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, func(cfg *kingdee.Config) { cfg.AppSecret = identity.NewSecret("00000000000000000000000000000000") })
	var group sync.WaitGroup
	for range 30 {
		group.Go(func() {
			if _, err := c.StaffByNumber(t.Context(), "1001"); identity.CodeOf(err) != identity.CodeKingdeeSetup {
				t.Errorf("%v", err)
			}
		})
	}
	group.Wait()
	want := func(n int) {
		t.Helper()
		if got := s.sim.Counters().Logins; got != n {
			t.Fatalf("%d logins, want %d", got, n)
		}
	}
	want(1)
	s.at.Advance(6 * time.Minute)
	_, _ = c.StaffByNumber(t.Context(), "1001")
	want(2)
	s.at.Advance(6 * time.Minute) // doubled by now
	_, _ = c.StaffByNumber(t.Context(), "1001")
	want(2)
	if c.Probe(t.Context()) == nil {
		t.Error("the probe passes")
	}
	want(3)
	if n := strings.Count(s.log.String(), "an administrator must act"); n != 1 {
		t.Errorf("%d alarms", n)
	}
}

// TestProbe confirms the right set-up and names what is wrong with others.
func TestProbe(t *testing.T) {
	s := newStage(t, nil)
	for _, route := range []kingdee.Route{kingdee.RoutePerson, kingdee.RouteEmployee, kingdee.RouteUser} {
		if err := s.client(t, func(cfg *kingdee.Config) { cfg.Users.Route = route }).Probe(t.Context()); err != nil {
			t.Errorf("%s: %v", route, err)
		}
	}
	err := s.client(t, func(cfg *kingdee.Config) { cfg.Users.User.Locked = "FNoSuchField" }).Probe(t.Context())
	if err == nil || !strings.Contains(err.Error(), "FNoSuchField") || !strings.Contains(err.Error(), "SEC_User") {
		t.Errorf("wrong field: %v", err)
	}
	s.sim.SetSwitches(kingdeesim.Switches{HideFPersonID: true})
	if err := s.client(t, nil).Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "BD_NEWSTAFF") {
		t.Errorf("hidden person id: %v", err)
	}
}

// TestNoRights proves that missing rights are found by the probe although
// Kingdee just shows no rows (SIM-K57).
func TestNoRights(t *testing.T) {
	s := newStage(t, nil)
	forms := []string{"SEC_User"}
	if err := s.sim.PatchUser(testDBID, "api", kingdeesim.UserPatch{NoRights: &forms}); err != nil {
		t.Fatal(err)
	}
	if err := s.client(t, nil).Probe(t.Context()); identity.CodeOf(err) == "" && err == nil {
		t.Error("the probe passes without rights")
	}
}

// TestAuthSchemes proves the other two ways to authenticate (reference 2.2, 2.5).
func TestAuthSchemes(t *testing.T) {
	for _, auth := range []kingdee.Auth{kingdee.AuthAppSecret, kingdee.AuthSignedHeaders} {
		for _, unit := range []string{"ms", "s"} {
			s := newStage(t, nil)
			s.sim.SetSwitches(kingdeesim.Switches{SharedGateway: auth == kingdee.AuthSignedHeaders})
			c := s.client(t, func(cfg *kingdee.Config) { cfg.API.Auth, cfg.API.HeaderTimestamp = auth, unit })
			for range 3 {
				if staff, err := c.StaffByNumber(t.Context(), "1001"); err != nil || len(staff) != 1 {
					t.Fatalf("%s %s: %+v %v", auth, unit, staff, err)
				}
			}
			if n := s.sim.Counters().Sessions; n != 1 {
				t.Errorf("%s: %d sessions for three calls", auth, n)
			}
		}
	}
}

// TestSignedHeadersRefused proves that with signed headers a lost session means
// failed authentication: one call, no repetition (row 13, SIM-K47).
func TestSignedHeadersRefused(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, func(cfg *kingdee.Config) {
		cfg.API.Auth, cfg.AppSecret = kingdee.AuthSignedHeaders, identity.NewSecret("wrong")
	})
	for range 3 {
		if _, err := c.StaffByNumber(t.Context(), "1001"); identity.CodeOf(err) != identity.CodeKingdeeSetup {
			t.Fatal(err)
		}
	}
	if n := len(s.sim.Calls()); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// TestNothingShows proves T29 for this package: neither logs nor errors hold the
// secret, a link, a signature or a session, whatever fails.
func TestNothingShows(t *testing.T) {
	s := newStage(t, nil)
	c := s.client(t, nil)
	link, err := c.MintLink("zhangsan", kingdee.Place{})
	if err != nil {
		t.Fatal(err)
	}
	var errs []string
	for _, kind := range []string{"status", "reset", "html-ban", "quota", "throttle", "truncate", "garbage", "duplicate-key", "response-error", "errcode"} {
		if err := s.sim.AddFault(kingdeesim.Fault{Match: "ExecuteBillQuery", Kind: kind, Times: 3}); err != nil {
			t.Fatal(err)
		}
		_, err := s.client(t, nil).StaffByNumber(t.Context(), "1001")
		if err != nil {
			errs = append(errs, err.Error())
		}
		s.sim.ClearFaults()
	}
	if len(errs) < 8 {
		t.Errorf("only %d faults were felt", len(errs))
	}
	secrets := []string{testSecret, link.Reveal(), s.web.URL}
	for _, session := range s.sim.Sessions() {
		secrets = append(secrets, session.ID)
	}
	for _, call := range s.sim.Calls() {
		if id := call.Header.Get("kdservice-sessionid"); id != "" {
			secrets = append(secrets, id)
		}
	}
	all := s.log.String() + strings.Join(errs, "\n")
	for _, secret := range secrets {
		if strings.Contains(all, secret) {
			t.Errorf("a secret of %d characters shows in logs or errors", len(secret))
		}
	}
}
