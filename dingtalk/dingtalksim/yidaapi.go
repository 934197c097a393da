package dingtalksim

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// Yida's APIs. Those of v1.0 that read processes are closed to applications of
// today; what has no v2.0 is open (reference 7.6).
const (
	permYidaProcess = "Yida.Process.Read"
	permYidaRead    = "Yida.Form.Read"
	permYidaWrite   = "Yida.Form.Write"

	pathYidaList    = "/v2.0/yida/processes/instances"
	pathYidaIDs     = "/v2.0/yida/processes/instanceIds"
	pathYidaOne     = "/v2.0/yida/processes/instancesInfos/"
	pathYidaOneV1   = "/v1.0/yida/processes/instancesInfos/"
	pathYidaSearch  = "/v2.0/yida/forms/instances/search"
	pathYidaEntry   = "/v2.0/yida/forms/instances/"
	pathYidaRemarks = "/v1.0/yida/forms/remarks/query"
	pathYidaRemark  = "/v1.0/yida/forms/remarks"
)

// Limits of Yida's APIs. The largest page is the vendor's example (A); beyond the
// 5,000th a search refuses to turn the page (its list of error codes).
const (
	yidaMostPage   = 100
	yidaMostCursor = 5000
	yidaMostRemark = 2000 // A
	yidaTime       = "2006-01-02T15:04Z"
)

// yidaEndpoints are the APIs about Yida; all of them cost quota.
func yidaEndpoints() map[string]endpoint {
	closed := endpoint{method: http.MethodPost, access: accessApp, run: func(c *call) answer { return c.noPermission("Yida.Process.Read.V1") }}
	closedGet := closed
	closedGet.method = http.MethodGet
	of := func(method, perm string, run func(*call, *YidaApp) answer) endpoint {
		return endpoint{method: method, access: accessApp, perm: perm, counted: true, run: func(c *call) answer { return c.yida(run) }}
	}
	return map[string]endpoint{
		pathYidaList:                       of(http.MethodPost, permYidaProcess, (*call).yidaList),
		pathYidaIDs:                        of(http.MethodPost, permYidaProcess, (*call).yidaIDs),
		pathYidaOne:                        of(http.MethodGet, permYidaProcess, (*call).yidaOne),
		pathYidaSearch:                     of(http.MethodPost, permYidaRead, (*call).yidaSearch),
		pathYidaEntry:                      of(http.MethodGet, permYidaRead, (*call).yidaEntry),
		pathYidaRemarks:                    of(http.MethodPost, permYidaRead, (*call).yidaRemarks),
		pathYidaRemark:                     of(http.MethodPost, permYidaWrite, (*call).yidaRemark),
		"/v1.0/yida/processes/instances":   closed,
		"/v1.0/yida/processes/instanceIds": closed,
		"/v1.0/yida/processes/instances/searchWithIds": closedGet,
		pathYidaOneV1: closedGet,
	}
}

// badYida is one of Yida's own errors; the texts end in what they are about.
func (c *call) badYida(code, text, about string) answer {
	return c.fail(http.StatusBadRequest, code, text+":"+about)
}

// yida proves what every call of Yida holds: the application with its key, and a
// person of the organisation.
func (c *call) yida(run func(*call, *YidaApp) answer) answer {
	for _, name := range []string{"appType", "systemToken", "userId"} {
		if c.params.text(name) == "" {
			return c.badYida("invalidParameter.parameter.parameterIsEmpty", "不能为空", name)
		}
	}
	app := c.app.corp.yidaApp(c.params.text("appType"))
	switch {
	case app == nil:
		return c.badYida("applicationNotExist.application.applicationNotExits", "应用不存在", c.params.text("appType"))
	case app.SystemToken != c.params.text("systemToken"):
		return c.badYida("invalidParameter.parameter.accessKeyNotMatch", "接入密钥不匹配", app.App)
	case c.app.corp.dir.employee(c.params.text("userId")) == nil:
		return c.badYida("failure.user.userNotExist", "用户不存在", c.params.text("userId"))
	}
	return run(c, app)
}

