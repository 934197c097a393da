package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/net/html"

	"kdgate/identity"
)

func newPages(t *testing.T) *Pages {
	t.Helper()
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wordsIn are all words of one language, read in one go: each key stands in one
// file, and every file can be read.
func wordsIn(t *testing.T, lang string) map[string]string {
	t.Helper()
	names, err := fs.Glob(embedded, "words/*/*."+lang+".json")
	if err != nil || len(names) < 10 {
		t.Fatal(names, err)
	}
	text, err := readWords(embedded, append(names, "words/"+lang+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// F5, F34: the catalogues have the same keys, the same {places}, and no empty text.
func TestCataloguesAgree(t *testing.T) {
	places := regexp.MustCompile(`\{[a-z]+\}`)
	english := wordsIn(t, "en")
	for _, lang := range languages {
		words, shown := wordsIn(t, lang), newPages(t).Catalogue().In(lang)
		for key, text := range english {
			got, ok := words[key]
			if !ok || strings.TrimSpace(got) == "" {
				t.Errorf("%s lacks %s", lang, key)
			}
			if want := places.FindAllString(text, -1); !slices.Equal(places.FindAllString(got, -1), want) {
				t.Errorf("%s: %s does not name %v", lang, key, want)
			}
		}
		for key, text := range words {
			if _, ok := english[key]; !ok {
				t.Errorf("%s has %s, en has not", lang, key)
			}
			if got, ok := shown.find(key); !ok || got != text {
				t.Errorf("%s: pages show %q for %s", lang, got, key)
			}
		}
	}
}

// reads counts what is read of a folder.
type reads struct {
	fs.ReadFileFS
	below string
	n     int
}

func (r *reads) ReadFile(name string) ([]byte, error) {
	if strings.HasPrefix(name, r.below) {
		r.n++
	}
	return r.ReadFileFS.ReadFile(name)
}

// F31, F34: what the settings are is read when the first one is shown, once, and
// not on the way of a sign-in, which looks for words that there may not be.
func TestSettingsAreReadWhenShown(t *testing.T) {
	files := &reads{ReadFileFS: embedded, below: "words/settings/"}
	c, err := loadCatalogue(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range languages {
		words := c.In(lang)
		if words.T("signin.title") == "" || words.Has("listen.leave") || words.Word("device", "none") != "none" {
			t.Errorf("%s has words of the settings", lang)
		}
	}
	if files.n != 0 {
		t.Errorf("read %d times by pages that show no setting", files.n)
	}
	for range 2 {
		for _, lang := range languages {
			if text, ok := c.In(lang).Setting("listen.leave"); ok != (lang != "en") || ok == (text == "") {
				t.Errorf("%s: %q, %v", lang, text, ok)
			}
		}
	}
	if files.n != 2 {
		t.Errorf("read %d times, there are two", files.n)
	}
	if _, ok := c.In("zh-Hans").Setting("listen.nothing"); ok {
		t.Error("what is no setting has words")
	}
}

// A mistake in the words of the settings is said, not shown as a page without them.
func TestSettingsWords(t *testing.T) {
	for text, want := range map[string]int{
		`{"":{"a":"x"},"b.c":{"d":"y","e":"z"}}`: 3, `{"a":{"b":"x","b":"y"}}`: 0, `{"a":{},"a":{}}`: 0, `{"a":"x"}`: 0, `{`: 0,
	} {
		got, err := readSettings(fstest.MapFS{"f": {Data: []byte(text)}}, "f")
		if len(got) != want || (err == nil) != (want > 0) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := readSettings(fstest.MapFS{}, "f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
	got, err := readSettings(fstest.MapFS{"f": {Data: []byte(`{"":{"a":"x"},"b.c":{"d":"y"}}`)}}, "f")
	if err != nil || got["a"] != "x" || got["b.c.d"] != "y" {
		t.Errorf("%v, %v", got, err)
	}
}

// codes reads every Code constant from the source of package identity, so that
// a new one without words fails here.
func codes(t *testing.T) []identity.Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../identity/code.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []identity.Code
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil {
				found = append(found, identity.Code(text))
			}
		}
		return true
	})
	if len(found) < 25 {
		t.Fatalf("only %d codes found", len(found))
	}
	return found
}

// F5: every short code has words for the employee and for the helpdesk, in three languages.
func TestEveryCodeHasWords(t *testing.T) {
	c := newPages(t).Catalogue()
	known := codes(t)
	for _, lang := range languages {
		words := c.In(lang)
		for _, code := range known {
			if words.Employee(code) == "code."+string(code)+".employee" || words.Helpdesk(code) == "code."+string(code)+".helpdesk" {
				t.Errorf("%s has no words for %s", lang, code)
			}
		}
		for key := range wordsIn(t, lang) {
			if rest, ok := strings.CutPrefix(key, "code."); ok && !slices.Contains(known, identity.Code(strings.Split(rest, ".")[0])) {
				t.Errorf("%s has words for %s, which is no code", lang, key)
			}
		}
	}
}

// Every key that a template or a page's code names exists, and every key is
// named somewhere.
func TestTemplatesAndWordsAgree(t *testing.T) {
	words := newPages(t).Catalogue().In("en")
	named := map[string]bool{}
	use := regexp.MustCompile(`\.T[ (]"([^"]+)"`)
	texts := templatesText(t)
	pages, err := filepath.Glob("admin/*.go")
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	for _, file := range pages {
		if file == "admin/doc.go" { // its example is of no page
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(text)
	}
	for name, text := range texts {
		for _, match := range use.FindAllStringSubmatch(text, -1) {
			named[match[1]] = true
			if begun := strings.HasSuffix(match[1], "."); !begun && !words.Has(match[1]) {
				t.Errorf("%s: no words for %s", name, match[1])
			}
		}
	}
	for key := range wordsIn(t, "en") {
		built := strings.HasPrefix(key, "code.") || strings.HasPrefix(key, "word.") || strings.HasPrefix(key, "nav.")
		if !named[key] && !built {
			t.Errorf("%s is in no template", key)
		}
	}
}

// Every act that the code puts on record has a name in each language, so that
// no reviewer reads "queue.give-up".
func TestActsHaveWords(t *testing.T) {
	c := newPages(t).Catalogue()
	declared := regexp.MustCompile(`[Aa]ction[A-Z]\w*\s+(?:audit\.)?Action\s*=\s*"([^"]+)"`)
	found := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, match := range declared.FindAllStringSubmatch(string(text), -1) {
			found++
			for _, lang := range languages {
				if !c.In(lang).Has("word.act." + match[1]) {
					t.Errorf("%s has no words for %s of %s", lang, match[1], path)
				}
			}
		}
		return nil
	})
	if err != nil || found < 60 {
		t.Errorf("%d acts are declared, %v", found, err)
	}
}

func templatesText(t *testing.T) map[string]string {
	t.Helper()
	files, err := fs.Glob(embedded, "templates/*.html")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	console, err := fs.Glob(embedded, "templates/*/*.html")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, console...)
	texts := map[string]string{}
	for _, file := range files {
		text, err := fs.ReadFile(embedded, file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(text)
	}
	return texts
}

// T59, F33: no inline script, no inline style, no handler attribute, nothing
// from elsewhere; and what a screen reader needs.
func TestPagesAreStrict(t *testing.T) {
	p := newPages(t)
	for name, data := range samples() {
		for _, lang := range languages {
			var page bytes.Buffer
			if err := p.Render(&page, View{Words: p.Catalogue().In(lang), Page: name, Canonical: "/x?", Data: data}); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			checkPage(t, name, lang, &page)
		}
	}
	if err := p.Render(&bytes.Buffer{}, View{Words: p.Catalogue().In("en"), Page: "nothing"}); err == nil {
		t.Error("an unknown page renders")
	}
}

func checkPage(t *testing.T, name, lang string, page *bytes.Buffer) {
	t.Helper()
	root, err := html.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	headings, ids := 0, map[string]bool{}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attrs := map[string]string{}
		for _, a := range n.Attr {
			attrs[a.Key] = a.Val
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.HasPrefix(strings.ToLower(a.Val), "javascript:") {
				t.Errorf("%s: <%s %s=%q>", name, n.Data, a.Key, a.Val)
			}
		}
		if id := attrs["id"]; id != "" && ids[id] {
			t.Errorf("%s: id %s twice", name, id)
		} else {
			ids[id] = true
		}
		switch n.Data {
		case "html":
			if attrs["lang"] != lang {
				t.Errorf("%s: lang %q, want %q", name, attrs["lang"], lang)
			}
		case "h1":
			headings++
		case "style", "iframe", "object", "embed", "base":
			t.Errorf("%s: <%s>", name, n.Data)
		case "script", "img", "link":
			address := attrs["src"] + attrs["href"]
			if !strings.HasPrefix(address, AssetPrefix) || n.FirstChild != nil {
				t.Errorf("%s: <%s> of %q", name, n.Data, address)
			}
			if _, ok := attrs["alt"]; n.Data == "img" && !ok {
				t.Errorf("%s: image without alt", name)
			}
		}
	}
	if headings != 1 {
		t.Errorf("%s: %d headings of the first rank", name, headings)
	}
}

// samples is data for every page, as the gateway's views have it.
func samples() map[string]any {
	type centre struct{ ID, Name string }
	person := map[string]any{"Name": "张伟", "UserID": "zhang1", "JSAPI": "", "Wanted": "/launch/live", "Address": "https://gate/handover/x", "Action": "/handover/x", "Other": "李娜"}
	with := func(more map[string]any) map[string]any {
		all := map[string]any{}
		for _, m := range []map[string]any{person, more} {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	signin := func(failed identity.Code, restarted bool) map[string]any {
		return map[string]any{
			"State": "s", "Nonce": "n", "Corp": "dingcorp1", "Client": "c", "JSAPI": "", "Browser": "/signin/dingtalk/oauth?state=s",
			"Auto": failed == "", "Restarted": restarted, "Failed": failed, "RequestID": "r", "Time": "t",
		}
	}
	return map[string]any{
		"signin":  signin(identity.CodeAuthCodeRefused, true),
		"error":   map[string]any{"Code": identity.CodeNoLoginUser, "RequestID": "r", "Time": "t", "Person": "zhang1", "Name": "", "Retry": "/launch/live", "Chain": true, "SignOut": true, "Wish": nil},
		"consent": with(map[string]any{"State": "withdrawn", "Given": false, "When": "t", "Version": "1", "Text": "x", "Digest": "d", "Kinds": []string{"mobile", "email"}}),
		"own": with(map[string]any{
			"Sessions": []map[string]any{
				{"Device": "dingtalk-phone", "Here": true, "Door": "in-client", "Source": "192.0.2.1", "Started": "t", "Seen": "t", "Handle": "h"},
				{"Device": "browser", "Here": false, "Door": "browser", "Source": "192.0.2.2", "Started": "t", "Seen": "t", "Handle": "i"},
			},
			"SignIns": []map[string]any{{"Action": "mint", "Outcome": "refused", "Reason": "KD-203", "Time": "t", "Door": "browser", "Centre": "正式", "Source": "192.0.2.2"}},
			"Others":  true,
		}),
		"home":             with(map[string]any{"Own": true, "Consent": true, "SignedIn": true, "Until": "t", "Desktop": true, "Chosen": "live", "Centres": []centre{{"live", "正式"}, {"test", "测试"}}}),
		"choose":           with(map[string]any{"Form": "f", "ID": "1", "Centres": []centre{{"live", "正式"}, {"test", "测试"}}}),
		"signed-out":       map[string]any{"Kingdee": "open"},
		"handover":         person,
		"handover-link":    person,
		"handover-confirm": person,
	}
}

// A template is read when its page is first shown, so this is where a mistake in one is met.
func TestTemplatesAreRead(t *testing.T) {
	p := newPages(t)
	if len(p.templates) < 20 {
		t.Errorf("only %d pages", len(p.templates))
	}
	for name, read := range p.templates {
		if made, err := read(); err != nil || made.Lookup("layout.html") == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every template is among the samples, so none escapes the checks.
func TestSamplesAreComplete(t *testing.T) {
	all := samples()
	for name := range newPages(t).templates {
		if strings.Contains(name, "/") {
			continue // the console and the wizard render their own, and check them alike
		}
		if _, ok := all[name]; !ok {
			t.Errorf("no sample for page %s", name)
		}
	}
}

// T60: an asset is served under exactly one address, cached for ever; notes are not served.
func TestAssets(t *testing.T) {
	a := newPages(t).Assets()
	for _, name := range []string{"kdgate.css", "signin.js", "handover.js", "icon.svg", "vendor/dingtalk.js"} {
		address, err := a.Path(name)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest(http.MethodGet, address, nil))
		sum := sha256.Sum256(w.Body.Bytes())
		if w.Code != 200 || !strings.Contains(address, hex.EncodeToString(sum[:8])) || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %s %v", name, w.Code, address, w.Header())
		}
	}
	for _, address := range []string{"/assets/", "/assets/kdgate.css", "/assets/vendor/README.md", "/assets/vendor/LICENSE.txt", "/assets/vendor/dingtalk.entry.js.txt", "/assets/../words/en.json"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path = address
		a.ServeHTTP(w, r)
		if w.Code != http.StatusNotFound || a.Has(address) {
			t.Errorf("%s: %d", address, w.Code)
		}
	}
	if _, err := a.Path("nothing.js"); err == nil {
		t.Error("an unknown asset has an address")
	}
}

// Assets go out compressed to whoever takes gzip, and as they are to others.
func TestAssetsAreCompressed(t *testing.T) {
	a := newPages(t).Assets()
	address, err := a.Path("vendor/dingtalk.js")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := fs.ReadFile(embedded, "assets/vendor/dingtalk.js")
	if err != nil {
		t.Fatal(err)
	}
	for accept, packed := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "gzip, deflate, br": true, "br;q=1.0, gzip;q=0.5": true, "*": true, "gzip;q=0": false, "gzip; q=0.000, *": false,
		"identity": false, "*;q=0": false, "gzip;q=0.001": true, "x-gzipped": false, ",;,": false,
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, address, nil)
		r.Header.Set("Accept-Encoding", accept)
		a.ServeHTTP(w, r)
		var body io.Reader = w.Body
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != packed || w.Header().Get("Vary") != "Accept-Encoding" || w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
			t.Errorf("%q: %v", accept, w.Header())
		}
		if packed {
			if body, err = gzip.NewReader(w.Body); err != nil {
				t.Fatal(err)
			}
		}
		if content, err := io.ReadAll(body); err != nil || !bytes.Equal(content, plain) {
			t.Errorf("%q: %d bytes, %v", accept, len(content), err)
		}
	}
}

