package kingdeesim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kdgate/kingdee/kingdeesim/internal/filter"
	"kdgate/kingdee/kingdeesim/internal/loose"
)

const (
	defaultLimit  = 2000
	highestLimit  = 10000
	maxReferences = 30 // base-data fields in one FieldKeys
)

// operations are the DynamicFormService methods that are simulated, lower case.
func (s *Server) operations() map[string]operation {
	return map[string]operation{
		"executebillquery":   executeBillQuery,
		"billquery":          billQuery,
		"view":               view,
		"excuteoperation":    executeOperation, // the vendor's own misspelling (K71)
		"executeoperation":   executeOperation,
		"save":               save,
		"draft":              draft,
		"batchsave":          s.batchSaveOrBegin,
		"queryasyncresult":   s.queryAsyncResult,
		"submit":             step(submitStep()),
		"audit":              step(auditStep()),
		"unaudit":            step(reviewStep()),
		"cancelassign":       step(cancelStep()),
		"delete":             step(deleteStep()),
		"attachmentupload":   uploadAttachment,
		"attachmentdownload": downloadAttachment,
	}
}

// query is a read ExecuteBillQuery or BillQuery.
type query struct {
	form    *form
	keys    []string
	columns []column
	filter  *filter.Filter
	order   []orderKey
	start   int
	end     int // absolute end row; 0 means none (K52)
	limit   int
	wide    bool // a field of an entry is asked for
	blind   bool // the user may not see this form: no rows (K57)
}

type orderKey struct {
	column  column
	descend bool
}

func executeBillQuery(c caller, args arguments) (any, *opError) {
	_, cells, bad := c.query(args)
	if bad != nil {
		return nil, bad
	}
	return cells, nil
}

func billQuery(c caller, args arguments) (any, *opError) {
	keys, cells, bad := c.query(args)
	if bad != nil {
		return nil, bad
	}
	out := make([]record, 0, len(cells))
	for _, row := range cells {
		out = append(out, record{keys, row})
	}
	return out, nil
}

// record is one BillQuery row: an object keyed as asked, in that order (K59).
type record struct {
	keys  []string
	cells []any
}

