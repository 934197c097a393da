package proxy

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

// T56: what is closed, in any letter case and spelling that a Windows server
// would take for it; and what a page needs is open.
func TestPolicy(t *testing.T) {
	p := newPolicy([]string{"/K3Cloud/Reports/*", "secret.aspx"}, []string{"Kingdee.BOS.WebApi.ServicesStub.DynamicFormService.*", "manager/*"})
	const facade, webAPI = "Kingdee.BOS.ServiceFacade.ServicesStub.", "Kingdee.BOS.WebApi.ServicesStub."
	for path, want := range map[string]verdict{
		"html5/dform.aspx": open, "HTML5/DFORM.ASPX": open, "html5/Theme/a b.css": open, "mobile/k3cloud.html": open, "_pr_.kdsvc": open,
		facade + "DynamicForm.DynamicFormService.InvokeAction.common.kdsvc": open,
		facade + "User.UserService.GetUser.common.kdsvc":                    open, "clientbin/a.manifest": open, "managers/x": open,
		webAPI + "DynamicFormService.View.common.kdsvc": open, // by allow_paths

		"Manager": closed, "manager/": closed, "MANAGER/Login.aspx": closed, "ManageSite/x": closed, "managesite": closed,
		"manager./": closed, "Manager ./x": closed, "manager\u00a0/x": closed, "Ｍanager/x": closed, "ｍａｎａｇｅｒ/": closed,
		webAPI + "AuthService.ValidateUser.common.kdsvc": closed, webAPI + "authservice.loginbysign.common.kdsvc": closed,
		webAPI + "AuthService.LoginByAppSecret2.common.kdsvc": closed, strings.ToUpper(webAPI + "AuthService.ValidateUser2.common.kdsvc"): closed,
		"Kingdee.BOS.WebApi.ServicesStub.AuthService.ValidateUser,Kingdee.BOS.WebApi.ServicesStub.common.kdsvc": closed,
		facade + "User.UserService.LogoutByOtherSystem.common.kdsvc":                                            closed, facade + "Account.AccountService.GetDataCenterList.common.kdsvc": closed,
		facade + "DevReportService.GetBusinessObjectData.common.kdsvc": closed, "FileUpLoadServices/FileService.svc/upload2attachment/": closed,
		webAPI + "AttachmentService.UploadFile.common.kdsvc": closed, "reports/a": closed, "Secret.aspx": closed, "secret.aspx.": closed,

		"": entrance, "html5/": entrance, "html5/Index.aspx": entrance, "html5/lightstartapp.aspx": entrance, "Silverlight/IndexSL.aspx": entrance,
		"mobile/k3cloudForPhone.html": entrance,

		"manager:$i30:$index_allocation/x": malformed, "html5/a.aspx::$data": malformed, "(S(abc))/manager/": malformed, "manage~1/": malformed,
		"ManageSite/Login.aspx/x.authservice.logout.common.kdsvc": closed, "Manager/x.authservice.logout,y": closed, // path info
		facade + "User.UserService.ValidateLoginInfo.common.kdsvc/y.authservice.logout.common.kdsvc": closed,
		"x.authservice.logout.common.kdsvc": closed, webAPI + "AuthService.ValidateUser,a.authservice.logout,b.common.kdsvc": closed,
		"html5/.. /Manager/x": malformed, "html5/．．/Manager/x": malformed, "html5/\u2026/Manager": malformed, "html5/‥/Manager": malformed,
		"／Manager/x": malformed, "html5/ /x": malformed, ".../Manager": malformed, "html5\u2100x": malformed,
		"a*b": malformed, "a<b": malformed, `a"b`: malformed, "a|b": malformed, "a%b": malformed, "a?b": malformed, "（s(x))/manager": malformed, "a／manager/：x": malformed,
	} {
		if got := p.judge("/k3CLOUD/"+path, ""); got != want {
			t.Errorf("%q: %d, want %d", path, got, want)
		}
	}
	if p.judge("/K3Cloud", "") != entrance || p.judge("/K3Cloud/"+webAPI+"AuthService.Logout.common.kdsvc", "") != closed {
		t.Error("base path or logout")
	}
	for query, want := range map[string]verdict{
		"": open, "a=1&format=1": open, "format=3": closed, "x=1;FORMAT=3": closed, "%66ormat=%33": closed, "format=Binary": closed,
		"ud=abc": entrance, "a=1&UD=": entrance, "%75d=x": entrance, "aud=x": open, "ud=1&format=3": closed, "format=3&ud=1": closed,
	} {
		if got := p.judge("/K3Cloud/html5/x.aspx", query); got != want {
			t.Errorf("?%s: %d, want %d", query, got, want)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"a", "a", true},
		{"a", "ab", false},
		{"a*", "a", true},
		{"a*", "abc", true},
		{"*c", "abc", true},
		{"*c", "abd", false},
		{"a*c", "ac", true},
		{"a*c", "a", false},
		{"a*b*c", "axbyc", true},
		{"a*b*c", "acb", false},
		{"*aa*", "a", false},
		{"ab*ba", "aba", false},
		{"*", "", true},
	} {
		if got := glob(c.pattern, c.text); got != c.want {
			t.Errorf("glob(%q, %q) = %v", c.pattern, c.text, got)
		}
	}
}

