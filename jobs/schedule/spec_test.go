package schedule_test

import (
	"errors"
	"testing"
	"time"

	"kdgate/jobs/schedule"
)

func TestParse(t *testing.T) {
	zone := time.FixedZone("UTC+8", 8*3600)
	from := time.Date(2026, 12, 31, 15, 59, 30, 0, time.UTC) // 23:59:30 in the schedule's zone
	for spec, want := range map[string]time.Time{
		"30 2 * * *":    time.Date(2027, 1, 1, 2, 30, 0, 0, zone),
		"0 0 1 1 *":     time.Date(2027, 1, 1, 0, 0, 0, 0, zone),
		"0 0 29 2 *":    time.Date(2028, 2, 29, 0, 0, 0, 0, zone), // R51
		"@daily":        time.Date(2027, 1, 1, 0, 0, 0, 0, zone),
		"@every 10m":    from.Add(10 * time.Minute),
		"*/5 * * * 1-5": time.Date(2027, 1, 1, 0, 0, 0, 0, zone),
	} {
		parsed, err := schedule.Parse(spec)
		if err != nil {
			t.Errorf("%q: %v", spec, err)
		} else if got := parsed.Next(from); !got.Equal(want) {
			t.Errorf("%q is next at %s, want %s", spec, got, want)
		}
	}
	for _, spec := range []string{
		"", "TZ=0", "CRON_TZ=0", "TZ=Asia/Tokyo 0 0 * * *", "0 0 30 2 *", "0 0 31 4,6 *", "61 * * * *",
		"* * * *", "* * * * * *", "@every 1ms", "@every -5m", "@every x", "@reboot", "*/0 * * * *", "a b c d e",
	} {
		if _, err := schedule.Parse(spec); !errors.Is(err, schedule.ErrSpec) {
			t.Errorf("%q: %v", spec, err)
		}
	}
}

// FuzzParse: no spec panics, and what is accepted comes some day, later than asked from.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"0 0 * * *", "TZ=0", "@every 1h", "0 0 30 2 *", "*/7 1-5,9 * jan-mar sun", "@yearly", "0-59/0 * * * *"} {
		f.Add(seed)
	}
	from := time.Date(2026, 2, 28, 23, 59, 59, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := schedule.Parse(text)
		if err == nil && !spec.Next(from).After(from) {
			t.Errorf("%q is next at %s", text, spec.Next(from))
		}
	})
}
