package notice

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"kdgate/jobs"
	"kdgate/store"
)

// Alarm is who hears of trouble with the gateway's own work, and where they look.
type Alarm struct {
	Name          string // of the watch: a-z, 0-9 and dash
	To, Fallbacks []Address
	Link          string // page of the work list
}

// DeadLetters tells of work that has been given up since the last look (F63). A
// notice that could not be delivered is not told by another notice: it stands in
// the morning digest and on the page.
func (o *Outbox) DeadLetters(ctx context.Context, a Alarm, with ...store.Op) (int, error) {
	return o.Look(ctx, o.deadWatch(a), with...)
}

func (o *Outbox) deadWatch(a Alarm) Watch {
	return Watch{
		Name: a.Name, Topic: "queue", Title: "任务失败，需要处理", To: a.To, Fallbacks: a.Fallbacks, Link: a.Link,
		Rows: o.deadRows, Words: groups,
	}
}

// deadRows are the dead items of every kind but our own. Their Text is what
// they are counted by.
func (o *Outbox) deadRows(ctx context.Context) ([]Row, error) {
	var rows []Row
	for after := ""; ; {
		page, err := o.cfg.Queue.List(ctx, jobs.Filter{State: jobs.Dead}, after, 200)
		if err != nil {
			return nil, err
		}
		for _, it := range page.Items {
			if it.Kind != Kind && len(rows) < mostRows {
				rows = append(rows, Row{Key: it.String() + "@" + fmt.Sprint(it.Filed.UnixMicro()), Text: deadText(it)})
			}
		}
		if after = page.After; after == "" {
			return rows, nil
		}
	}
}

func deadText(it jobs.Item) string {
	words, code := "", ""
	if it.Failure != nil {
		words, code = it.Failure.Words, string(it.Failure.Code)
	}
	return strings.TrimSpace(fmt.Sprintf("%s：%s %s", escape(it.Kind), escape(words), escape(code)))
}

// groups counts rows of the same text.
func groups(rows []Row) string {
	counts := map[string]int{}
	for _, row := range rows {
		counts[row.Text]++
	}
	list := make([]Trouble, 0, len(counts))
	for text, n := range counts {
		list = append(list, Trouble{text, n})
	}
	return troubles(list)
}

// Trouble is something that went wrong so often.
type Trouble struct {
	What string
	N    int
}

// troubles says them line by line, the most frequent first.
func troubles(list []Trouble) string {
	slices.SortFunc(list, func(a, b Trouble) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.What, b.What)) })
	rows := make([]Row, 0, len(list))
	for _, t := range list {
		rows = append(rows, Row{Text: fmt.Sprintf("%s × **%d**", escape(t.What), t.N)})
	}
	return Lines(rows)
}

// Morning is the error digest (F72): what is dead or waits long on the list, and
// what else went wrong since yesterday. It is sent on quiet days too: silence
// would look the same as a gateway that cannot send.
func (o *Outbox) Morning(ctx context.Context, a Alarm, since []Trouble, with ...store.Op) error {
	n, err := o.morning(ctx, a, since)
	if err != nil {
		return err
	}
	return o.Send(ctx, n, with...)
}

// morning counts and writes nothing.
func (o *Outbox) morning(ctx context.Context, a Alarm, since []Trouble) (Notice, error) {
	now := o.now()
	counts, err := o.cfg.Queue.Counts(ctx)
	if err != nil {
		return Notice{}, err
	}
	var rows []Row
	for _, c := range counts {
		switch {
		case c.State == jobs.Dead:
			rows = append(rows, Row{Text: fmt.Sprintf("%s：**%d** 条失败待处理，最早 %s", escape(c.Kind), c.N, ago(c.Oldest, now))})
		case c.State == jobs.Ready && now.Sub(c.Oldest) > o.cfg.Patience:
			rows = append(rows, Row{Text: fmt.Sprintf("%s：%d 条等待处理，最早 %s", escape(c.Kind), c.N, ago(c.Oldest, now))})
		}
	}
	var parts []string
	if len(rows) > 0 {
		parts = append(parts, "**任务队列**", Lines(rows))
	}
	if len(since) > 0 {
		parts = append(parts, "**过去 24 小时**", troubles(since))
	}
	if len(parts) == 0 {
		parts = []string{"一切正常：没有失败的任务。"}
	}
	return Notice{
		Key: "morning/" + a.Name + "/" + day(now), Topic: "errors", To: a.To, Fallbacks: a.Fallbacks, Title: "每日错误摘要",
		Text: strings.Join(parts, "\n\n"), Link: a.Link, Urgent: true,
	}, nil
}
