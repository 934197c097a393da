package kingdee

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"kdgate/identity"
)

func linkClient(t testing.TB, change func(*Config)) *Client {
	t.Helper()
	cfg := Config{
		ID: "live", BaseURL: "https://erp.example.com/K3Cloud/", DBID: "61cd78fbc6aa78", AppID: "231784_Test4CcK1jgWTczoWZ3NSDWK1l5b6Ppx",
		AppSecret: identity.NewSecret("0123456789abcdef0123456789ABCDEF"), IntegrationUser: "api",
		Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestLightCentre proves F6, F7: where single forms are the rule, a link to a form
// opens it alone, and the icon on the workbench, which names none, the console.
func TestLightCentre(t *testing.T) {
	c := linkClient(t, func(cfg *Config) { cfg.Link.Entry = EntryLight })
	for want, place := range map[string]Place{
		"https://erp.example.com/K3Cloud/html5/index.aspx?ud=":         {},
		"https://erp.example.com/K3Cloud/html5/lightstartapp.aspx?ud=": {FormID: "ER_ExpReimbursement", FormType: "bill", PK: "1"},
	} {
		link, err := c.MintLink("zhangsan", place)
		if err != nil || !strings.HasPrefix(link.Reveal(), want) {
			t.Errorf("%+v: %.70s, %v, want %s", place, link.Reveal(), err, want)
		}
	}
}

// TestPlaces proves T31's second lock: whatever reaches MintLink, only clean
// places are written.
func TestPlaces(t *testing.T) {
	c := linkClient(t, nil)
	good := []Place{
		{},
		{Entry: EntryHTML5, FormID: "ER_ExpReimbursement", FormType: "bill"},
		{FormID: "k8f2", FormType: "dynamicform", PK: "单据 1"},
		{Entry: EntryWPF},
		{Entry: EntryLight, FormID: "GL_VOUCHER", FormType: "list"},
	}
	for _, place := range good {
		if _, err := c.MintLink("zhangsan", place); err != nil {
			t.Errorf("%+v: %v", place, err)
		}
	}
	bad := []Place{
		{Entry: "fax"},
		{Entry: EntryLight},
		{Entry: EntryMobile},
		{FormType: "bill"},
		{PK: "1"},
		{FormID: "A", FormType: "javascript"},
		{FormID: "A"},
		{FormID: "A\n", FormType: "bill"},
		{FormID: "A&ud=", FormType: "bill"},
		{FormID: "A", FormType: "bill", PK: "1\x00"},
		{FormID: "A", FormType: "bill", PK: "\xff"},
		{FormID: "A", FormType: "bill", PK: strings.Repeat("1", 101)},
		{FormID: strings.Repeat("A", 101), FormType: "bill"},
		{FormID: "A", FormType: "BILL"},
	}
	for _, place := range bad {
		link, err := c.MintLink("zhangsan", place)
		if identity.CodeOf(err) != identity.CodeUnknownTarget || !link.IsZero() {
			t.Errorf("%+v: %v", place, err)
		}
	}
}

// TestLinkUsers refuses names that cannot be signed, or are not on the row's list.
func TestLinkUsers(t *testing.T) {
	c := linkClient(t, nil)
	for _, user := range []string{"", "a\nb", "a\x00", "\xff", strings.Repeat("a", 129)} {
		if _, err := c.MintLink(user, Place{}); identity.CodeOf(err) != identity.CodeKingdeeSetup {
			t.Errorf("%q: %v", user, err)
		}
	}
	v1 := linkClient(t, func(cfg *Config) { cfg.Link.Version = 1 })
	if _, err := v1.MintLink("a|Administrator", Place{}); identity.CodeOf(err) != identity.CodeKingdeeSetup {
		t.Errorf("a bar in a V1 name: %v", err)
	}
	listed := linkClient(t, func(cfg *Config) { cfg.Users.Listed = []string{"zhangsan"} })
	if _, err := listed.MintLink("zhangsan", Place{}); err != nil {
		t.Error(err)
	}
	if _, err := listed.MintLink("lisi", Place{}); identity.KindOf(err) != identity.Forbidden {
		t.Errorf("not listed: %v", err)
	}
}

// TestSortIsUTF16 compares the sort with a plain conversion to code units, over
// texts where UTF-8 order differs (reference 1.3).
func TestSortIsUTF16(t *testing.T) {
	texts := []string{"", "a", "A", "Z", "_", "z", "0", "00", "10", "张", "￥", "ｚ", "\ue000", "\uffff", "𠮷", "𠮷a", "😀", "a😀", "aｚ", "%", "+", "/", "="}
	units := func(a, b string) int { return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b))) }
	for _, a := range texts {
		for _, b := range texts {
			if sgn(compareUTF16(a, b)) != sgn(units(a, b)) {
				t.Errorf("%q and %q: %d, want %d", a, b, compareUTF16(a, b), units(a, b))
			}
		}
	}
}

