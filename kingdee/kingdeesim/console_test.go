package kingdeesim_test

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"kdgate/kingdee/kingdeesim"
)

const pageService = "/K3Cloud/Kingdee.BOS.ServiceFacade.ServicesStub.DynamicForm.DynamicFormService."

// desk is an open console as its page knows it, written again by hand.
type desk struct {
	*world
	console, cookies   string
	pageID, csrf, told string
	nonce              int
}

var pageData = regexp.MustCompile(`id="parts" data-csrf="([0-9a-f]+)" data-page="([0-9a-f]+)"`)

// open lands as zhangsan and reads the console.
func (w *world) open() *desk {
	w.t.Helper()
	w.later()
	landed := w.do(http.MethodGet, w.url(w.ticket("zhangsan").path()), "", nil)
	d := &desk{world: w, console: w.url(landed.header.Get("Location"))}
	for _, line := range landed.header.Values("Set-Cookie") {
		pair, _, _ := strings.Cut(line, ";")
		d.cookies += pair + "; "
	}
	page := w.do(http.MethodGet, d.console, "", http.Header{"Cookie": {d.cookies}})
	found := pageData.FindStringSubmatch(page.body)
	if found == nil {
		w.t.Fatalf("no console: %d %s", page.status, page.body)
	}
	d.csrf, d.pageID, d.told = found[1], found[2], page.header.Get("pvfgsdhsfg_cfg")
	return d
}

// sent is a page call before it goes out, so that a test can spoil it.
type sent struct {
	path   string
	fields url.Values
	header http.Header
	body   string
}

// prepare makes a page call as the page does.
func (d *desk) prepare(method string, args ...string) *sent {
	d.nonce++
	c := &sent{path: pageService + method + tail, fields: url.Values{
		"nonce": {fmt.Sprint("n", d.nonce)}, "v": {"1.0"}, "format": {"1"}, "timestamp": {"1700000000000"},
		"compressed": {"false"}, "compressedapx": {""}, "useragent": {"KD.HTML5.GZIP"},
	}}
	info, err := json.Marshal(map[string]any{"ClientType": 16, "EntryPageUrl": d.console})
	if err != nil {
		d.t.Fatal(err)
	}
	c.fields.Set("clientinfo", string(info))
	c.header = http.Header{
		"Cookie": {d.cookies}, "Csrf-Token": {d.csrf}, "Kdbiz-Info": {`{"formId":"","pageId":"` + d.pageID + `"}`},
		"Accept-Encoding_wpf": {"gzip"}, "Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {d.web.URL},
	}
	c.args(args...)
	return c
}

// args sets ap0…apN and signs the whole again.
func (c *sent) args(args ...string) {
	covered := c.fields.Get("nonce") + "\n" + c.fields.Get("timestamp")
	for i, arg := range args {
		c.fields.Set(fmt.Sprint("ap", i), arg)
		covered += "\n" + arg
	}
	c.fields.Set("sign", fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(covered))))
	c.seal()
}

// seal writes the body and its checksum.
func (c *sent) seal() {
	c.body = c.fields.Encode()
	covered := ""
	for _, name := range []string{"csrf-token", "kdbiz-info", "accept-encoding_wpf", "content-type"} {
		covered += c.header.Get(name) + "\n"
	}
	c.header["pvfgsdhsfg"] = []string{fmt.Sprintf("2.5:%08x", crc32.ChecksumIEEE([]byte(covered+c.body)))}
}

// replied is the answer to a page call.
type replied struct {
	IsSuccess bool
	Message   string
	Result    json.RawMessage
	raw       answer
}

func (d *desk) send(c *sent) replied {
	d.t.Helper()
	out := replied{raw: d.post(c.path, c.body, c.header)}
	if strings.HasPrefix(out.raw.body, "{") {
		if err := json.Unmarshal([]byte(out.raw.body), &out); err != nil {
			d.t.Fatal(err)
		}
	}
	return out
}

// call makes a page call that must go well.
func (d *desk) call(method string, args ...string) replied {
	d.t.Helper()
	got := d.send(d.prepare(method, args...))
	if !got.IsSuccess {
		d.t.Errorf("%s: %d %s", method, got.raw.status, got.raw.body)
	}
	return got
}