// yidaQuery is a listing.
type yidaQuery struct {
	form, status, result     string
	page, size               int
	createdFrom, createdTo   string
	modifiedFrom, modifiedTo string
	plain                    bool
}

// readYidaQuery reads a listing, whose page is in the query of a process's call
// and in the body of a form's, and says what is wrong with it.
func (c *call) readYidaQuery(plain bool) (q yidaQuery, bad answer, ok bool) {
	pages, number := formParams(c.r.URL.Query()), "pageNumber"
	if plain {
		pages, number = c.params, "currentPage"
	}
	wrong := func(code, text, about string) (yidaQuery, answer, bool) {
		return q, c.badYida(code, text, about), false
	}
	page, size, fine := yidaPage(pages, number)
	q = yidaQuery{form: c.params.text("formUuid"), status: c.params.text("instanceStatus"), result: c.params.text("approvedResult"), page: page, size: size, plain: plain}
	switch {
	case q.form == "":
		return wrong("invalidParameter.parameter.parameterIsEmpty", "不能为空", "formUuid")
	case !fine:
		return wrong("invalidParameter.parameter.error", "参数错误", number+", pageSize")
	case size > yidaMostPage:
		return wrong("failure.operation.numberOfQueryDataExceed", "单次查询超过条数限制", strconv.Itoa(size))
	case page*size > yidaMostCursor:
		return wrong("invalidState.openSearch.cursorExceedFiveThousand", "搜索接口翻页不能超过5000，请细化过滤条件缩小查询范围", strconv.Itoa(page*size))
	case !slices.Contains([]string{"", approvalRunning, approvalTerminated, approvalCompleted, "ERROR"}, q.status):
		return wrong("invalidParameter.parameter.error", "参数错误", "instanceStatus")
	case !slices.Contains([]string{"", resultAgree, resultDisagree}, q.result):
		return wrong("invalidParameter.parameter.error", "参数错误", "approvedResult")
	}
	for name, into := range map[string]*string{
		"createFromTimeGMT": &q.createdFrom, "createToTimeGMT": &q.createdTo, "modifiedFromTimeGMT": &q.modifiedFrom, "modifiedToTimeGMT": &q.modifiedTo,
	} {
		*into = c.params.text(name)
		if _, err := time.Parse(time.DateOnly, *into); *into != "" && err != nil {
			return wrong("invalidParameter.methodInputs.invalidFormat", "数据格式错误", name)
		}
	}
	return q, answer{}, true
}

// yidaPage reads the number and size of a page: the first of ten when not given (A).
func yidaPage(p params, number string) (page, size int, ok bool) {
	n, given, err := p.integer(number)
	if !given {
		n = 1
	}
	m, given, err2 := p.integer("pageSize")
	if !given {
		m = 10
	}
	return int(n), int(m), err == nil && err2 == nil && n >= 1 && m >= 1
}

// yidaFound are the instances of a listing, by creation: oldest first where that
// was asked for, else newest first (A). Days are the vendor's, both ends inside.
func (c *call) yidaFound(app *YidaApp, q yidaQuery) (page []YidaInstance, total int) {
	var found []YidaInstance
	for _, in := range c.s.Yida() {
		if in.Corp == c.app.corp.id && in.App == app.App && c.yidaFits(in, q) {
			found = append(found, in)
		}
	}
	order := map[string]string{}
	_ = json.Unmarshal([]byte(cmp.Or(c.params.text("orderConfigJson"), "{}")), &order)
	if order["gmt_create"] != "+" {
		slices.Reverse(found)
	}
	lo := min((q.page-1)*q.size, len(found))
	return found[lo:min(lo+q.size, len(found))], len(found)
}

