package admin

import (
	"testing"

	"kdgate/web"
)

// TestRhythm: a schedule is read by people (F31, F34); one that has no words of
// ours is shown as the configuration has it, never wrongly.
func TestRhythm(t *testing.T) {
	pages, err := web.New()
	if err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string][2]string{
		"@every 10m":   {"每 10 分钟", "every 10 min"},
		"@every 1h":    {"每 1 小时", "every 1 h"},
		"@every 90m":   {"每 90 分钟", "every 90 min"},
		"@every 24h":   {"每 24 小时", "every 24 h"},
		"@every 45s":   {"每 45 秒", "every 45 s"},
		"@every 1.5s":  {"1.5s", "1.5s"},
		"40 3 * * *":   {"每天 03:40", "daily at 03:40"},
		"5 14 28 * *":  {"每月 28 日 14:05", "day 28 of each month at 14:05"},
		"0 9 * * 1":    {"0 9 * * 1", "0 9 * * 1"},
		"*/5 * * * *":  {"*/5 * * * *", "*/5 * * * *"},
		"0 9 1,15 * *": {"0 9 1,15 * *", "0 9 1,15 * *"},
		"0 9-17 * * *": {"0 9-17 * * *", "0 9-17 * * *"},
		"@daily":       {"@daily", "@daily"},
		"":             {"", ""},
	} {
		for i, lang := range []string{"zh-Hans", "en"} {
			if got := rhythm(pages.Catalogue().In(lang), spec); got != want[i] {
				t.Errorf("%q in %s: %q, want %q", spec, lang, got, want[i])
			}
		}
	}
}