// MarshalJSON keeps the order of FieldKeys, which a map would lose.
func (r record) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	out.WriteByte('{')
	for i, key := range r.keys {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := errors.Join(enc.Encode(key), out.WriteByte(':'), enc.Encode(r.cells[i])); err != nil {
			return nil, fmt.Errorf("row: %w", err)
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// query reads the arguments and gives the cells of the rows found, in
// FieldKeys order (K50), all under one hold of the data centre's lock.
func (c caller) query(args arguments) (keys []string, cells [][]any, bad *opError) {
	data, err := args.object(0, "data")
	if err != nil || data == nil {
		return nil, nil, failed(codeBadArgument, "data 数据包格式不正确")
	}
	c.centre.mu.RLock()
	defer c.centre.mu.RUnlock()
	q, bad := c.readQuery(data, args)
	if bad != nil {
		bad.width = strings.Count(data.Text("FieldKeys"), ",") + 1
		return nil, nil, bad
	}
	cells = [][]any{}
	if q.blind {
		return q.keys, cells, nil
	}
	for _, row := range c.run(q) {
		line := make([]any, len(q.columns))
		for i, col := range q.columns {
			line[i] = c.cell(col(c.centre, row))
		}
		cells = append(cells, line)
	}
	return q.keys, cells, nil
}

func (c caller) readQuery(data loose.Object, args arguments) (query, *opError) {
	var q query
	var bad *opError
	if q.form, bad = c.form(orElse(data.Text("FormId"), args.text(-1, "formid"))); bad != nil {
		return q, bad
	}
	if q.form.id == formAttachment && c.server.Switches().AttachmentsHidden {
		return q, failed(codeDatabase, "数据库执行异常，请联系系统管理员")
	}
	if q.blind = !c.mayRead(q.form); q.blind && c.server.Switches().NoRightsIsError {
		return q, failed(codeNoRight, "您没有该功能的操作权限")
	}
	if bad := c.readKeys(&q, data.Text("FieldKeys")); bad != nil {
		return q, bad
	}
	if bad := c.readFilter(&q, data); bad != nil {
		return q, bad
	}
	if bad := c.readOrder(&q, data.Text("OrderString")); bad != nil {
		return q, bad
	}
	return q, c.readPage(&q, data)
}

func (c caller) form(id string) (*form, *opError) {
	if id == "" {
		return nil, failed(codeNoForm, "业务对象标识不能为空")
	}
	f, ok := c.server.forms[strings.ToLower(id)]
	if !ok {
		return nil, failed(codeException, "标识为“%s”的业务对象不存在，或者被删除", id)
	}
	return f, nil
}

// mayRead tells whether the session's user may see a form.
func (c caller) mayRead(f *form) bool {
	i, ok := c.centre.userByID[c.userID]
	return ok && !slices.ContainsFunc(c.centre.tables.Users[i].NoRights, func(id string) bool { return strings.EqualFold(id, f.id) })
}

// mayWrite tells whether the session's user may change a form's records.
func (c caller) mayWrite(f *form) bool {
	i, ok := c.centre.userByID[c.userID]
	return ok && !slices.ContainsFunc(c.centre.tables.Users[i].ReadOnly, func(id string) bool { return strings.EqualFold(id, f.id) })
}

func noField(key string) *opError {
	return failed(codeNoField, "元数据中标识为%s的字段不存在", key)
}

func (c caller) readKeys(q *query, keys string) *opError {
	if strings.TrimSpace(keys) == "" {
		return failed(codeBadArgument, "data 数据包中的参数 FieldKeys 的值不能为空")
	}
	references := 0
	for key := range strings.SplitSeq(keys, ",") {
		key = strings.TrimSpace(key)
		col, ok := q.form.resolve(key, c.server.Switches())
		if !ok {
			return noField(key)
		}
		if strings.Contains(key, ".") {
			references++
		}
		q.keys, q.columns = append(q.keys, key), append(q.columns, col)
		q.wide = q.wide || q.form.wide[strings.ToLower(key)]
	}
	if references > maxReferences {
		return failed(codeBadArgument, "FieldKeys 中的基础资料字段不能超过%d个", maxReferences)
	}
	return nil
}

// readFilter takes the text form, the array form, and the array form as text (K54).
func (c caller) readFilter(q *query, data loose.Object) *opError {
	raw, _ := data.Get("FilterString")
	var f *filter.Filter
	var err error
	if text, ok := raw.(string); ok && strings.HasPrefix(strings.TrimSpace(text), "[") {
		if raw, err = loose.Parse(text); err != nil {
			return failed(codeException, "GetRealExpress error：%s", text)
		}
	}
	switch v := raw.(type) {
	case nil:
		f, err = filter.Parse("")
	case string:
		f, err = filter.Parse(v)
	case []any:
		f, err = arrayFilter(v, c.server.Switches().ChoicesByCode)
	default:
		err = filter.ErrSyntax
	}
	if err != nil {
		return failed(codeException, "GetRealExpress error：%s", loose.Text(raw))
	}
	var missing *opError
	bindErr := f.Bind(func(name string) (filter.Column, error) {
		col, ok := q.form.resolve(name, c.server.Switches())
		if !ok {
			missing = noField(name)
			return nil, missing
		}
		q.wide = q.wide || q.form.wide[strings.ToLower(name)]
		return columnOf(c.centre, col), nil
	})
	if bindErr != nil {
		return missing
	}
	q.filter = f
	return nil
}

func arrayFilter(list []any, choicesByCode bool) (*filter.Filter, error) {
	var out []filter.Condition
	for _, entry := range list {
		o, ok := entry.(loose.Object)
		if !ok || choicesByCode && strings.HasSuffix(strings.ToLower(o.Text("FieldName")), "status") {
			return nil, filter.ErrSyntax
		}
		out = append(out, filter.Condition{
			Left: o.Text("Left"), FieldName: o.Text("FieldName"), Compare: o.Text("Compare"),
			Value: o.Text("Value"), Right: o.Text("Right"), Logic: o.Text("Logic"),
		})
	}
	return filter.FromConditions(out)
}

func (c caller) readOrder(q *query, order string) *opError {
	if strings.TrimSpace(order) == "" {
		return nil
	}
	for part := range strings.SplitSeq(order, ",") {
		words := strings.Fields(part)
		if len(words) == 0 || len(words) > 2 {
			return failed(codeException, "GetRealExpress error：%s", order)
		}
		col, ok := q.form.resolve(words[0], c.server.Switches())
		if !ok {
			return noField(words[0])
		}
		q.wide = q.wide || q.form.wide[strings.ToLower(words[0])]
		key := orderKey{column: col}
		if len(words) == 2 {
			key.descend = strings.EqualFold(words[1], "desc")
			if !key.descend && !strings.EqualFold(words[1], "asc") {
				return failed(codeException, "GetRealExpress error：%s", order)
			}
		}
		q.order = append(q.order, key)
	}
	return nil
}

// readPage reads StartRow, TopRowCount and Limit (K51–K53).
func (c caller) readPage(q *query, data loose.Object) *opError {
	var bad *opError
	number := func(name string) int {
		text := data.Text(name)
		if text == "" {
			return 0
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			bad = failed(codeBadArgument, "data 数据包中的参数 %s 的值不正确", name)
		}
		return n
	}
	q.start, q.end, q.limit = number("StartRow"), number("TopRowCount"), number("Limit")
	if bad != nil {
		return bad
	}
	if q.limit == 0 {
		q.limit = defaultLimit
	}
	highest, refuse := highestLimit, true
	switch c.server.Switches().LimitMode {
	case "cut":
		refuse = false
	case "ceiling2000":
		highest = defaultLimit
	}
	if q.limit > highest && refuse {
		return failed(codeBadArgument, "data 数据包中的参数 Limit 的值不能超过%d", highest)
	}
	q.limit = min(q.limit, highest)
	return nil
}

// run finds the rows. Without an order they come in another one each time, on
// purpose (K53): whoever pages without an order must notice.
func (c caller) run(q query) []int {
	var rows []int
	found := q.form.found(c.centre, q.filter)
	if q.wide {
		found = q.form.spread(c.centre, found)
	}
	for _, row := range found {
		if q.filter.Match(row) {
			rows = append(rows, row)
		}
	}
	if len(q.order) == 0 {
		rows = shuffled(rows, c.server.queries.Add(1))
	} else if before := func(a, b int) int { return c.compare(q.order, a, b) }; !slices.IsSortedFunc(rows, before) {
		slices.SortStableFunc(rows, before)
	}
	end := len(rows)
	if q.end > 0 {
		end = min(end, q.end)
	}
	end = min(end, q.start+q.limit)
	if q.start >= end {
		return nil
	}
	return rows[q.start:end]
}

func (c caller) compare(order []orderKey, a, b int) int {
	for _, key := range order {
		n := filter.Compare(key.column(c.centre, a), key.column(c.centre, b))
		if key.descend {
			n = -n
		}
		if n != 0 {
			return n
		}
	}
	return 0
}

// shuffled turns the rows by a step that differs from call to call.
func shuffled(rows []int, turn uint64) []int {
	if len(rows) < 2 {
		return rows
	}
	cut := int(turn % uint64(len(rows)))
	return append(slices.Clone(rows[cut:]), rows[:cut]...)
}

func (c caller) cell(value any) any {
	switch v := value.(type) {
	case int64:
		return c.server.idValue(v)
	case filter.Number:
		return numeral(v)
	case string:
		if v == "" && c.server.Switches().BlankTexts {
			return " "
		}
	case bool:
		if c.server.Switches().TextFlags {
			if v {
				return "1"
			}
			return "0"
		}
	}
	return value
}
