package kingdeesim_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/websocket"

	"kdgate/kingdee/kingdeesim"
)

func unpack(t *testing.T, text string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	zip, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

// TestCompressedReply proves SIM-K100: Base64 of gzip, as text, with its length.
func TestCompressedReply(t *testing.T) {
	d := startOffice(t).open()
	got := d.send(d.prepare("InvokeAction", "金蝶", `{"reply":"gzip","repeat":500}`)).raw
	if want := `{"IsSuccess":true,"Message":"","Result":{"Echo":"` + strings.Repeat("金蝶", 500) + `"}}` + "\n"; unpack(t, got.body) != want {
		t.Errorf("unpacked: %s", unpack(t, got.body))
	}
	if kind := got.header.Get("Content-Type"); kind != "text/plain; charset=utf-8" || got.header.Get("Content-Encoding") != "" {
		t.Errorf("headers %v", got.header)
	}
	if got := d.send(d.prepare("InvokeAction", "x", "{")); got.IsSuccess || got.Message != "ap1 is no JSON" {
		t.Errorf("a wish that cannot be read: %s", got.raw.body)
	}
}

// TestBurst proves SIM-K102 for the console: two calls meet a recycling server,
// the third is served.
func TestBurst(t *testing.T) {
	d := startOffice(t).open()
	d.control(http.MethodPost, "/sim/faults", kingdeesim.Fault{Match: "InvokeAction", Kind: kingdeesim.FaultStatus, Status: 502, Times: 1}, nil)
	d.control(http.MethodPost, "/sim/faults", kingdeesim.Fault{Match: "InvokeAction", Kind: kingdeesim.FaultStatus, Times: 1}, nil)
	for _, want := range []int{502, 503, 200} {
		if got := d.send(d.prepare("InvokeAction", "x")).raw; got.status != want {
			t.Errorf("status %d, want %d", got.status, want)
		}
	}
}

// poll asks for news after a number and gives the raw answer.
func (d *desk) poll(since string) string {
	d.t.Helper()
	return d.post("/K3Cloud/_pr_.kdsvc", "ap0="+since, http.Header{"Cookie": {d.cookies}, "Csrf-Token": {d.csrf}}).body
}

// TestProgressPoll proves the poll: it answers what rang, ends empty when
// nothing does, and ends with the session.
func TestProgressPoll(t *testing.T) {
	cfg := office()
	cfg.PollWait = time.Millisecond
	d := start(t, cfg).open()
	if got := d.poll("0"); got != `{"IsSuccess":true,"Message":"","Result":[]}` {
		t.Errorf("nothing rang: %s", got)
	}
	d.call("FinishTask", "任务一")
	if got := d.control(http.MethodPost, "/sim/notices", map[string]string{"user": "zhangsan", "text": "任务二"}, nil); got != http.StatusOK {
		t.Errorf("notice: %d", got)
	}
	if got := d.poll("0"); got != `{"IsSuccess":true,"Message":"","Result":[{"Seq":1,"Text":"任务一"},{"Seq":2,"Text":"任务二"}]}` {
		t.Errorf("two rang: %s", got)
	}
	if got := d.poll("1"); !strings.Contains(got, `[{"Seq":2,"Text":"任务二"}]`) {
		t.Errorf("one was heard: %s", got)
	}
	if got := d.poll(""); !strings.Contains(got, `"Result":[]`) {
		t.Errorf("from now on: %s", got)
	}
	if n := d.sim.Notify("nobody", "x"); n != 0 {
		t.Errorf("a stranger was told %d times", n)
	}
	d.csrf = "wrong"
	if got := d.poll("0"); !strings.Contains(got, "csrf-token") {
		t.Errorf("without csrf-token: %s", got)
	}
}

// TestProgressPollEndsWithTheSession proves that a poll that could wait for 25 s
// ends when the session does, in whichever order the two arrive.
func TestProgressPollEndsWithTheSession(t *testing.T) {
	d := startOffice(t).open()
	got := make(chan string, 1)
	go func() { got <- d.poll("0") }()
	d.sim.Restart()
	if text := <-got; !strings.Contains(text, "N001") {
		t.Errorf("the poll ended with %s", text)
	}
}

// dial opens the notify socket.
func (d *desk) dial(cookies string) (*websocket.Conn, error) {
	d.t.Helper()
	cfg, err := websocket.NewConfig("ws"+strings.TrimPrefix(d.url("/K3Cloud/html5/notify.ashx"), "http"), d.web.URL)
	if err != nil {
		d.t.Fatal(err)
	}
	cfg.Header.Set("Cookie", cookies)
	return cfg.DialContext(d.t.Context())
}

func hear(t *testing.T, conn *websocket.Conn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var text string
	if err := websocket.Message.Receive(conn, &text); err != nil {
		return err.Error()
	}
	return text
}

// TestSocket proves the notify socket: greeting, echo, notices, the end of the
// session, and nothing for strangers.
func TestSocket(t *testing.T) {
	d := startOffice(t).open()
	conn, err := d.dial(d.cookies)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := hear(t, conn); got != "hello zhangsan" {
		t.Errorf("greeted with %q", got)
	}
	if err := websocket.Message.Send(conn, "你好"); err != nil {
		t.Fatal(err)
	}
	if got := hear(t, conn); got != "echo 你好" {
		t.Errorf("heard %q", got)
	}
	d.call("FinishTask", "完成")
	if got := hear(t, conn); got != "notice 完成" {
		t.Errorf("heard %q", got)
	}
	d.sim.Restart()
	if got := hear(t, conn); got != io.EOF.Error() {
		t.Errorf("after the end of the session: %q", got)
	}
	if _, err := d.dial(d.cookies); err == nil {
		t.Error("a dead session opened a socket")
	}
	again := d.open()
	again.sim.SetSwitches(kingdeesim.Switches{NoWebSocket: true})
	if _, err := again.dial(again.cookies); err == nil {
		t.Error("a server without WebSocket opened one")
	}
}

// TestCloseEndsSockets proves that the simulator leaves no open socket behind.
func TestCloseEndsSockets(t *testing.T) {
	d := startOffice(t).open()
	conn, err := d.dial(d.cookies)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	hear(t, conn)
	if err := d.sim.Close(); err != nil {
		t.Fatal(err)
	}
	if got := hear(t, conn); got != io.EOF.Error() {
		t.Errorf("after Close: %q", got)
	}
}

// TestDownload proves that a file is whole by its own checksum, whatever its
// size, and that its length is said only when asked for.
func TestDownload(t *testing.T) {
	d := startOffice(t).open()
	for query, size := range map[string]int{"": 65536, "?size=8": 8, "?size=100000": 100_000, "?size=3000000&length=1": 3_000_000, "?size=70000&pace=1ms": 70_000} {
		got := d.do(http.MethodGet, d.url("/K3Cloud/html5/download.aspx"+query), "", http.Header{"Cookie": {d.cookies}})
		if got.status != http.StatusOK || len(got.body) != size {
			t.Fatalf("%s: %d, %d bytes, want %d", query, got.status, len(got.body), size)
		}
		content, sum := got.body[:size-8], got.body[size-8:]
		if want := fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(content))); sum != want {
			t.Errorf("%s: checksum %s, want %s", query, sum, want)
		}
		if length := got.header.Get("Content-Length"); (length != "") != strings.Contains(query, "length=1") && size > 8 {
			t.Errorf("%s: Content-Length %q", query, length)
		}
		if !strings.HasPrefix(got.header.Get("Content-Disposition"), "attachment;") {
			t.Errorf("%s: headers %v", query, got.header)
		}
	}
	for _, query := range []string{"?size=7", "?size=-1", "?size=x", "?size=99999999999", "?pace=soon"} {
		if got := d.do(http.MethodGet, d.url("/K3Cloud/html5/download.aspx"+query), "", http.Header{"Cookie": {d.cookies}}); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d", query, got.status)
		}
	}
}

