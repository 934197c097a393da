package admin

import (
	"regexp"
	"strings"

	"kdgate/internal/lazyregexp"
	"kdgate/web"
)

// saying is a sentence of jobs/approval about an approval or a rule, and the key of
// its words. The work list and the log keep the sentence as it was said; the pages
// say it in the reader's language.
type saying struct {
	pattern func() *regexp.Regexp
	key     string
}

// sayings are the sentences that people meet. What is not here is shown as it was
// said: Kingdee's own words are in the language of its users already.
var sayings = []saying{
	{lazyregexp.New(`^nothing is filled in$`), "empty"},
	{lazyregexp.New(`^the form has no component "(.*)"$`), "component"},
	{lazyregexp.New(`^the form has no table "(.*)"$`), "table"},
	{lazyregexp.New(`^the form has no row for it$`), "row"},
	{lazyregexp.New(`^the dictionary (.*) does not have "(.*)"$`), "word"},
	{lazyregexp.New(`^(".*") is no amount.*$`), "amount"},
	{lazyregexp.New(`^(".*") is no date$`), "date"},
	{lazyregexp.New(`^(".*") is no whole number$`), "whole"},
	{lazyregexp.New(`^(".*") is neither yes nor no$`), "truth"},
	{lazyregexp.New(`^(\d+) people, where one is wanted$`), "people"},
	{lazyregexp.New(`^(\d+) rows, at most (\d+)$`), "rows"},
	{lazyregexp.New(`^the person is not mapped to an employee of this data centre$`), "person"},
	{lazyregexp.New(`^the rule fills no such field, so it cannot be set$`), "field"},
	{lazyregexp.New(`^DingTalk has no such approval$`), "gone"},
	{lazyregexp.New(`^no rule is configured for this organisation$`), "corp"},
	{lazyregexp.New(`^its data centre is no longer configured$`), "centre"},
	{lazyregexp.New(`^its bill (\S+) is no longer in Kingdee$`), "deleted"},
	{lazyregexp.New(`^Kingdee has several bills of it: (.*)$`), "several"},
	{lazyregexp.New(`^the bill stands, but DingTalk does not let (.*) comment on it$`), "comment"},
	{lazyregexp.New(`^it changes or takes back an approval whose bill (\S+) stands in Kingdee.*$`), "takes-back"},
	{lazyregexp.New(`^another approval took it back or replaced it: (.*)$`), "taken-back"},
	{lazyregexp.New(`^missing; it stands behind processCode= in the address of the form's page$`), "process"},
	{lazyregexp.New(`^missing; the first day whose approvals become bills$`), "since"},
	{lazyregexp.New(`^(".*") is not a day such as 2026-01-31$`), "day"},
	{lazyregexp.New(`^there is no such key$`), "key"},
	{lazyregexp.New(`^rules of the console are switched on beside the rule, not in its text$`), "mode"},
	{lazyregexp.New(`^wants exactly one of from, const and expr$`), "sources"},
	{lazyregexp.New(`^(".*") is filled twice$`), "twice"},
	{lazyregexp.New(`^(".*") stands twice$`), "twice-named"},
	{lazyregexp.New(`^(".*") is none of \[?(.*?)\]?$`), "none-of"},
	{lazyregexp.New(`^there is none named (".*")$`), "unnamed"},
	{lazyregexp.New(`^needs a name of its own$`), "name"},
	{lazyregexp.New(`^no field is filled$`), "no-field"},
	{lazyregexp.New(`^(".*") is no (?:form id|field key|key) of Kingdee$`), "kingdee-key"},
	{lazyregexp.New(`^data centre (".*") is not known$`), "no-centre"},
	{lazyregexp.New(`^the configuration file has a rule of this name$`), "file-name"},
	{lazyregexp.New(`^nothing is written$`), "blank"},
}

// place is what stands before a sentence: a field of the bill, or a key of a rule.
var place = lazyregexp.New(`^([A-Za-z_][\w.\[\]]*(?:, \w+)?): (.+)$`)

// said puts sentences in the reader's language, each behind its place.
func said(words web.Words, text string) string {
	if one, ok := saidOne(words, text); ok {
		return one
	}
	parts := strings.Split(text, "; ")
	for i, part := range parts {
		if one, ok := saidOne(words, part); ok {
			parts[i] = one
		}
	}
	return strings.Join(parts, "; ")
}

func saidOne(words web.Words, text string) (string, bool) {
	for _, s := range sayings {
		m := s.pattern().FindStringSubmatch(text)
		if m == nil {
			continue
		}
		m = append(m, "", "")
		return words.T("word.said."+s.key, "a", m[1], "b", m[2]), true
	}
	m := place().FindStringSubmatch(text)
	if m == nil {
		return text, false
	}
	inner, ok := saidOne(words, m[2])
	return m[1] + ": " + inner, ok
}

// Say is a sentence for the page.
func (billsView) Say(words web.Words, text string) string { return said(words, text) }

// Say is a sentence for the page.
func (billView) Say(words web.Words, text string) string { return said(words, text) }

// Say is a sentence for the page.
func (tryView) Say(words web.Words, text string) string { return said(words, text) }

// Say is a sentence for the page.
func (editView) Say(words web.Words, text string) string { return said(words, text) }
