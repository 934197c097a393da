package approval

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"kdgate/internal/lazyregexp"
	"kdgate/kingdee"
)

// errValue is a value that does not have the shape that the rule asks for.
var errValue = errors.New("approval: a value")

var (
	plainNumber   = lazyregexp.New(`^-?[0-9]{1,30}(\.[0-9]{1,10})?$`)
	groupedNumber = lazyregexp.New(`^-?[0-9]{1,3}(,[0-9]{3}){1,9}(\.[0-9]{1,10})?$`)
	leadingZeroes = lazyregexp.New(`^(-?)0+([0-9])`)
)

// exact reads an amount: digits, thousands separators in their places, a point.
// No exponent, no currency, no full-width digit: what looks strange is for a
// person to look at.
func exact(text string) (decimal.Decimal, error) {
	text = strings.TrimSpace(text)
	if groupedNumber().MatchString(text) {
		text = strings.ReplaceAll(text, ",", "")
	}
	if !plainNumber().MatchString(text) {
		return decimal.Decimal{}, fmt.Errorf("%w: %q is no amount", errValue, clip(text))
	}
	d, err := decimal.NewFromString(text)
	if err != nil {
		return d, fmt.Errorf("%w: %q is no amount: %w", errValue, clip(text), err)
	}
	return d, nil
}

// digits is an amount as Kingdee takes it, with the places that it was written with.
func digits(text string) (kingdee.Decimal, error) {
	if _, err := exact(text); err != nil {
		return "", err
	}
	text = strings.ReplaceAll(strings.TrimSpace(text), ",", "")
	return kingdee.Decimal(leadingZeroes().ReplaceAllString(text, "$1$2")), nil
}

// yuan is an amount in fen, divided by one hundred without losing anything.
func yuan(text string) (kingdee.Decimal, error) {
	d, err := exact(text)
	if err != nil {
		return "", err
	}
	d = d.Shift(-2)
	return kingdee.Decimal(d.StringFixed(max(2, -d.Exponent()))), nil
}

// timeLayouts are the ways in which forms hold dates (reference 7.3).
func timeLayouts() []string {
	return []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04Z07:00", time.RFC3339, "2006/01/02", "2006-01"}
}

// earliest and latest bound what is taken for a date of a bill.
var (
	earliest = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

// moment reads a date: as forms write it, in UTC+8, or as milliseconds since 1970.
// People type full-width colons.
func moment(text string) (time.Time, error) {
	text = strings.ReplaceAll(strings.TrimSpace(text), "：", ":")
	t, err := parseMoment(text)
	if err != nil || t.Before(earliest) || t.After(latest) {
		return time.Time{}, fmt.Errorf("%w: %q is no date", errValue, clip(text))
	}
	return t, nil
}

func parseMoment(text string) (time.Time, error) {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil && len(text) >= 12 {
		return time.UnixMilli(ms), nil
	}
	var err error
	for _, layout := range timeLayouts() {
		var t time.Time
		if t, err = time.ParseInLocation(layout, text, kingdee.Beijing()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, err
}

// shaped is text in the shape that a field asks for.
func (b *builder) shaped(ctx context.Context, as Form, text string) (any, error) {
	switch as {
	case AsDecimal:
		return digits(text)
	case AsFen:
		return yuan(text)
	case AsInt:
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: %q is no whole number", errValue, clip(text))
		}
		return n, nil
	case AsBool:
		switch strings.TrimSpace(text) {
		case "true", "是":
			return true, nil
		case "false", "否":
			return false, nil
		}
		return nil, fmt.Errorf("%w: %q is neither yes nor no", errValue, clip(text))
	case AsDay, AsMoment:
		t, err := moment(text)
		if as == AsDay {
			return kingdee.Day(t), err
		}
		return kingdee.Moment(t), err
	case AsNumber:
		return kingdee.Number(strings.TrimSpace(text)), nil
	case AsAccount:
		return kingdee.UserAccount(strings.TrimSpace(text)), nil
	case AsStaff, AsEmployee:
		return b.staff(ctx, as, text)
	default:
		return text, nil
	}
}

// staff is the employee that a userid is mapped to.
func (b *builder) staff(ctx context.Context, as Form, userid string) (any, error) {
	number, err := b.people.Staff(ctx, b.rule.DataCentre, userid)
	if err != nil {
		return nil, err
	}
	if as == AsEmployee {
		return kingdee.Number(number), nil
	}
	return kingdee.StaffNumber(number), nil
}

// clip keeps what somebody typed out of messages in its full length.
func clip(text string) string {
	runes := []rune(strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text))
	if len(runes) > 40 {
		return string(runes[:40]) + "…"
	}
	return string(runes)
}
