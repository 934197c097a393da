package jobs_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kdgate/identity"
	"kdgate/jobs"
)

// TestFailureOf: what people and administrators see of an error; no link, code or
// token of a URL is in it (T29).
func TestFailureOf(t *testing.T) {
	now := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	broken := &url.Error{Op: "Post", URL: "https://erp.example.com/K3Cloud/html5/?ud=s3cret#s3cret", Err: errors.New("EOF")}
	secret := identity.NewSecret("s3cret")
	for name, c := range map[string]struct {
		err            error
		words, private string
		code           identity.Code
	}{
		"plain":     {errors.New("no"), "internal", "no", ""},
		"coded":     {identity.Fail(identity.Upstream, identity.CodeKingdeeSetup, "save: %w", broken), "upstream", `KD-402: save: Post "https://erp.example.com/K3Cloud/html5/": EOF`, identity.CodeKingdeeSetup},
		"explained": {fmt.Errorf("outer: %w", jobs.Explain(errors.New("inner"), "the amount is negative")), "the amount is negative", "outer: inner", ""},
		"twice":     {jobs.Explain(jobs.Permanent(jobs.Explain(errors.New("x"), "inner")), "outer"), "outer", "x", ""},
		"redis":     {errors.New("dial redis://user:s3cret@10.0.0.1:6379/0: refused"), "internal", "dial redis://10.0.0.1:6379/0: refused", ""},
		"secret":    {fmt.Errorf("token %v", secret), "internal", "token [secret]", ""},
	} {
		got := jobs.FailureOf(c.err, now)
		if got.Words != c.words || got.Private != c.private || got.Code != c.code {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// FuzzFailureOf: whatever a peer's answer put into an error, what is kept is
// bounded text without what stands behind a URL's path.
func FuzzFailureOf(f *testing.F) {
	const marker = "s3cret-marker"
	f.Add("token=", "\xff", 3)
	f.Add("a&b=%20", "\x00\n http://x/y?", 2000)
	f.Fuzz(func(t *testing.T, query, after string, n int) {
		if strings.ContainsAny(query, " \t\r\n\v\f\"'") || strings.Contains(after, marker) {
			t.Skip()
		}
		text := "get https://h/p?" + query + marker + " " + strings.Repeat(after, max(0, n)%3000)
		got := jobs.FailureOf(errors.New(text), time.Time{})
		if strings.Contains(got.Private, marker) || len(got.Private) > 1024 || !utf8.ValidString(got.Private) {
			t.Errorf("kept %q", got.Private)
		}
	})
}
