package admin_test

import (
	"flag"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"kdgate/identity"
	"kdgate/web"
	"kdgate/web/admin"
)

var update = flag.Bool("update", false, "write docs/console-roles.md anew")

func webAssets() (http.Handler, error) {
	pages, err := web.New()
	if err != nil {
		return nil, err
	}
	return pages.Assets(), nil
}

const matrixFile = "../../docs/console-roles.md"

const matrixHead = "# Who may do what in the console\n\nWritten by `go test ./web/admin -run TestRoleMatrix -update`, from the router itself.\n" +
	"`fresh proof`: who one is has to be proven within the last five minutes (step-up).\n\n"

// T98: the matrix of routes and roles is the one that is written down and was
// looked at, and every route answers each kind of caller as it says. A route
// without an entry, or with another one than the file, fails here.
func TestRoleMatrix(t *testing.T) {
	h := newHouse(t)
	if *update {
		must(t, os.WriteFile(matrixFile, []byte(matrixHead+h.console.RoleMatrix()), 0o644))
	}
	written, err := os.ReadFile(matrixFile)
	must(t, err)
	if string(written) != matrixHead+h.console.RoleMatrix() {
		t.Error("the routes are not those of docs/console-roles.md: look at the difference, then run with -update")
	}
	disabled := h.enter("manager02")
	delete(h.cfg.Admins, subject("manager02")) // the configuration was reloaded without them
	callers := map[string]struct {
		*browser
		role admin.Role
	}{
		"anonymous": {h.browser(), ""}, "employee": {h.browser().prove("1001"), ""}, "disabled admin": {disabled, ""},
		"auditor": {h.enter("auditor01"), admin.Auditor}, "mapping admin": {h.enter("mapper01"), admin.MappingAdmin}, "admin": {h.enter("manager01"), admin.Admin},
	}
	leaving := map[string]bool{"POST /admin/leave": true, "POST /admin/enter": true, "POST /admin/fresh": true}
	for _, route := range h.console.Routes() {
		if leaving[route.Pattern] {
			continue // they change who is there; the tests of the doors have them
		}
		for name, c := range callers {
			a := c.call(route)
			refused := a.StatusCode == http.StatusUnauthorized || strings.HasPrefix(a.Header.Get("Location"), "/admin/enter") ||
				a.StatusCode == http.StatusForbidden && strings.Contains(a.body, string(identity.CodeNoConsole))
			if want := !holds(route.Access, c.role); refused != want && !strings.Contains(route.Pattern, "/admin/password") && !strings.Contains(route.Pattern, "/admin/breakglass") {
				t.Errorf("%s as %s: %d %s, refused %v, want %v", route.Pattern, name, a.StatusCode, a.Header.Get("Location"), refused, want)
			}
			if a.StatusCode >= http.StatusInternalServerError {
				t.Errorf("%s as %s: %d\n%s", route.Pattern, name, a.StatusCode, a.body)
			}
		}
	}
}

func holds(access admin.Access, role admin.Role) bool {
	bits := map[admin.Role]admin.Access{admin.Admin: admin.ToAdmin, admin.MappingAdmin: admin.ToMappingAdmin, admin.Auditor: admin.ToAuditor}
	return access&admin.Anyone != 0 || access&bits[role] != 0
}

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

// call makes a request of a route that changes nothing.
func (b *browser) call(route admin.Route) answer {
	b.Helper()
	method, path, _ := strings.Cut(route.Pattern, " ")
	path = placeholder.ReplaceAllString(strings.TrimSuffix(path, "{$}"), "x")
	if route.Body != nil {
		return b.send(method, path, `{"nothing":1}`)
	}
	if method == http.MethodGet {
		return b.get(path)
	}
	return b.do(method, path, strings.NewReader("nothing=1"), "Content-Type", "application/x-www-form-urlencoded")
}

// F35: the description holds every route of the router, also those of HTML.
func TestOpenAPIHoldsEveryRoute(t *testing.T) {
	h := newHouse(t)
	a := h.enter("auditor01").get("/admin/api/v1/openapi.json")
	var described struct {
		OpenAPI string                               `json:"openapi"`
		Paths   map[string]map[string]map[string]any `json:"paths"`
	}
	decode(t, a, &described)
	for _, route := range h.console.Routes() {
		method, path, _ := strings.Cut(route.Pattern, " ")
		operation := described.Paths[strings.TrimSuffix(path, "{$}")][strings.ToLower(method)]
		if operation == nil || operation["summary"] != route.Summary || operation["responses"] == nil {
			t.Errorf("%s is not described: %v", route.Pattern, operation)
		}
		if route.Body != nil && operation["requestBody"] == nil {
			t.Errorf("%s: its body is not described", route.Pattern)
		}
	}
	if described.OpenAPI != "3.1.0" || len(described.Paths) < 20 {
		t.Errorf("%s with %d paths", described.OpenAPI, len(described.Paths))
	}
}

