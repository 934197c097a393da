package kingdee

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"kdgate/internal/peer"
)

// mostRows is how many records one person can plausibly have. More means that
// the filter was not applied, and nothing of such an answer is believed.
const mostRows = 50

// condition is one element of a filter in array form, the only form used: the
// text form reaches a SQL-like parser whose escaping nobody has published (T27).
type condition struct {
	Left      string
	FieldName string
	Compare   string
	Value     string
	Right     string
	Logic     string
}

// equals compares exactly (67). Kingdee may still fold case and trailing spaces
// with its database, so readers compare again.
func equals(key, value string) condition {
	return condition{FieldName: key, Compare: "67", Value: value, Logic: "0"}
}

// billQuery is the data of ExecuteBillQuery.
type billQuery struct {
	FormId       string //nolint:revive // the vendor's spelling
	FieldKeys    string
	FilterString []condition
	OrderString  string
	TopRowCount  int // an absolute end row on the server; 0 is no cap
	StartRow     int
	Limit        int
	SubSystemId  string //nolint:revive // the vendor's spelling
}

// lookup asks a form for the records that fit filter, ordered by the unique key
// first among keys, page by page until one is short.
func (c *Client) lookup(ctx context.Context, form string, keys []string, filter condition) ([][]scalar, error) {
	limit := min(c.cfg.API.PageSize, mostRows+1)
	query := billQuery{
		FormId: form, FieldKeys: strings.Join(keys, ","), FilterString: []condition{filter},
		OrderString: keys[0] + " ASC", Limit: limit,
	}
	var all [][]scalar
	for {
		query.StartRow = len(all)
		page, err := c.page(ctx, query, len(keys))
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(all) > mostRows || len(page) > limit {
			fault := newFault(implausible, form, fmt.Sprintf("%d records and more", len(all)))
			c.alarm.raise(fault)
			return nil, fault.public()
		}
		if len(page) < limit {
			return all, nil
		}
	}
}

// page runs one query in the named envelope (c).
func (c *Client) page(ctx context.Context, query billQuery, width int) ([][]scalar, error) {
	return c.ask(ctx, query.FormId, query, width)
}

// ask sends the data of a query.
func (c *Client) ask(ctx context.Context, form string, data any, width int) ([][]scalar, error) {
	body, err := json.Marshal(envelopeC{Data: data})
	if err != nil {
		return nil, causedFault(badRequest, form, err).public()
	}
	return c.call(ctx, operation{
		name: "query", where: form, path: formService + "ExecuteBillQuery" + serviceTail,
		contentType: jsonType, body: body,
		read: func(res peer.Response) ([][]scalar, verdict) { return readRows(res, width) },
	})
}
