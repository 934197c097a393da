package notice

import (
	"context"
	"fmt"
	"math/big"
	"strings"
	"time"

	"kdgate/store"
)

// The colours of a digest: red for a loss, blue for a profit.
const (
	colourLoss   = "#C62828"
	colourProfit = "#1565C0"
)

// barWidth is the longest bar in characters.
const barWidth = 12

// Digest is a business digest: figures by query, each with a bar.
type Digest struct {
	Name          string
	Title         string
	Figures       []Figure
	Total         string // title of the sum of all figures; empty: none
	To, Fallbacks []Address
	Sensitive     bool
	Link          string
}

// TellDigest asks for the figures and puts the digest into the outbox, once for
// the minute that it was asked for. A figure that cannot be asked for fails the
// whole: half a result reads like a result.
func (o *Outbox) TellDigest(ctx context.Context, d Digest, asker Asker, with ...store.Op) error {
	n, err := o.digest(ctx, &d, asker)
	if err != nil {
		return err
	}
	return o.Send(ctx, n, with...)
}

// digest asks for the figures and writes nothing.
func (o *Outbox) digest(ctx context.Context, d *Digest, asker Asker) (Notice, error) {
	now := o.now()
	var lines []amount
	total := new(big.Rat)
	for _, f := range d.Figures {
		sum, err := f.sum(ctx, asker, now)
		if err != nil {
			return Notice{}, err
		}
		total.Add(total, sum)
		lines = append(lines, amount{f.Title, sum})
	}
	if d.Total != "" {
		lines = append(lines, amount{d.Total, total})
	}
	return Notice{
		Key: "digest/" + d.Name + "/" + now.In(zone()).Format("2006-01-02T15:04"), Topic: "digest", To: d.To, Fallbacks: d.Fallbacks,
		Title: d.Title, Text: chart(lines), Link: d.Link, Sensitive: d.Sensitive, Urgent: true,
	}, nil
}

// amount is one line of a chart.
type amount struct {
	title string
	value *big.Rat
}

// chart draws amounts as bars of text, which every client shows. The longest
// stands for the greatest.
func chart(lines []amount) string {
	most := new(big.Rat)
	for _, l := range lines {
		if size := new(big.Rat).Abs(l.value); size.Cmp(most) > 0 {
			most = size
		}
	}
	var b strings.Builder
	for _, l := range lines {
		colour := colourProfit
		if l.value.Sign() < 0 {
			colour = colourLoss
		}
		fmt.Fprintf(&b, "**%s** <font color=%s>%s</font>\n\n", escape(l.title), colour, Money(l.value))
		if bar := strings.Repeat("▇", barOf(l.value, most)); bar != "" {
			fmt.Fprintf(&b, "<font color=%s>%s</font>\n\n", colour, bar)
		}
	}
	return strings.TrimSpace(b.String())
}

// barOf is the length of a bar: at least one where there is anything at all.
func barOf(value, most *big.Rat) int {
	if value.Sign() == 0 || most.Sign() == 0 {
		return 0
	}
	share := new(big.Rat).Quo(new(big.Rat).Abs(value), most)
	share.Mul(share, big.NewRat(barWidth, 1))
	n := new(big.Int).Quo(share.Num(), share.Denom())
	return max(int(n.Int64()), 1)
}

// Money writes an amount with two places, rounded half away from zero, and
// separators: -1,234,567.80.
func Money(value *big.Rat) string {
	text := value.FloatString(2) // exact text, no float in spite of the name
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	whole, cents, _ := strings.Cut(text, ".")
	var b strings.Builder
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return sign + b.String() + "." + cents
}

// ago says how long ago t was, for digests.
func ago(t, now time.Time) string {
	switch d := now.Sub(t); {
	case d < time.Hour:
		return fmt.Sprintf("%d 分钟前", max(int(d.Minutes()), 0))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d 小时前", int(d.Hours()))
	default:
		return fmt.Sprintf("%d 天前", int(d.Hours()/24))
	}
}
