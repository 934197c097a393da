package notice

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kdgate/dingtalk"
)

// defaultLink is what the button of a card says.
const defaultLink = "查看"

// zone is the time that notices tell: China's.
func zone() *time.Location { return time.FixedZone("UTC+8", 8*60*60) }

// day is the Beijing day, over which DingTalk remembers what it has delivered.
func day(t time.Time) string { return t.In(zone()).Format(time.DateOnly) }

// stamp makes every message different from the ones before it: the time to the
// second and, when other words are needed, how often it was tried.
func stamp(at time.Time, try int) string {
	text := at.In(zone()).Format("2006-01-02 15:04:05")
	if try > 0 {
		text += fmt.Sprintf(" · 第 %d 次发送", try+1)
	}
	return text
}

// words is what one message says.
type words struct {
	title, text string
	buttons     []dingtalk.Button
}

// compose makes the words of letters that leave as one. They depend on nothing
// but the letters and the try, so that a message can be made again byte for byte.
func compose(letters []letter, try int) words {
	first := letters[0]
	w := words{title: cut(first.Title, dingtalk.MaxCardTitle)}
	if len(letters) == 1 {
		w.text = first.Text
		if first.Link != "" {
			w.buttons = []dingtalk.Button{{Title: orDefault(first.LinkTitle), URL: first.Link}}
		}
		if w.title != first.Title {
			w.text = "**" + first.Title + "**\n\n" + w.text
		}
	} else {
		w.title = fmt.Sprintf("%d 条通知", len(letters))
		parts := make([]string, 0, len(letters))
		for _, l := range letters {
			part := "**" + l.Title + "**\n\n" + l.Text
			if l.Link != "" {
				part += "\n\n[" + orDefault(l.LinkTitle) + "](" + l.Link + ")"
			}
			parts = append(parts, part)
		}
		w.text = strings.Join(parts, "\n\n---\n\n")
	}
	w.text += "\n\n" + stamp(first.Created, try)
	return w
}

func orDefault(title string) string {
	if title == "" {
		return defaultLink
	}
	return title
}

// notification is w to somebody, as it is.
func (w words) notification(h hop, users []string, most int) dingtalk.Message {
	return dingtalk.Message{Users: users, Departments: h.Departments, Title: w.title, Text: w.text, Buttons: w.buttons, Most: most}
}

// message is w to somebody, cut where DingTalk would take no more than most bytes.
func (w words) message(h hop, users []string, most int) dingtalk.Message {
	m := w.notification(h, users, most)
	if _, err := m.Encode(); err == nil {
		return m
	}
	body, last := w.text, ""
	if i := strings.LastIndex(body, "\n\n"); i >= 0 { // the stamp stays: it is what makes it different
		body, last = body[:i], body[i:]
	}
	low, high := 0, utf8.RuneCountInString(body)
	for low < high { // the longest beginning that fits
		middle := (low + high + 1) / 2
		m.Text = cut(body, middle) + last
		if _, err := m.Encode(); err == nil {
			low = middle
		} else {
			high = middle - 1
		}
	}
	m.Text = cut(body, max(low, 1)) + last
	return m
}

// fits reports whether letters can leave as one without any being cut.
func fits(letters []letter, h hop, most int) bool {
	_, err := compose(letters, 9).notification(h, h.Who, most).Encode()
	return err == nil
}

// cut gives at most n characters, the last an ellipsis where something is missing.
func cut(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	runes := []rune(text)
	return string(runes[:max(n-1, 0)]) + "…"
}

// escape keeps a text that others wrote from being Markdown: it can neither make
// a link nor a picture of its own, nor break a line.
func escape(text string) string {
	return strings.Map(func(r rune) rune {
		if wide, ok := map[rune]rune{'[': '［', ']': '］', '<': '＜', '>': '＞'}[r]; ok {
			return wide
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || strings.ContainsRune("*#`|!\\\u2028\u2029", r) {
			return ' '
		}
		return r
	}, text)
}