func sgn(n int) int { return min(1, max(-1, n)) }

// TestSurrogates proves that characters outside the BMP become pairs of \u.
func TestSurrogates(t *testing.T) {
	got := string(appendQuoted(nil, "𠮷\"\\é~\x7f", true))
	if want := `"\ud842\udfb7\"\\\u00e9~\u007f"`; got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

// TestWPFLink reads the desktop link's parts: port always there, LoginUrl as it is.
func TestWPFLink(t *testing.T) {
	for base, want := range map[string]string{
		"https://erp.example.com/K3Cloud/":      "K3cloud://erp.example.com:443/k3cloud/",
		"https://erp.example.com:8443/K3Cloud/": "K3cloud://erp.example.com:8443/k3cloud/",
		"http://127.0.0.1/K3Cloud/":             "K3cloud://127.0.0.1:80/k3cloud/",
		"http://[::1]/K3Cloud/":                 "K3cloud://[::1]:80/k3cloud/",
	} {
		c := linkClient(t, func(cfg *Config) { cfg.BaseURL = base })
		link := mint(t, c, "zhangsan", Place{Entry: EntryWPF, FormID: "GL_VOUCHER", FormType: "list"})
		if !strings.HasPrefix(link, want) || !strings.Contains(link, "&LoginUrl="+base+"&ud=") || !strings.HasSuffix(link, "&udencoding=utf-8") {
			t.Errorf("%s: %s", base, link)
		}
	}
}

// TestMobileLink keeps the form out of the console's types and its defaults in.
func TestMobileLink(t *testing.T) {
	c := linkClient(t, func(cfg *Config) { cfg.Link.Mobile = true })
	u, err := url.Parse(mint(t, c, "李四（华东）2", Place{Entry: EntryMobile, FormID: "ER_MobileHome"}))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Get("username") != "李四（华东）2" || q.Get("formtype") != "mobileform" || len(q.Get("sign")) != 40 {
		t.Errorf("%v", q)
	}
	if _, err := c.MintLink("zhangsan", Place{Entry: EntryMobile, FormID: "ER_MobileHome", FormType: "bill"}); err == nil {
		t.Error("a bill on the mobile page")
	}
}

// TestStamps keeps links of one user apart within a second, and of nobody else.
func TestStamps(t *testing.T) {
	s := &stamps{given: map[string][]int64{}}
	at := time.Unix(1_700_000_000, 0)
	for i, want := range []int64{0, -1, -2} {
		if got := s.next("a", at) - at.Unix(); got != want {
			t.Errorf("stamp %d is %d", i, got)
		}
	}
	if got := s.next("b", at); got != at.Unix() {
		t.Errorf("another user's stamp is %d off", got-at.Unix())
	}
	seen := map[int64]bool{}
	for range 200 { // one person, many tabs: each link is another link
		stamp := s.next("a", at)
		if seen[stamp] {
			t.Fatalf("stamp %d given twice", stamp-at.Unix())
		}
		seen[stamp] = true
	}
	for range 2 * stampMemory {
		s.next("a", at)
	}
	if got := at.Unix() - s.next("a", at); got > stampMemory || len(s.given["a"]) > stampMemory+1 {
		t.Errorf("stamp %d s back, %d remembered", got, len(s.given["a"]))
	}
	s.next("c", at.Add(time.Hour))
	if len(s.given) != 1 {
		t.Errorf("%d users remembered after an hour", len(s.given))
	}
	if got := s.next("a", at.Add(-time.Hour)); got != at.Add(-time.Hour).Unix() {
		t.Error("a clock set back is not followed")
	}
}

// TestClockCheck proves R49: five minutes are told and work, ten refuse links.
func TestClockCheck(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, tc := range []struct {
		skew   time.Duration
		mints  bool
		alerts int
	}{{0, true, 0}, {4 * time.Minute, true, 0}, {-5 * time.Minute, true, 1}, {10 * time.Minute, false, 1}, {-11 * time.Minute, false, 1}} {
		var log strings.Builder
		c := linkClient(t, func(cfg *Config) {
			cfg.Now = func() time.Time { return now }
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		header := http.Header{"Date": {now.Add(tc.skew).UTC().Format(http.TimeFormat)}}
		for range 3 {
			c.clock.note(header, c.cfg.Link.Window)
			c.clock.note(http.Header{}, c.cfg.Link.Window)
		}
		_, err := c.MintLink("zhangsan", Place{})
		if (err == nil) != tc.mints || strings.Count(log.String(), "clocks differ") != tc.alerts {
			t.Errorf("skew %s: %v, log %q", tc.skew, err, log.String())
		}
		if !tc.mints && identity.KindOf(err) != identity.Misconfigured {
			t.Errorf("kind %s", identity.KindOf(err))
		}
	}
}

// TestMask keeps Kingdee's words readable and takes out what looks like a secret.
func TestMask(t *testing.T) {
	secret := identity.NewSecret("0123456789abcdef0123456789ABCDEF")
	for in, want := range map[string]string{
		"当前IP:203.0.113.7 白名单失败":                       "当前IP:203.0.113.7 白名单失败",
		"secret 0123456789abcdef0123456789ABCDEF!":     "secret [secret]!",
		"sid 5f8e2d10-77aa-4c1b-9e3d-0123456789ab end": "sid […] end",
		"line\nforged\u202e":                           "line forged ",
		"标识为“ER_ExpReimbursement_Travel”的业务对象不存在":      "标识为“ER_ExpReimbursement_Travel”的业务对象不存在",
	} {
		same(t, "mask", mask(in, secret), want)
	}
	if got := mask(strings.Repeat("错", 5000), secret); len([]rune(got)) > 200 {
		t.Errorf("%d characters kept", len([]rune(got)))
	}
}

// TestFaultIsFound proves that a doctor reaches the vendor's words through any error.
func TestFaultIsFound(t *testing.T) {
	err := newFault(notWhiteListed, "login", "当前IP:203.0.113.7 白名单失败").public()
	fault, ok := errors.AsType[*Fault](err)
	if !ok || fault.Row != 18 || fault.Advice == "" || !strings.Contains(err.Error(), "203.0.113.7") {
		t.Errorf("%v", err)
	}
}

// TestTableIsWhole holds the decision table itself: every symptom has a name and
// a kind people can be shown, and whoever calls the operator says what to do.
func TestTableIsWhole(t *testing.T) {
	for s := fine + 1; s < symptomCount; s++ {
		d := decisions[s]
		switch {
		case d.name == "":
			t.Errorf("symptom %d has no name", s)
		case d.kind == identity.Internal:
			t.Errorf("%s has no kind", d.name)
		case d.operator != (d.advice != ""):
			t.Errorf("%s: operator %v, advice %q", d.name, d.operator, d.advice)
		case d.kind == identity.NotFound && s != noData:
			t.Errorf("%s reads as not there", d.name)
		}
	}
}

func BenchmarkMintLink(b *testing.B) {
	c := linkClient(b, nil)
	users := make([]string, 4096)
	for i := range users {
		users[i] = "user" + string(rune('a'+i%26)) + strings.Repeat("x", i%7)
	}
	place := Place{FormID: "ER_ExpReimbursement", FormType: "bill", PK: "100001"}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := c.MintLink(users[i%len(users)], place); err != nil {
			b.Fatal(err)
		}
	}
}
