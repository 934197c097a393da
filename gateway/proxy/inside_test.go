package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"kdgate/audit"
	"kdgate/identity"
	"kdgate/store"
)

// testProxy is one that is never asked.
func testProxy(t testing.TB) *Proxy {
	t.Helper()
	p, err := New(Config{
		Centre: "live", Upstream: &url.URL{Scheme: "http", Host: "erp.internal:8000", Path: "/K3Cloud/"},
		PublicURL: &url.URL{Scheme: "https", Host: "gate.example.com"}, Store: noStore{}, Sessions: noSessions{}, Recorder: noRecorder{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var errNothing = errors.New("nothing here")

type noStore struct{ store.Store }

type noSessions struct{}

func (noSessions) Attend(*http.Request) (identity.Principal, <-chan struct{}, error) {
	return identity.Principal{}, nil, errNothing
}

type noRecorder struct{}

func (noRecorder) Append(context.Context, audit.Event) error { return errNothing }

// Every mistake of a configuration is told at once.
func TestNewChecks(t *testing.T) {
	_, err := New(Config{Upstream: &url.URL{Scheme: "http", Host: "erp", Path: "/erp/K3Cloud/"}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"data centre: missing", "store: missing", "sessions: missing", "recorder: missing", "public URL: missing", "only /K3Cloud/"} {
		if !contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func contains(text, part string) bool {
	for i := range len(text) - len(part) + 1 {
		if text[i:i+len(part)] == part {
			return true
		}
	}
	return false
}

// T118: a flood of refusals is few records, and the next one tells how many were left out.
func TestNotesAreBounded(t *testing.T) {
	now := time.Unix(0, 0)
	n := newNotes(func() time.Time { return now })
	written := 0
	for range 1000 {
		if _, write := n.allow("a"); write {
			written++
		}
	}
	if written != notesAtOnce {
		t.Errorf("%d records", written)
	}
	if _, write := n.allow("b"); !write {
		t.Error("another person's record was left out")
	}
	now = now.Add(notePause)
	if leftOut, write := n.allow("a"); !write || leftOut != 1000-notesAtOnce {
		t.Errorf("%d left out, written %v", leftOut, write)
	}
	for i := range 2 * maxNoted {
		n.allow(string(rune(i)))
	}
	for range notesAtOnce + 7 {
		n.allow("flood")
	}
	total := 0
	for i := range 2 * maxNoted { // what they push out is still accounted for
		leftOut, write := n.allow("other" + string(rune(i)))
		if total += leftOut; !write {
			t.Fatal("somebody's first record was left out")
		}
	}
	if total != 7 {
		t.Errorf("%d of 7 left out are accounted for", total)
	}
	if len(n.table) > maxNoted {
		t.Errorf("%d kinds in memory", len(n.table))
	}
}

// What a peer sent never comes into a log with an error.
func TestReasonHidesThePeer(t *testing.T) {
	for err, want := range map[error]string{
		context.DeadlineExceeded:                                  "no answer in time",
		errors.New("malformed MIME header: SECRET=1"):             "broken answer (*errors.errorString)",
		errors.New("net/http: timeout awaiting response headers"): "no answer in time",
	} {
		if got := reason(err); got != want {
			t.Errorf("%v: %s", err, got)
		}
	}
}

func TestScriptTarget(t *testing.T) {
	for page, want := range map[string]string{
		`<script>location.href="/K3Cloud/a?usertoken=1\u0026kdsid=2"</script>`: "/K3Cloud/a?usertoken=1&kdsid=2",
		`<script>location = 'dform.aspx?usertoken=1&amp;kdsid=2';</script>`:    "dform.aspx?usertoken=1&kdsid=2",
		`<script>go("http:\/\/erp\/a?usertoken=1")</script>`:                   "http://erp/a?usertoken=1",
		`<html>登录失败</html>`:                                                    "", `"no token"`: "", `"usertoken with spaces"`: "",
	} {
		if got := scriptTarget(page); got != want {
			t.Errorf("%s: %q", page, got)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	p := newPolicy(nil, nil)
	b.ReportAllocs()
	for b.Loop() {
		if p.judge("/K3Cloud/Kingdee.BOS.ServiceFacade.ServicesStub.DynamicForm.DynamicFormService.InvokeAction.common.kdsvc", "") != open {
			b.Fatal("closed")
		}
	}
}