// The vendored script is the one its README tells how to make.
func TestVendoredScript(t *testing.T) {
	script, err := fs.ReadFile(embedded, "assets/vendor/dingtalk.js")
	if err != nil {
		t.Fatal(err)
	}
	notes, err := fs.ReadFile(embedded, "assets/vendor/README.md")
	if err != nil {
		t.Fatal(err)
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(script)); !strings.Contains(string(notes), sum) {
		t.Errorf("README does not name %s", sum)
	}
	for _, never := range []string{"eval(", "new Function", "=>", "document.write", "g.alicdn.com"} {
		if bytes.Contains(script, []byte(never)) {
			t.Errorf("the script holds %q", never)
		}
	}
}

// F3: our own scripts stay in the language of the oldest webview.
func TestScriptsAreOld(t *testing.T) {
	modern := regexp.MustCompile("=>|`|\\b(let|const|class|async|await|import|export)\\b|\\bfetch\\(|\\.\\.\\.|\\?\\?|\\?\\.")
	comment := regexp.MustCompile(`(?m)//.*$|/\*.*?\*/`)
	text := regexp.MustCompile(`"[^"]*"`)
	for _, name := range []string{"signin.js", "handover.js"} {
		script, err := fs.ReadFile(embedded, "assets/"+name)
		if err != nil {
			t.Fatal(err)
		}
		code := comment.ReplaceAllString(text.ReplaceAllString(string(script), `""`), "")
		if found := modern.FindString(code); found != "" {
			t.Errorf("%s holds %q", name, found)
		}
	}
}

