package admin

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"kdgate/web"
)

// rhythm says when a task comes as people say it: every ten minutes, daily at
// 03:40, on a day of the month. What has no such words stays as it is configured.
func rhythm(w web.Words, spec string) string {
	if every, ok := strings.CutPrefix(spec, "@every "); ok {
		return interval(w, every)
	}
	field := strings.Fields(spec)
	if len(field) != 5 || field[3] != "*" || field[4] != "*" {
		return spec
	}
	minute, wrong := strconv.Atoi(field[0])
	hour, alsoWrong := strconv.Atoi(field[1])
	if wrong != nil || alsoWrong != nil {
		return spec
	}
	clock := fmt.Sprintf("%02d:%02d", hour, minute)
	if field[2] == "*" {
		return w.T("word.rhythm.daily", "time", clock)
	}
	if _, err := strconv.Atoi(field[2]); err != nil {
		return spec
	}
	return w.T("word.rhythm.monthly", "day", field[2], "time", clock)
}

// taskName is a task's name for people. A rule of notices is a task under a name
// that an administrator gave it.
func taskName(w web.Words, name string) string {
	word := w.Word("task", name)
	if rule, ok := strings.CutPrefix(name, "notice."); ok && word == name {
		return w.T("word.task.notice-rule", "name", rule)
	}
	return word
}

// interval says a duration in the largest unit that holds it without a rest.
func interval(w web.Words, text string) string {
	d, err := time.ParseDuration(text)
	if err != nil {
		return text
	}
	for _, unit := range []struct {
		key  string
		size time.Duration
	}{{"word.rhythm.hours", time.Hour}, {"word.rhythm.minutes", time.Minute}, {"word.rhythm.seconds", time.Second}} {
		if d >= unit.size && d%unit.size == 0 {
			return w.T(unit.key, "n", strconv.FormatInt(int64(d/unit.size), 10))
		}
	}
	return text
}