// TestUpload proves that a file larger than the bound of page calls is read as
// it comes, and shown by size and digest.
func TestUpload(t *testing.T) {
	d := startOffice(t).open()
	content := bytes.Repeat([]byte("0123456789abcdef"), 6<<16) // 6 MiB
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	if err := form.WriteField("note", "不是文件"); err != nil {
		t.Fatal(err)
	}
	part, err := form.CreateFormFile("file", "附件.bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	header := http.Header{"Cookie": {d.cookies}, "Csrf-Token": {d.csrf}, "Content-Type": {form.FormDataContentType()}}
	want := fmt.Sprintf(`{"IsSuccess":true,"Message":"","Result":[{"Name":"附件.bin","Size":%d,"SHA256":"%x","CRC32":"%08x"}]}`,
		len(content), sha256.Sum256(content), crc32.ChecksumIEEE(content))
	if got := d.post("/K3Cloud/html5/upload.aspx", body.String(), header); got.body != want {
		t.Errorf("%s\nwant %s", got.body, want)
	}
	cut := d.post("/K3Cloud/html5/upload.aspx", body.String()[:body.Len()/2], header)
	header.Set("csrf-token", "other")
	stranger := d.post("/K3Cloud/html5/upload.aspx", body.String(), header)
	for name, got := range map[string]answer{"cut": cut, "csrf": stranger} {
		if !strings.HasPrefix(got.body, `{"IsSuccess":false,`) {
			t.Errorf("%s: %s", name, got.body)
		}
	}
}

// TestAbsoluteAddresses proves that absolute addresses name the host as seen, or
// the origin the server was told, and that one leads elsewhere.
func TestAbsoluteAddresses(t *testing.T) {
	d := startOffice(t).open()
	own := http.Header{"Cookie": {d.cookies}}
	location := func(path string) string {
		return d.do(http.MethodGet, d.url(path), "", own).header.Get("Location")
	}
	link := func() bool {
		return strings.Contains(d.do(http.MethodGet, d.console, "", own).body, `id="absolute-link" href="`+strings.TrimSuffix(location("/K3Cloud/html5/redirect.aspx"), "redirect")+`link"`)
	}
	if got := location("/K3Cloud/html5/redirect.aspx?to=own"); got != d.url("/K3Cloud/html5/frame.aspx?from=redirect") || !link() {
		t.Errorf("as seen: %s", got)
	}
	if got := location("/K3Cloud/html5/redirect.aspx?to=foreign"); got != "https://foreign.example/K3Cloud/html5/" {
		t.Errorf("foreign: %s", got)
	}
	if got := d.do(http.MethodGet, d.url("/K3Cloud/html5/frame.aspx?from=redirect"), "", own); elements(got.body)["frame-user"] != "zhangsan" || !strings.Contains(got.body, `data-from="redirect"`) {
		t.Errorf("frame: %s", got.body)
	}
	d.refused(d.url("/K3Cloud/html5/frame.aspx"))

	d.sim.SetSwitches(kingdeesim.Switches{OwnOrigin: "https://erp.internal:8443/", ForeignOrigin: "http://other.example", LandAbsolute: true})
	if got := location("/K3Cloud/html5/redirect.aspx?to=own"); got != "https://erp.internal:8443/K3Cloud/html5/frame.aspx?from=redirect" || !link() {
		t.Errorf("as told: %s", got)
	}
	if got := location("/K3Cloud/html5/redirect.aspx?to=foreign"); got != "http://other.example/K3Cloud/html5/" {
		t.Errorf("foreign: %s", got)
	}
	d.later()
	if got := location(d.ticket("zhangsan").path()); !strings.HasPrefix(got, "https://erp.internal:8443/K3Cloud/html5/dform.aspx?") {
		t.Errorf("landing: %s", got)
	}
}

// TestCookieVariants proves that every attribute a proxy must know about is set
// once, and that the server tells which cookies came back.
func TestCookieVariants(t *testing.T) {
	d := startOffice(t).open()
	d.sim.SetSwitches(kingdeesim.Switches{OwnOrigin: "https://erp.internal:8443"})
	set := d.do(http.MethodGet, d.url("/K3Cloud/html5/cookies.aspx"), "", nil).header.Values("Set-Cookie")
	for _, want := range []string{
		"kdPlain=1", "kdDomain=1; domain=erp.internal; path=/", "kdPath=1; path=/K3Cloud/html5", "kdLowerPath=1; path=/k3cloud/html5",
		"kdExpires=1; expires=Wed, 15-Nov-2023 22:13:21 GMT; path=/", "kdHttpOnly=1; path=/; HttpOnly", "kdLax=1; path=/; SameSite=Lax",
	} {
		if !slices.Contains(set, want) {
			t.Errorf("no %q in %q", want, set)
		}
	}
	got := d.do(http.MethodGet, d.url("/K3Cloud/html5/cookies.aspx?show=1"), "", http.Header{"Cookie": {"kdPath=1; kdLax=1; other=1"}})
	if got.body != `{"IsSuccess":true,"Message":"","Result":["kdPath","kdLax"]}` {
		t.Errorf("came back: %s", got.body)
	}
}

// TestStaticFile proves the caching of the long file: plain, compressed, in
// part, and not again when unchanged.
func TestStaticFile(t *testing.T) {
	w := startOffice(t)
	get := func(header http.Header) answer {
		return w.do(http.MethodGet, w.url("/K3Cloud/html5/script/kernel.js"), "", header)
	}
	plain := get(http.Header{"Accept-Encoding": {"identity"}})
	if len(plain.body) < 1<<20 || plain.header.Get("Cache-Control") != "public, max-age=604800" || plain.header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%d bytes, %v", len(plain.body), plain.header)
	}
	packed := get(http.Header{"Accept-Encoding": {"gzip"}})
	zip, err := gzip.NewReader(strings.NewReader(packed.body))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(zip); err != nil || string(text) != plain.body {
		t.Errorf("the compressed file differs: %v", err)
	}
	if packed.header.Get("Etag") == plain.header.Get("Etag") {
		t.Error("one tag for two files")
	}
	for name, header := range map[string]http.Header{
		"tag":  {"Accept-Encoding": {"identity"}, "If-None-Match": {plain.header.Get("Etag")}},
		"time": {"Accept-Encoding": {"identity"}, "If-Modified-Since": {plain.header.Get("Last-Modified")}},
	} {
		if got := get(header); got.status != http.StatusNotModified {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	if got := get(http.Header{"Range": {"bytes=10-19"}}); got.status != http.StatusPartialContent || got.body != plain.body[10:20] {
		t.Errorf("range: %d %q", got.status, got.body)
	}
}

// TestArrived proves that the control door shows the console's requests with
// their headers, and forgets them.
func TestArrived(t *testing.T) {
	d := startOffice(t).open()
	d.call("InvokeAction", "x")
	var arrived []kingdeesim.Arrival
	d.control(http.MethodGet, "/sim/arrived", nil, &arrived)
	if len(arrived) != 1 {
		t.Fatalf("%+v", arrived)
	}
	one, host := arrived[0], strings.TrimPrefix(d.web.URL, "http://")
	info, err := url.QueryUnescape(one.Fields["clientinfo"])
	if err != nil || one.Fields["ap0"] != "x" || !json.Valid([]byte(info)) || one.Host != host || one.Header.Get("accept-encoding_wpf") != "gzip" || one.Body == "" {
		t.Errorf("%+v", one)
	}
	d.sim.Notify("", "x")
	for range 500 {
		d.poll("0")
	}
	if n := len(d.sim.Arrived()); n > 200 {
		t.Errorf("%d are kept", n)
	}
	d.do(http.MethodDelete, d.url("/sim/arrived"), "", nil)
	if got := d.do(http.MethodGet, d.url("/sim/arrived"), "", nil); got.body != "[]\n" {
		t.Errorf("after forgetting: %s", got.body)
	}
	if got := d.post("/sim/notices", `{"txt":"x"}`, nil); got.status != http.StatusBadRequest {
		t.Errorf("a mistyped notice: %d", got.status)
	}
}
