package admin

import (
	"regexp"
	"strings"

	"kdgate/web"
)

// saying is a sentence of jobs/approval about an approval or a rule, and the key of
// its words. The work list and the log keep the sentence as it was said; the pages
// say it in the reader's language.
type saying struct {
	pattern *regexp.Regexp
	key     string
}

// sayings are the sentences that people meet. What is not here is shown as it was
// said: Kingdee's own words are in the language of its users already.
var sayings = []saying{
	{regexp.MustCompile(`^nothing is filled in$`), "empty"},
	{regexp.MustCompile(`^the form has no component "(.*)"$`), "component"},
	{regexp.MustCompile(`^the form has no table "(.*)"$`), "table"},
	{regexp.MustCompile(`^the form has no row for it$`), "row"},
	{regexp.MustCompile(`^the dictionary (.*) does not have "(.*)"$`), "word"},
	{regexp.MustCompile(`^(".*") is no amount.*$`), "amount"},
	{regexp.MustCompile(`^(".*") is no date$`), "date"},
	{regexp.MustCompile(`^(".*") is no whole number$`), "whole"},
	{regexp.MustCompile(`^(".*") is neither yes nor no$`), "truth"},
	{regexp.MustCompile(`^(\d+) people, where one is wanted$`), "people"},
	{regexp.MustCompile(`^(\d+) rows, at most (\d+)$`), "rows"},
	{regexp.MustCompile(`^the person is not mapped to an employee of this data centre$`), "person"},
	{regexp.MustCompile(`^the rule fills no such field, so it cannot be set$`), "field"},
	{regexp.MustCompile(`^DingTalk has no such approval$`), "gone"},
	{regexp.MustCompile(`^no rule is configured for this organisation$`), "corp"},
	{regexp.MustCompile(`^its data centre is no longer configured$`), "centre"},
	{regexp.MustCompile(`^its bill (\S+) is no longer in Kingdee$`), "deleted"},
	{regexp.MustCompile(`^Kingdee has several bills of it: (.*)$`), "several"},
	{regexp.MustCompile(`^the bill stands, but DingTalk does not let (.*) comment on it$`), "comment"},
	{regexp.MustCompile(`^it changes or takes back an approval whose bill (\S+) stands in Kingdee.*$`), "takes-back"},
	{regexp.MustCompile(`^another approval took it back or replaced it: (.*)$`), "taken-back"},
	{regexp.MustCompile(`^missing; it stands behind processCode= in the address of the form's page$`), "process"},
	{regexp.MustCompile(`^missing; the first day whose approvals become bills$`), "since"},
	{regexp.MustCompile(`^(".*") is not a day such as 2026-01-31$`), "day"},
	{regexp.MustCompile(`^there is no such key$`), "key"},
	{regexp.MustCompile(`^rules of the console are switched on beside the rule, not in its text$`), "mode"},
	{regexp.MustCompile(`^wants exactly one of from, const and expr$`), "sources"},
	{regexp.MustCompile(`^(".*") is filled twice$`), "twice"},
	{regexp.MustCompile(`^(".*") stands twice$`), "twice-named"},
	{regexp.MustCompile(`^(".*") is none of \[?(.*?)\]?$`), "none-of"},
	{regexp.MustCompile(`^there is none named (".*")$`), "unnamed"},
	{regexp.MustCompile(`^needs a name of its own$`), "name"},
	{regexp.MustCompile(`^no field is filled$`), "no-field"},
	{regexp.MustCompile(`^(".*") is no (?:form id|field key|key) of Kingdee$`), "kingdee-key"},
	{regexp.MustCompile(`^data centre (".*") is not known$`), "no-centre"},
	{regexp.MustCompile(`^the configuration file has a rule of this name$`), "file-name"},
	{regexp.MustCompile(`^nothing is written$`), "blank"},
}

// place is what stands before a sentence: a field of the bill, or a key of a rule.
var place = regexp.MustCompile(`^([A-Za-z_][\w.\[\]]*(?:, \w+)?): (.+)$`)

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
		m := s.pattern.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		m = append(m, "", "")
		return words.T("word.said."+s.key, "a", m[1], "b", m[2]), true
	}
	m := place.FindStringSubmatch(text)
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
