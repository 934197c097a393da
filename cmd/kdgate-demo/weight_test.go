package main

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"kdgate/web"
)

// pageWeight is the most that a page and everything it loads may send (150 KB).
const pageWeight = 150_000

// scale adds up what a browser is sent for a page: each resource of ours once, as it
// goes over the wire to somebody who takes gzip.
type scale struct {
	*testing.T
	tr   *trial
	b    *browser
	sent map[string]int // by address, of assets
}

// send asks for one address the way a browser does and gives the bytes of the
// answer as they were sent, compressed or not.
func (s *scale) send(address string) (*http.Response, []byte) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, address, nil)
	if err != nil {
		s.Fatal(err)
	}
	s.b.dress(req, "")
	req.Header.Set("Accept-Encoding", "gzip, deflate, br, zstd") // set by hand, so that nothing is unpacked unseen
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	return res, must(io.ReadAll(res.Body))
}

// weigh gives the weight of a page, and its links.
func (s *scale) weigh(address string) (weight int, links []string) {
	s.Helper()
	res, body := s.send(address)
	if res.StatusCode >= http.StatusMultipleChoices && res.StatusCode != http.StatusNotFound {
		s.Fatalf("%s: %s", address, res.Status)
	}
	if res.Header.Get("Content-Encoding") != "" {
		s.Errorf("%s is compressed: what a page says of one person must not be told by its length", address)
	}
	dom, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	weight = len(body)
	loads := map[string]bool{}
	each(dom, func(n *html.Node) {
		switch n.Data {
		case "script", "img", "source", "iframe":
			loads[attr(n, "src")] = true
		case "link":
			loads[attr(n, "href")] = true
		case "a":
			links = append(links, attr(n, "href"))
		}
		if part := attr(n, "hx-get"); strings.Contains(attr(n, "hx-trigger"), "load") {
			loads[part] = true // a part that the page asks for by itself
		}
	})
	delete(loads, "")
	for load := range loads {
		weight += s.asset(address, load)
	}
	return weight, links
}

func (s *scale) asset(page, reference string) int {
	s.Helper()
	if strings.HasPrefix(reference, s.tr.workbench+"/jsapi/") { // the trial's DingTalk plays the script that we ship
		reference = must(must(web.New()).Assets().Path("vendor/dingtalk.js"))
	}
	at, err := must(url.Parse(page)).Parse(reference)
	if err != nil || "http://"+at.Host != s.tr.gateway {
		s.Fatalf("%s loads %s, which is not ours", page, reference)
	}
	if strings.HasPrefix(at.Path, "/assets/") && s.sent[at.Path] > 0 {
		return s.sent[at.Path]
	}
	res, body := s.send(at.String())
	if strings.HasSuffix(at.Path, ".js") || strings.HasSuffix(at.Path, ".css") {
		if res.Header.Get("Content-Encoding") != "gzip" || !slices.Contains(res.Header.Values("Vary"), "Accept-Encoding") {
			s.Errorf("%s: encoding %q, vary %q", at.Path, res.Header.Get("Content-Encoding"), res.Header.Values("Vary"))
		}
		if bytes.Contains(body, []byte("url(")) {
			s.Errorf("%s loads more than is weighed", at.Path)
		}
	}
	s.sent[at.Path] = len(body)
	return len(body)
}

// TestPageWeight holds every page for employees and of the console, with full
// tables, to 150 KB as sent, fonts included: there are none.
func TestPageWeight(t *testing.T) {
	tr := start(t, "--people", "300", "--qps", "-1", "--quiet")
	s := &scale{T: t, tr: tr, b: newBrowser(t, clientAgent), sent: map[string]int{}}
	heaviest, most := "", 0
	note := func(address string) []string {
		weight, links := s.weigh(address)
		if weight > pageWeight {
			t.Errorf("%s weighs %d bytes, at most %d", address, weight, pageWeight)
		}
		if weight > most {
			heaviest, most = address, weight
		}
		return links
	}
	signIn := s.b.get(tr.gateway + "/launch/kingdee").url.String()
	note(signIn)
	for _, userid := range []string{"wangwu", "8000001"} {
		person := newBrowser(t, clientAgent)
		tr.clickInClient(t, person, userid, "/launch/kingdee")
		s.b = person
		note(tr.gateway + "/")
	}
	s.b = newBrowser(t, clientAgent)
	tr.enterByHTTP(t, s.b, "manager01")
	seen := map[string]int{}
	for queue := []string{tr.gateway + "/admin/"}; len(queue) > 0; queue = queue[1:] {
		for _, link := range note(queue[0]) {
			u := must(must(url.Parse(queue[0])).Parse(link))
			if kind := kindOf(tr, u); kind != "" && seen[kind] < 2 && !slices.Contains(queue, u.String()) {
				seen[kind]++
				queue = append(queue, u.String())
			}
		}
	}
	if len(seen) < 20 {
		t.Errorf("the crawl came to %d kinds of pages: %v", len(seen), slices.Sorted(maps.Keys(seen)))
	}
	t.Logf("%d kinds of pages of the console; the heaviest is %s with %d bytes; assets %v", len(seen), heaviest, most, s.sent)
}

// varying are parts of an address that name one thing of many.
var varying = regexp.MustCompile(`[^/]*[0-9A-Z%][^/]*`)

// kindOf says which kind of page of the console an address is, empty for what is
// no page: a file, the same in another language, a place elsewhere.
func kindOf(tr *trial, u *url.URL) string {
	if "http://"+u.Host != tr.gateway || !strings.HasPrefix(u.Path, "/admin/") || strings.HasPrefix(u.Path, "/admin/api/") ||
		strings.Contains(u.Path, "export") || u.Query().Has("format") || u.Query().Has("lang") {
		return ""
	}
	u.Fragment = ""
	kind := varying.ReplaceAllString(u.Path, "*")
	if u.RawQuery != "" {
		kind += "?" + strings.Join(slices.Sorted(maps.Keys(u.Query())), "&")
	}
	return kind
}