func (c *call) yidaFits(in YidaInstance, q yidaQuery) bool {
	within := func(at time.Time, from, to string) bool {
		day := c.yidaZone(at).Format(time.DateOnly)
		return (from == "" || day >= from) && (to == "" || day <= to)
	}
	return in.Form == q.form && in.Plain == q.plain && (q.status == "" || q.status == in.Status) && (q.result == "" || q.result == in.Result) &&
		within(in.Created, q.createdFrom, q.createdTo) && within(in.Modified, q.modifiedFrom, q.modifiedTo)
}

// yidaZone is the zone of Yida's times and days: real UTC, or by switch the
// organisation's own, with the same Z.
func (c *call) yidaZone(t time.Time) time.Time {
	if c.s.sw().YidaLocal {
		return beijing(t)
	}
	return t.UTC()
}

// yidaPerson is a person in Yida's way.
func (c *call) yidaPerson(userid string) map[string]any {
	name := ""
	if p := c.app.corp.dir.person(userid); p != nil {
		name = p.Name
	}
	return map[string]any{
		"userId": userid, "name": map[string]string{"nameInChinese": name, "nameInEnglish": name, "type": "i18n"}, "deptName": c.app.corp.name,
	}
}

// yidaShown is a process instance as the vendor tells it.
func (c *call) yidaShown(in YidaInstance) map[string]any {
	shown := map[string]any{
		"processInstanceId": in.ID, "formUuid": in.Form, "processCode": "TPROC--" + in.Form, "title": in.Title, "instanceStatus": in.Status,
		"originator": c.yidaPerson(in.Originator), "actionExecutor": []any{}, "data": in.Data, "version": in.Version,
		"createTimeGMT": c.yidaZone(in.Created).Format(yidaTime), "modifiedTimeGMT": c.yidaZone(in.Modified).Format(yidaTime),
	}
	if in.Status == approvalRunning {
		shown["actionExecutor"] = []any{c.yidaPerson(in.Originator)}
	}
	if in.Result != "" { // not there while it runs
		shown["approvedResult"] = in.Result
	}
	if in.Data == nil {
		shown["data"] = map[string]any{}
	}
	return shown
}

type yidaPageBody struct {
	Total int   `json:"totalCount"`
	Page  int   `json:"pageNumber,omitempty"`
	Now   int   `json:"currentPage,omitempty"`
	Data  []any `json:"data"`
}

func (c *call) yidaList(app *YidaApp) answer {
	return c.yidaPageOf(app, func(in YidaInstance) any { return c.yidaShown(in) })
}

func (c *call) yidaIDs(app *YidaApp) answer {
	return c.yidaPageOf(app, func(in YidaInstance) any { return in.ID })
}

func (c *call) yidaPageOf(app *YidaApp, shown func(YidaInstance) any) answer {
	q, bad, ok := c.readYidaQuery(false)
	if !ok {
		return bad
	}
	list, total := c.yidaFound(app, q)
	body := yidaPageBody{Total: total, Page: q.page, Data: []any{}}
	for _, in := range list {
		body.Data = append(body.Data, shown(in))
	}
	return c.ok(body)
}

// yidaSearch lists submissions of a plain form, whose members have other names.
func (c *call) yidaSearch(app *YidaApp) answer {
	q, bad, ok := c.readYidaQuery(true)
	if !ok {
		return bad
	}
	list, total := c.yidaFound(app, q)
	body := yidaPageBody{Total: total, Now: q.page, Data: []any{}}
	for _, in := range list {
		body.Data = append(body.Data, map[string]any{
			"formInstanceId": in.ID, "formUuid": in.Form, "title": in.Title, "formData": in.Data, "version": in.Version, "dataId": 1002,
			"createdTimeGMT": c.yidaZone(in.Created).Format(yidaTime), "modifiedTimeGMT": c.yidaZone(in.Modified).Format(yidaTime),
			"creatorUserId": in.Originator, "modifierUserId": in.Originator, "originator": c.yidaPerson(in.Originator), "instanceValue": "[]",
		})
	}
	return c.ok(body)
}