// pagesOf are the HTML pages that need no parameter.
func pagesOf(h *house) []string {
	var paths []string
	for _, route := range h.console.Routes() {
		method, path, _ := strings.Cut(route.Pattern, " ")
		path = strings.TrimSuffix(path, "{$}")
		api, fragment := strings.HasPrefix(path, "/admin/api/"), route.Live || strings.HasSuffix(path, "/chain") || strings.HasSuffix(path, "/export")
		if method == http.MethodGet && !api && !fragment && !strings.Contains(path, "{") && path != "/admin/enter" && path != "/admin/password" && path != "/admin/mapping/row" && path != "/admin/audit/record" && path != "/admin/audit/proof/report" && path != "/admin/connections/result" {
			paths = append(paths, path)
		}
	}
	return append(paths, "/admin/audit/record?replica=test&seq=1", "/admin/mapping/row?data_centre=live&corp=dingcorp1&userid=1001", "/admin/mapping/suggestions?data_centre=live", "/admin/no-such-page")
}

// T13, T59, T60, F33, F34: every page in every language has the strict policy,
// no inline script or style, labels for its fields, words for every key, and one heading.
func TestPagesAreStrict(t *testing.T) {
	h := newHouse(t)
	h.row("1001", "1001")
	b := h.enter("manager01")
	for _, path := range pagesOf(h) {
		for _, lang := range []string{"zh-Hans", "zh-Hant", "en"} {
			join := "?"
			if strings.Contains(path, "?") {
				join = "&"
			}
			a := b.get(path + join + "lang=" + lang)
			if a.StatusCode != http.StatusOK && path != "/admin/no-such-page" {
				t.Errorf("%s: %d", path, a.StatusCode)
			}
			policy := a.Header.Get("Content-Security-Policy")
			if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %v", path, a.Header)
			}
			checkPage(t, path, lang, a.body)
		}
	}
	for _, path := range []string{"/admin/x.css", "/admin/mapping/.js", "/admin/api/v1/x.css"} {
		b.get(path).has(t, http.StatusNotFound)
	}
}

// leftover is a key that no catalogue has: it shows itself.
var leftover = regexp.MustCompile(`>\s*(?:nav|audit|proof|review|hold|doctor|word|mapping|rules|bills|row|plan|import|overview|console|conflicts|suggestions|enter|confirm|password|sessions|people|directory|jobs|notices|requests|quota|audit|proof|review|hold|doctor|checkup|settings)\.[a-z][a-z.-]+\s*<`)

func checkPage(t *testing.T, path, lang, body string) {
	t.Helper()
	if key := leftover.FindString(body); key != "" {
		t.Errorf("%s in %s: no words for %s", path, lang, key)
	}
	root, err := html.Parse(strings.NewReader(body))
	must(t, err)
	headings, ids, labelled, fields := 0, map[string]bool{}, map[string]bool{}, []string{}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attrs := map[string]string{}
		for _, a := range n.Attr {
			attrs[a.Key] = a.Val
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.HasPrefix(a.Key, "hx-on") || strings.HasPrefix(strings.ToLower(a.Val), "javascript:") {
				t.Errorf("%s: <%s %s=%q>", path, n.Data, a.Key, a.Val)
			}
		}
		if id := attrs["id"]; id != "" {
			if ids[id] {
				t.Errorf("%s: id %s twice", path, id)
			}
			ids[id] = true
		}
		switch n.Data {
		case "html":
			if attrs["lang"] != lang {
				t.Errorf("%s: lang %q", path, attrs["lang"])
			}
		case "h1":
			headings++
		case "label":
			labelled[attrs["for"]] = true
		case "input", "select":
			if attrs["type"] != "hidden" && attrs["type"] != "checkbox" {
				fields = append(fields, attrs["id"])
			}
		case "style", "iframe", "object", "embed", "base":
			t.Errorf("%s: <%s>", path, n.Data)
		case "script", "link", "img":
			if address := attrs["src"] + attrs["href"]; !strings.HasPrefix(address, "/assets/") || n.FirstChild != nil {
				t.Errorf("%s: <%s> of %q", path, n.Data, address)
			}
		}
	}
	for _, id := range fields {
		if !labelled[id] {
			t.Errorf("%s: the field %q has no label", path, id)
		}
	}
	if headings != 1 {
		t.Errorf("%s: %d headings of the first rank", path, headings)
	}
}