// F33: text stands out from what is behind it, light and dark (WCAG 1.4.3: 4.5 to 1).
func TestContrast(t *testing.T) {
	css, err := fs.ReadFile(embedded, "assets/kdgate.css")
	if err != nil {
		t.Fatal(err)
	}
	schemes := regexp.MustCompile(`:root \{[^}]*\}`).FindAllString(string(css), -1)
	if len(schemes) != 2 {
		t.Fatalf("%d schemes", len(schemes))
	}
	pairs := [][2]string{
		{"text", "card"},
		{"text", "ground"},
		{"soft", "card"},
		{"soft", "ground"},
		{"accent", "card"},
		{"accent-text", "accent"},
		{"accent", "accent-soft"},
		{"warn", "warn-soft"},
		{"bad", "bad-soft"},
	}
	for _, scheme := range schemes {
		colours := map[string]float64{}
		for _, match := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6})`).FindAllStringSubmatch(scheme, -1) {
			colours[match[1]] = luminance(t, match[2])
		}
		for _, pair := range pairs {
			a, b := colours[pair[0]]+0.05, colours[pair[1]]+0.05
			if ratio := max(a, b) / min(a, b); ratio < 4.5 {
				t.Errorf("%s on %s: %.2f", pair[0], pair[1], ratio)
			}
		}
	}
}

// luminance is the relative luminance of WCAG 2.
func luminance(t *testing.T, rgb string) float64 {
	t.Helper()
	total := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(rgb[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.03928 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		total += weight * c
	}
	return total
}

// F34: how a language is chosen.
func TestLanguageChoice(t *testing.T) {
	c := newPages(t).Catalogue()
	tests := []struct{ accept, cookie, query, want string }{
		{"", "", "", "zh-Hans"},
		{"en-US,en;q=0.9", "", "", "en"},
		{"zh-TW,zh;q=0.9", "", "", "zh-Hant"},
		{"zh-HK", "", "", "zh-Hant"},
		{"zh", "", "", "zh-Hans"},
		{"zh-CN", "", "", "zh-Hans"},
		{"de", "", "", "zh-Hans"},
		{"en", "zh-Hant", "", "zh-Hant"},
		{"en", "zh-Hant", "zh-Hans", "zh-Hans"},
		{"en", "../x", "", "en"},
		{"en", "", "klingon", "en"},
		{";;;", "", "", "zh-Hans"},
		{"zh-HK,zh;q=0.9,en;q=0.8", "", "", "zh-Hant"},
		{"zh-Hant-HK,zh;q=0.8", "", "", "zh-Hant"},
		{"de,en;q=0.5", "", "", "en"},
	}
	for _, test := range tests {
		r := httptest.NewRequest(http.MethodGet, "/?lang="+test.query, nil)
		r.Header.Set("Accept-Language", test.accept)
		if test.cookie != "" {
			r.AddCookie(&http.Cookie{Name: LanguageCookie, Value: test.cookie})
		}
		if got := c.For(r).Lang; got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}

// T102: a name that turns the writing direction turns nothing.
func TestNamesStayStraight(t *testing.T) {
	p := newPages(t)
	const name = "\u202e\u2067\u200fnimda\u2069\u202c אב"
	var out strings.Builder
	err := p.Render(&out, View{Words: p.Catalogue().In("en"), Page: "home", Data: map[string]any{
		"Own": true, "Consent": false, "SignedIn": true, "Name": name, "UserID": name, "Until": "", "Centres": []any{}, "Chosen": "", "Desktop": false,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if html := out.String(); strings.ContainsAny(html, "\u202e\u2067\u200f\u2069\u202c") || strings.Count(html, "<bdi>nimda אב</bdi>") != 2 || !strings.Contains(html, "Hello, nimda אב") {
		t.Errorf("the name is not isolated: %s", html)
	}
}

// A text fills its places once; what is filled in is not filled again.
func TestWordsPlaces(t *testing.T) {
	w := Words{volumes: []volume{func() map[string]string { return map[string]string{"a": "{x} and {y}"} }}}
	if got := w.T("a", "x", "{y}", "y", "2"); got != "{y} and 2" {
		t.Errorf("%q", got)
	}
	if got := w.T("missing"); got != "missing" {
		t.Errorf("%q", got)
	}
}

func FuzzLanguage(f *testing.F) {
	p, err := New()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("en-GB,en;q=0.8", "zh-Hant", "en")
	f.Fuzz(func(t *testing.T, accept, cookie, query string) {
		r := &http.Request{Header: http.Header{"Accept-Language": {accept}, "Cookie": {LanguageCookie + "=" + cookie}}}
		r.URL = httptest.NewRequest(http.MethodGet, "/", nil).URL
		r.URL.RawQuery = "lang=" + query
		if got := p.Catalogue().For(r).Lang; !slices.Contains(languages[:], got) {
			t.Errorf("language %q", got)
		}
	})
}