// yidaNamed is the instance in the path.
func (c *call) yidaNamed(app *YidaApp, stem, id string, plain bool) (YidaInstance, answer, bool) {
	if stem != "" {
		id = c.r.URL.Path[len(stem):]
	}
	c.s.yida.mu.Lock()
	defer c.s.yida.mu.Unlock()
	in := c.s.yida.byID[id]
	if in == nil || in.Corp != c.app.corp.id || in.App != app.App || stem != "" && in.Plain != plain {
		return YidaInstance{}, c.badYida("invalidState.form.dataDoesNotExistOrIsDeleted", "数据不存在或已删除", id), false
	}
	return in.copied(), answer{}, true
}

func (c *call) yidaOne(app *YidaApp) answer {
	in, bad, ok := c.yidaNamed(app, pathYidaOne, "", false)
	if !ok {
		return bad
	}
	return c.ok(c.yidaShown(in))
}

// yidaEntry tells less of a submission than the search does: no creation, no
// title, no version (the vendor's page).
func (c *call) yidaEntry(app *YidaApp) answer {
	in, bad, ok := c.yidaNamed(app, pathYidaEntry, "", true)
	if !ok {
		return bad
	}
	return c.ok(map[string]any{
		"originator": c.yidaPerson(in.Originator), "modifiedTimeGMT": c.yidaZone(in.Modified).Format(yidaTime), "formInstId": in.ID, "formData": in.Data,
	})
}

// yidaRemark writes a remark; every one is kept, also the same one twice.
func (c *call) yidaRemark(app *YidaApp) answer {
	id, content, user := c.params.text("formInstanceId"), c.params.text("content"), c.params.text("userId")
	switch {
	case id == "" || content == "":
		return c.badYida("invalidParameter.parameter.parameterIsEmpty", "不能为空", "formInstanceId, content")
	case utf8.RuneCountInString(content) > yidaMostRemark:
		return c.badYida("invalidParameter.parameter.exceedLengthLimit", "参数超过了长度限制", "content")
	}
	if _, bad, ok := c.yidaNamed(app, "", id, false); !ok {
		return bad
	}
	c.s.yida.mu.Lock()
	defer c.s.yida.mu.Unlock()
	in := c.s.yida.byID[id]
	if in == nil {
		return c.badYida("invalidState.form.dataDoesNotExistOrIsDeleted", "数据不存在或已删除", id)
	}
	in.Remarks = append(in.Remarks, Comment{Instance: id, UserID: user, Text: content, At: c.started})
	in.Modified, in.Version = c.started, in.Version+1 // A: the harder case for whoever polls
	return c.ok(map[string]any{"result": 3261500000 + len(in.Remarks)})
}

// yidaRemarks tells the remarks of instances, by id; one without any is not in it (A).
func (c *call) yidaRemarks(app *YidaApp) answer {
	var ids []string
	if c.params.text("formUuid") == "" {
		return c.badYida("invalidParameter.parameter.parameterIsEmpty", "不能为空", "formUuid")
	}
	if json.Unmarshal(c.params["formInstanceIdList"], &ids) != nil {
		return c.badYida("invalidParameter.methodInputs.invalidFormat", "数据格式错误", "formInstanceIdList")
	}
	told := map[string][]any{}
	for _, id := range ids {
		in, _, ok := c.yidaNamed(app, "", id, false)
		if !ok || in.Form != c.params.text("formUuid") {
			continue
		}
		for i, one := range in.Remarks {
			told[id] = append(told[id], map[string]any{
				"creator": one.UserID, "content": one.Text, "gmtCreate": one.At.UnixMilli(), "formInstId": id, "id": 3261500001 + i,
				"replyId": nil, "images": "[]", "files": "[]",
			})
		}
	}
	return c.ok(map[string]any{"formRemarkVoMap": told})
}
