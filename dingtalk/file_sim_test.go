package dingtalk_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk"
	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
)

// TestFiles takes a file of a form from DingTalk (reference 7.3, SIM-D98): its
// component, its address, its content; the address dies after a quarter of an
// hour, and none is given for who has left, for an empty file or for a comment's.
func TestFiles(t *testing.T) {
	town := newTown(t)
	c := town.Background()
	content := bytes.Repeat([]byte("x"), 100_000)
	in, err := town.sim.StartApproval(dingtalksim.Approval{ProcessCode: "PROC-1", Originator: "zhangsan", Form: []dingtalksim.FormValue{
		{ID: "Files_1", Type: "DDAttachment", Files: []dingtalksim.FormFile{{Name: "发票.pdf", Content: content}, {Name: "empty.txt"}}},
		{ID: "Files_2", Type: "DDAttachment"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := town.sim.CommentWithFiles(in.ID, "zhangsan", "见附件", dingtalksim.FormFile{Name: "c.pdf", Content: content}); err != nil {
		t.Fatal(err)
	}
	read, err := c.Instance(t.Context(), in.ID)
	if err != nil {
		t.Fatal(err)
	}
	files, err := read.Fields[0].Files()
	none, noErr := read.Fields[1].Files()
	if err != nil || noErr != nil || len(none) != 0 || len(files) != 2 || files[0].Name != "发票.pdf" || files[0].Type != "pdf" || files[0].Size != 100_000 {
		t.Fatalf("%+v %v, %v %v", files, err, none, noErr)
	}
	address, err := c.FileURL(t.Context(), in.ID, files[0].ID)
	if err != nil || !strings.HasPrefix(address.Reveal(), "http://") || !strings.Contains(address.Reveal(), "Signature=") {
		t.Fatal(err)
	}
	get, err := dingtalk.NewDownloader(dingtalk.DownloadConfig{Hosts: []string{town.url}})
	if err != nil {
		t.Fatal(err)
	}
	body, err := get.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for name, id := range map[string]string{"empty": files[1].ID, "a comment's": "26748000003", "unknown": "1"} {
		if _, err := c.FileURL(t.Context(), in.ID, id); err == nil {
			t.Errorf("%s: there is an address", name)
		}
	}
	forged := identity.NewSecret(strings.Replace(address.Reveal(), "Expires=", "Expires=9", 1))
	if _, err := get.Open(t.Context(), forged); identity.KindOf(err) != identity.Unavailable {
		t.Errorf("a forged end: %v", err)
	}
	town.sim.SetClock(16 * time.Minute)
	if _, err := get.Open(t.Context(), address); identity.KindOf(err) != identity.Unavailable || strings.Contains(err.Error(), "Signature") {
		t.Errorf("a quarter of an hour later: %v", err)
	}
	town.sim.SetClock(0)
	if _, err := town.sim.RemovePerson(corpA, "zhangsan", "leave"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.FileURL(t.Context(), in.ID, files[0].ID); identity.KindOf(err) != identity.Forbidden {
		t.Errorf("the originator has left: %v", err)
	}
}

// TestFileShapes: what is no list of files is an error, not an empty list.
func TestFileShapes(t *testing.T) {
	for value, want := range map[string]int{
		``: 0, `[]`: 0, `[{"fileId":123,"fileName":"a","fileSize":"7"}]`: 1, `[{"fileId":"x"}]`: 1,
		`{}`: -1, `[{"fileName":"a"}]`: -1, `[{"fileId":"x","fileSize":-1}]`: -1, `[{"fileId":"x","fileSize":"big"}]`: -1, `["x"]`: -1, `[{"fileId":"a\nb"}]`: -1,
	} {
		files, err := dingtalk.FormField{Value: value}.Files()
		if (err != nil) != (want < 0) || err == nil && len(files) != want {
			t.Errorf("%s: %v %v", value, files, err)
		}
	}
}

// TestDownloadHosts proves T119: only listed hosts are called, over HTTPS whatever
// DingTalk writes, without redirects, and no address is in an error.
func TestDownloadHosts(t *testing.T) {
	called := 0
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if called++; r.URL.Path == "/moved" {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
		}
	}))
	defer away.Close()
	get, err := dingtalk.NewDownloader(dingtalk.DownloadConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{
		away.URL + "/x", "http://127.0.0.1/x", "http://[::1]/x", "http://0x7f000001/", "file:///etc/passwd", "gopher://sz.trans.dingtalk.com/", "http://evil.com/",
		"http://dingtalk.com.evil.com/", "http://evildingtalk.com/", "http://sz.trans.dingtalk.com@evil.com/", "http://u:p@sz.trans.dingtalk.com/", "http://sz.trans.dingtalk.com:22/",
		"https://sz.trans.dingtalk.com:8443/", "//sz.trans.dingtalk.com/x", "http://lippi-space-zjk.oss-cn-zhangjiakou.aliyuncs.com.evil.com/", "http://other.oss-cn-zhangjiakou.aliyuncs.com/", "",
	} {
		if _, err := get.Open(t.Context(), identity.NewSecret(address+"?Signature=canary")); identity.KindOf(err) != identity.Misconfigured || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", address, err)
		}
	}
	local, err := dingtalk.NewDownloader(dingtalk.DownloadConfig{Hosts: []string{away.URL}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := local.Open(t.Context(), identity.NewSecret(away.URL+"/moved")); identity.KindOf(err) != identity.Unavailable || called != 1 {
		t.Errorf("a redirect: %v, %d calls", err, called)
	}
	// A listed name that leads into the network is not called either.
	if named, err := dingtalk.NewDownloader(dingtalk.DownloadConfig{Hosts: []string{"localhost.localdomain"}}); err != nil {
		t.Error(err)
	} else if _, err := named.Open(t.Context(), identity.NewSecret("http://localhost.localdomain/x?Signature=canary")); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("a listed name on loopback: %v", err)
	}
	for _, host := range []string{"", "*", "localhost", "a/b.c", "*.", "x.y:80", "http://10.0.0.1:80", "http://example.com:80", "http://127.0.0.1"} {
		if _, err := dingtalk.NewDownloader(dingtalk.DownloadConfig{Hosts: []string{host}}); err == nil {
			t.Errorf("%q is taken for a host", host)
		}
	}
}