// TestPageCalls proves SIM-K98 and K99: a call that arrives as the page made it
// succeeds, and one that was changed on its way fails and is noted.
func TestPageCalls(t *testing.T) {
	d := startOffice(t).open()
	if want := `{"enableFlatShake":true,"checksumvn":"2.5"}`; d.told != want {
		t.Errorf("pvfgsdhsfg_cfg %q, want %q", d.told, want)
	}
	if got := d.call("InvokeAction", "你好 & + %"); string(got.Result) != `{"Echo":"你好 & + %"}` {
		t.Errorf("echo %s", got.Result)
	}
	for name, test := range map[string]struct {
		spoil func(*sent)
		fault string
	}{
		"body re-encoded":        {func(c *sent) { c.body = strings.ReplaceAll(c.body, "+", "%20") + "&" }, "pvfgsdhsfg"},
		"field order changed":    {func(c *sent) { a, b, _ := strings.Cut(c.body, "&"); c.body = b + "&" + a }, "pvfgsdhsfg"},
		"content type changed":   {func(c *sent) { c.header.Set("Content-Type", "application/octet-stream") }, "pvfgsdhsfg"},
		"underscore header lost": {func(c *sent) { c.header.Del("Accept-Encoding_wpf") }, "pvfgsdhsfg"},
		"checksum lost":          {func(c *sent) { delete(c.header, "pvfgsdhsfg") }, "pvfgsdhsfg"},
		"csrf-token lost":        {func(c *sent) { c.header.Del("csrf-token"); c.seal() }, "csrf-token"},
		"kdbiz-info lost":        {func(c *sent) { c.header.Del("kdbiz-info"); c.seal() }, "kdbiz-info"},
		"kdbiz-info foreign":     {func(c *sent) { c.header.Set("kdbiz-info", `{"pageId":"0"}`); c.seal() }, "kdbiz-info names no page"},
		"sent twice":             {func(c *sent) { c.fields.Set("nonce", "n1"); c.args("x") }, "came twice"},
		"argument changed":       {func(c *sent) { c.fields.Set("ap0", "y"); c.seal() }, "sign"},
		"argument doubled":       {func(c *sent) { c.fields.Add("ap0", "y"); c.seal() }, "ap0"},
		"not a browser":          {func(c *sent) { c.fields.Set("useragent", "curl"); c.seal() }, "useragent"},
		"no time":                {func(c *sent) { c.fields.Set("timestamp", "now"); c.args("x") }, "timestamp"},
		"no clientinfo":          {func(c *sent) { c.fields.Set("clientinfo", "x"); c.seal() }, "clientinfo"},
		"entry rewritten":        {func(c *sent) { c.entry("127.0.0.1", "erp.internal") }, "EntryPageUrl and Origin differ"},
		"entry without session":  {func(c *sent) { c.entry("kdsid=", "sid=") }, "kdsid"},
		"entry another page":     {func(c *sent) { c.entry("dform.aspx", "index.aspx") }, "not the console's"},
		"entry relative":         {func(c *sent) { c.entry("http://", "") }, "EntryPageUrl is no absolute address"},
		"desktop client":         {func(c *sent) { c.entry(`"ClientType":16`, `"ClientType":1`) }, "ClientType"},
	} {
		c := d.prepare("InvokeAction", "x")
		test.spoil(c)
		if got := d.send(c); got.IsSuccess || !strings.Contains(got.Message, test.fault) {
			t.Errorf("%s: %s, want a word on %q", name, got.raw.body, test.fault)
		}
		arrived := d.sim.Arrived()
		if last := arrived[len(arrived)-1]; len(last.Faults) == 0 || last.Part != "InvokeAction" || last.User != "zhangsan" {
			t.Errorf("%s: noted as %+v", name, last)
		}
	}
	d.call("InvokeAction", "still well")
}

// entry changes clientinfo and seals the call again: the page itself is wrong.
func (c *sent) entry(from, to string) {
	c.fields.Set("clientinfo", strings.ReplaceAll(c.fields.Get("clientinfo"), from, to))
	c.seal()
}

// TestPageCallNeedsTheWholeSession proves K38 for the console: one cookie of the
// two, another's, or none is answered with N001.
func TestPageCallNeedsTheWholeSession(t *testing.T) {
	w := startOffice(t)
	d, other := w.open(), w.open()
	mine := strings.Split(d.cookies, "; ")
	for name, cookies := range map[string]string{
		"none": "", "first": mine[0], "second": mine[1], "mixed": mine[0] + "; " + strings.Split(other.cookies, "; ")[1],
	} {
		for _, path := range []string{pageService + "InvokeAction" + tail, "/K3Cloud/_pr_.kdsvc", "/K3Cloud/html5/upload.aspx", "/K3Cloud/html5/download.aspx"} {
			c := d.prepare("InvokeAction", "x")
			c.header.Set("Cookie", cookies)
			if got := w.post(path, c.body, c.header); !strings.Contains(got.body, "N001") {
				t.Errorf("%s, %s: %d %s", name, path, got.status, got.body)
			}
		}
	}
	// Another session's page cannot be used with one's own cookies.
	c := d.prepare("InvokeAction", "x")
	c.header.Set("csrf-token", other.csrf)
	c.seal()
	if got := d.send(c); got.IsSuccess {
		t.Error("another session's csrf-token was taken")
	}
	d.do(http.MethodPost, d.url("/K3Cloud/html5/logout.aspx"), "", http.Header{"Cookie": {d.cookies}})
	if got := d.send(d.prepare("InvokeAction", "x")); !strings.Contains(got.raw.body, "N001") {
		t.Errorf("after signing out: %s", got.raw.body)
	}
}

