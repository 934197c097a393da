package notice_test

import (
	"errors"
	"math/big"
	"testing"
	"time"

	"kdgate/jobs/notice"
)

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{
		"zhangsan":             "user:zhangsan",
		"user:a:b":             "user:a:b",
		"dept:12":              "dept:12",
		"role:mapping-admin":   "role:mapping-admin",
		"robot:ops":            "robot:ops",
		"mail:ops@example.com": "mail:ops@example.com",
	} {
		a, err := notice.ParseAddress(text)
		if err != nil || a.String() != want {
			t.Errorf("%q: %v, %v", text, a, err)
		}
	}
	for _, text := range []string{
		"", "dept:0", "dept:-1", "dept:012", "dept:x", "mail:ops", "mail:Ops <ops@example.com>", "mail:a@b\r\nBcc: x", "fax:1", "a b", "user:", "a,b",
	} {
		if _, err := notice.ParseAddress(text); !errors.Is(err, notice.ErrAddress) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzParseAddress: what is an address is written back as the same one.
func FuzzParseAddress(f *testing.F) {
	for _, text := range []string{"zhangsan", "dept:12", "mail:ops@example.com", "robot:ops", "mail:\"a b\"@c", "user:\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := notice.ParseAddress(text)
		if err != nil {
			return
		}
		again, err := notice.ParseAddress(a.String())
		if err != nil || again != a {
			t.Errorf("%q is %v, and again %v, %v", text, a, again, err)
		}
	})
}

func TestParseMoment(t *testing.T) {
	for text, want := range map[string]time.Time{
		"today":      time.Date(2026, 9, 13, 16, 0, 0, 0, time.UTC),
		"2026-09-01": time.Date(2026, 8, 31, 16, 0, 0, 0, time.UTC),
		"1d":         time.Date(2026, 9, 12, 16, 0, 0, 0, time.UTC),
		"24h":        noon.Add(-24 * time.Hour),
	} {
		if got, err := notice.ParseMoment(text, noon); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "yesterday", "-1d", "1dd", "-2h", "99999999999d", "2026-02-30"} {
		if got, err := notice.ParseMoment(text, noon); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// FuzzParseMoment: a moment is never later than now plus what a day may say, and
// nothing panics.
func FuzzParseMoment(f *testing.F) {
	for _, text := range []string{"today", "7d", "24h", "2026-01-31", "1e9h"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if at, err := notice.ParseMoment(text, noon); err == nil && at.Year() > 9999 {
			t.Errorf("%q is %v", text, at)
		}
	})
}

func TestMoney(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0.00", "0.005": "0.01", "-0.01": "-0.01", "999.995": "1,000.00", "-1234567.8": "-1,234,567.80", "12": "12.00", "1000": "1,000.00",
	} {
		n, _ := new(big.Rat).SetString(text)
		if got := notice.Money(n); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
