package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // Windows has no zone database

	"github.com/robfig/cron/v3"
)

// Zone is the time that specs are read in: UTC+8.
const Zone = "Asia/Shanghai"

// ErrSpec says that a spec cannot be understood or never comes.
var ErrSpec = errors.New("schedule: not a spec")

// Spec is when a task is due. Build it with Parse.
type Spec struct {
	text string
	next cron.Schedule
	zone *time.Location
}

// Parse reads five cron fields (minute, hour, day of month, month, day of week),
// a descriptor like @daily, or "@every 10m" of at least a second.
//
// The parser behind it is guarded: a zone in the spec is refused, because
// "TZ=0" panics there and the zone is one for all tasks; a date that never
// comes (30 February) is refused, because it would be due at the zero time for
// ever.
func Parse(text string) (Spec, error) {
	zone, err := time.LoadLocation(Zone)
	if err != nil {
		return Spec{}, fmt.Errorf("schedule: %w", err)
	}
	if len(text) > 200 || strings.Contains(text, "=") {
		return Spec{}, fmt.Errorf("%w: %.40q: too long, or with a zone; times are %s", ErrSpec, text, Zone)
	}
	if every, ok := strings.CutPrefix(text, "@every "); ok {
		if d, err := time.ParseDuration(strings.TrimSpace(every)); err != nil || d < time.Second {
			return Spec{}, fmt.Errorf("%w: %q: want a duration of at least 1s", ErrSpec, text)
		}
	}
	next, err := cron.ParseStandard(text)
	if err != nil {
		return Spec{}, fmt.Errorf("%w: %q: %w", ErrSpec, text, err)
	}
	spec := Spec{text: text, next: next, zone: zone}
	if spec.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, zone)).IsZero() {
		return Spec{}, fmt.Errorf("%w: %q never comes", ErrSpec, text)
	}
	return spec, nil
}

// String is the text that was parsed.
func (s Spec) String() string { return s.text }

// Next is the first time after t, zero when there is none within five years, as
// for the zero Spec.
func (s Spec) Next(t time.Time) time.Time {
	if s.next == nil {
		return time.Time{}
	}
	return s.next.Next(t.In(s.zone))
}