// TestLogoutIsOpen: what T56 leaves open of AuthService, where the Web API is allowed at all.
func TestLogoutIsOpen(t *testing.T) {
	p := newPolicy(nil, []string{"Kingdee.BOS.WebApi.*"})
	const service = "/K3Cloud/Kingdee.BOS.WebApi.ServicesStub.AuthService."
	for path, want := range map[string]verdict{
		"Logout.common.kdsvc": open, "LOGOUT.common.kdsvc": open, "Logout,Kingdee.BOS.WebApi.ServicesStub.common.kdsvc": open,
		"ValidateUser.common.kdsvc": closed, "ValidateUser.common.kdsvc/x.AuthService.Logout.common.kdsvc": closed, "LoginBySign,x.authservice.logout,y": closed,
	} {
		if got := p.judge(service+path, ""); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

// FuzzPolicy: no spelling that a lenient reader takes for the management centre is open (T56).
func FuzzPolicy(f *testing.F) {
	p := newPolicy(nil, nil)
	for _, seed := range []string{"html5/．．/manager", "a/.. /manager", "／manager", "manager/x.authservice.logout.common.kdsvc", "manager/x", "Manager. /", "html5/a", "(S(x))/manager", "ＭＡＮＡＧＥＲ/", "a/../manager"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got := p.judge("/K3Cloud/"+path, "")
		first, _, _ := strings.Cut(lenient(path), "/")
		if first == "manager" && got != closed && got != malformed && !strings.Contains(path, "//") { // the edge has refused those
			t.Errorf("%q is %d", path, got)
		}
		if upper := p.judge("/K3CLOUD/"+strings.ToUpper(path), ""); isASCII(path) && upper != got {
			t.Errorf("%q: %d in capitals, %d as it is", path, upper, got)
		}
	})
}

// lenient reads a path as the worst reader would: compatible letters are one,
// dots and spaces at the end of a segment are nothing, and .. goes up.
func lenient(path string) string {
	var kept []string
	for segment := range strings.SplitSeq(strings.ToLower(norm.NFKC.String(path)), "/") {
		bare := strings.TrimRight(segment, " \u00a0")
		switch strings.TrimRight(bare, ". ") {
		case "":
			if strings.HasPrefix(bare, "..") && len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
		default:
			kept = append(kept, strings.TrimRight(bare, ". "))
		}
	}
	return strings.Join(kept, "/")
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}

// T57, T58: where a redirect may lead.
func TestHomeward(t *testing.T) {
	p := testProxy(t)
	for location, want := range map[string]string{
		"/K3Cloud/html5/a.aspx?x=1#f": "/K3Cloud/html5/a.aspx?x=1#f", "a.aspx": "a.aspx", "?x": "?x",
		"http://erp.internal:8000/K3Cloud/a?b=c#d": "/K3Cloud/a?b=c#d", "https://ERP.internal/K3Cloud/a": "/K3Cloud/a", "http://erp.internal": "/",
		"//erp.internal:8000/K3Cloud/": "/K3Cloud/", "https://gate.example.com/K3Cloud/x": "/K3Cloud/x", "http://erp.internal:443/a": "/a",
		"/K3Cloud/中文.aspx": "/K3Cloud/中文.aspx",

		"": "", "http://evil.example/": "", "//evil.example/": "", "///evil.example/": "", `\\evil.example/`: "", `/\evil.example/`: "",
		"http:evil.example": "", "http:/evil.example": "", "https:\\\\evil.example": "", "javascript:alert(1)": "", "data:text/html,x": "",
		"http://erp.internal:8000@evil.example/": "", "http://evil.example#erp.internal": "", "http://erp.internal.evil.example/": "",
		"http://erp.internal:9999/": "", "/\tevil": "", "/a\r\nSet-Cookie: x": "", "ftp://erp.internal/": "", "http://erp.internal//evil.example/": "",
		" /K3Cloud/": "", "http://user@erp.internal/": "", "http://[::1": "",
	} {
		got, ok := p.homeward(location)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q %v, want %q", location, got, ok, want)
		}
	}
	for value, want := range map[string]string{
		"5": "5", "5; url=http://erp.internal:8000/K3Cloud/a": "5; url=/K3Cloud/a", "0;URL='/K3Cloud/x'": "0; url=/K3Cloud/x", "0; /a": "0; url=/a",
		"0; url=//evil.example": "", "0;url=javascript:x": "", "0;u": "0; url=u", "http://evil.example": "",
	} {
		got, ok := p.homewardRefresh(value)
		if ok != (want != "") || ok && got != want {
			t.Errorf("Refresh %q: %q %v, want %q", value, got, ok, want)
		}
	}
}