// TestCheckHeaders proves SIM-K98: a header with an underscore and one that
// nobody knows arrive as they were sent, or the call fails.
func TestCheckHeaders(t *testing.T) {
	d := startOffice(t).open()
	names := `{"accept-encoding_wpf":"gzip","x-trace-unknown":"a, b; c=\"d\""}`
	check := func() *sent {
		c := d.prepare("CheckHeaders", names)
		c.header.Set("x-trace-unknown", `a, b; c="d"`)
		return c
	}
	if got := d.send(check()); string(got.Result) != `{"Arrived":["accept-encoding_wpf","x-trace-unknown"]}` {
		t.Errorf("untouched: %s", got.raw.body)
	}
	for name, spoil := range map[string]func(http.Header){
		"unknown lost":       func(h http.Header) { h.Del("x-trace-unknown") },
		"unknown split":      func(h http.Header) { h["X-Trace-Unknown"] = []string{"a", `b; c="d"`} },
		"unknown renamed":    func(h http.Header) { h["X_trace_unknown"] = h["X-Trace-Unknown"]; h.Del("x-trace-unknown") },
		"underscore lost":    func(h http.Header) { h.Del("accept-encoding_wpf") },
		"underscore renamed": func(h http.Header) { h.Set("accept-encoding-wpf", "gzip"); h.Del("accept-encoding_wpf") },
	} {
		c := check()
		spoil(c.header)
		if got := d.send(c); got.IsSuccess || !strings.Contains(got.Message, "is lost or changed") {
			t.Errorf("%s: %s", name, got.raw.body)
		}
	}
	for _, bad := range []string{"", "{}", "x"} {
		if got := d.send(d.prepare("CheckHeaders", bad)); got.IsSuccess {
			t.Errorf("a check of nothing (%q) succeeded", bad)
		}
	}
}

// TestPageSwitches proves that what is uncertain of page calls can be chosen:
// strict headers and host, no anti-tampering, every reply compressed.
func TestPageSwitches(t *testing.T) {
	d := startOffice(t).open()
	lost := d.prepare("InvokeAction", "x")
	lost.header.Del("accept-encoding_wpf")
	lost.seal()
	if got := d.send(lost); !got.IsSuccess {
		t.Errorf("a browser that does not send accept-encoding_wpf: %s", got.raw.body)
	}
	d.sim.SetSwitches(kingdeesim.Switches{StrictHeaders: true, StrictHost: true})
	lost = d.prepare("InvokeAction", "x")
	lost.header.Del("accept-encoding_wpf")
	lost.seal()
	if got := d.send(lost); !strings.Contains(got.Message, "accept-encoding_wpf is lost") {
		t.Errorf("strict headers: %s", got.raw.body)
	}
	d.call("InvokeAction", "host and headers are whole")
	foreign := d.prepare("InvokeAction", "x")
	foreign.entry("127.0.0.1", "gate.example")
	foreign.header.Set("Origin", strings.Replace(d.web.URL, "127.0.0.1", "gate.example", 1))
	if got := d.send(foreign); got.Message != "Host is not the host of EntryPageUrl" {
		t.Errorf("strict host: %s", got.raw.body)
	}

	d.sim.SetSwitches(kingdeesim.Switches{NoAntiTampering: true})
	plain := d.prepare("InvokeAction", "x")
	delete(plain.header, "pvfgsdhsfg")
	if got := d.send(plain); !got.IsSuccess || got.raw.header.Get("pvfgsdhsfg_cfg") != "" {
		t.Errorf("before V9.1: %s %v", got.raw.body, got.raw.header)
	}
	d.sim.SetSwitches(kingdeesim.Switches{CompressReplies: true})
	if got := unpack(t, d.send(d.prepare("InvokeAction", "x")).raw.body); got != `{"IsSuccess":true,"Message":"","Result":{"Echo":"x"}}`+"\n" {
		t.Errorf("compressed: %s", got)
	}
}
