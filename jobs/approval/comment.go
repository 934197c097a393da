package approval

import (
	"context"
	"fmt"
	"strings"

	"kdgate/dingtalk"
	"kdgate/identity"
	"kdgate/jobs"
)

// comment writes the bill's number back, unless it stands there.
func (m *machine) comment(ctx context.Context) error {
	if m.state.Commenter == "" {
		return nil
	}
	resumed := m.at == stepCommenting // an earlier attempt may have written it
	// One that was made just now cannot have been told of; any other may have.
	if resumed || m.instance != nil && !m.fresh {
		remarks, err := m.origin.Remarks(ctx, m.id(), m.instance)
		if err != nil || said(remarks, m.label()) {
			return err
		}
	}
	if !resumed {
		if err := m.step(ctx, stepCommenting); err != nil {
			return err
		}
	}
	if _, err := m.work.Check(ctx); err != nil {
		return err
	}
	err := m.origin.Comment(ctx, m.id(), m.words(), m.state.Commenter)
	if identity.KindOf(err) == identity.Forbidden && err != nil {
		return jobs.Explain(err, "the bill stands, but DingTalk does not let "+m.state.Commenter+" comment on it")
	}
	return err
}

func (m *machine) words() string {
	done := "已生成并提交"
	if m.state.Audit {
		done = "已生成、提交并审核"
	}
	words := fmt.Sprintf("金蝶单据%s：%s", done, m.label())
	for _, f := range m.state.Files {
		if f.Why != "" {
			words += fmt.Sprintf("；附件“%s”未转入", clip(f.Name))
		}
	}
	return bounded(words)
}

// bounded keeps a comment within what DingTalk takes.
func bounded(words string) string {
	if runes := []rune(words); len(runes) > dingtalk.MaxCommentRunes {
		return string(runes[:dingtalk.MaxCommentRunes-1]) + "…"
	}
	return words
}

// label names the bill for people, and so that a comment that names it is known
// again: by its number, and where that is the same every month by its id too.
func (m *machine) label() string {
	if m.runs() {
		return fmt.Sprintf("%s 号（内码 %s）", m.state.Bill.Number, m.state.Bill.ID)
	}
	return m.state.Bill.Number
}

// said reports whether a comment names the bill.
func said(remarks []dingtalk.Remark, number string) bool {
	for _, remark := range remarks {
		if strings.Contains(remark.Text, number) {
			return true
		}
	}
	return false
}
