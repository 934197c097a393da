package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"

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