func FuzzHomeward(f *testing.F) {
	p := testProxy(f)
	for _, seed := range []string{"/a", "//a", "http://erp.internal/x", `/\a`, "http:a", "https://erp.internal:8000/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, location string) {
		home, ok := p.homeward(location)
		if !ok {
			return
		}
		if strings.HasPrefix(home, "//") || strings.ContainsAny(home, "\\\r\n\t\x00 ") {
			t.Errorf("%q became %q", location, home)
		}
		if i := strings.IndexByte(home, ':'); i >= 0 && !strings.ContainsAny(home[:i], "/?#") {
			t.Errorf("%q became %q, which has a scheme", location, home)
		}
	})
}

// FuzzCookies: what goes upstream holds none of our cookies, and every pair
// that is not ours, in order.
func FuzzCookies(f *testing.F) {
	for _, seed := range []string{"a=b; __Host-kdgate=x", ";;", "__HOST-KDGATE = x;b", "kdgate-lang=en", "a; b=;c==; "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		got := string(appendForeign(nil, line))
		var want []string
		for pair := range strings.SplitSeq(line, ";") {
			if name, _, _ := strings.Cut(pair, "="); !isOwnCookie(strings.Trim(name, " \t")) {
				want = append(want, strings.Trim(pair, " \t"))
			}
		}
		var kept []string
		for pair := range strings.SplitSeq(got, ";") {
			if name, _, _ := strings.Cut(pair, "="); isOwnCookie(strings.Trim(name, " \t")) {
				t.Fatalf("%q kept %q", line, pair)
			}
			kept = append(kept, strings.Trim(pair, " \t"))
		}
		if got := strings.Trim(strings.Join(kept, ";"), ";"); got != strings.Trim(strings.Join(want, ";"), ";") {
			t.Errorf("%q became %q", line, got)
		}
	})
}

// FuzzSetCookie: whatever an upstream sets becomes a cookie of our host with our rules.
func FuzzSetCookie(f *testing.F) {
	for _, seed := range []string{"a=b; path=/; domain=x", "a=b;SameSite=None; secure", "__Host-kdgate=x", "=x", "a", "a=b; HttpOnly; Path=/k3cloud; expires=Thu, 01 Jan 1970 00:00:00 GMT"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		out, name, value := rescoped(line, true)
		if out == "" {
			return
		}
		lower := strings.ToLower(out)
		if !strings.HasPrefix(out, name+"="+value) || !strings.HasSuffix(out, "; HttpOnly; Secure; SameSite=Lax") || isOwnCookie(name) {
			t.Errorf("%q became %q", line, out)
		}
		for _, bad := range []string{"domain", "samesite=none", "partitioned"} {
			for attribute := range strings.SplitSeq(lower[strings.IndexByte(lower+";", ';'):], ";") {
				if strings.HasPrefix(strings.Trim(attribute, " \t"), bad) {
					t.Errorf("%q kept %q", line, attribute)
				}
			}
		}
	})
}

// A verdict that is remembered is the same, and memory is bounded whatever is asked.
func TestVerdictsAreRemembered(t *testing.T) {
	p := newPolicy([]string{"Reports/*"}, nil)
	for range 2 {
		for path, want := range map[string]verdict{
			"/K3Cloud/a.js": open, "/K3Cloud/REPORTS/a.aspx": closed, "/K3Cloud/": entrance, "/K3Cloud/a:b": malformed,
		} {
			if got := p.judge(path, ""); got != want {
				t.Errorf("%s: %v, want %v", path, got, want)
			}
		}
		if p.judge("/K3Cloud/a.js", "format=3") != closed || p.judge("/K3Cloud/a.js", "ud=1") != entrance || p.judge("/K3Cloud/a.js", "") != open {
			t.Error("a query's verdict is not its path's")
		}
	}
	for i := range 3 * maxVerdicts {
		p.judge(fmt.Sprintf("/K3Cloud/%d.js", i), "")
	}
	p.judge("/K3Cloud/"+strings.Repeat("x", maxJudged)+".js", "")
	known := 0
	p.known.paths.Range(func(path, _ any) bool {
		known++
		if len(path.(string)) > maxJudged { //nolint:forcetypeassert // of a map of ours
			t.Error("a long path is remembered")
		}
		return true
	})
	if known == 0 || known > maxVerdicts {
		t.Errorf("%d paths in memory", known)
	}
}
