package kingdeesim

import (
	"crypto/sha256"
	"strconv"
	"strings"

	"kdgate/kingdee/kingdeesim/internal/loose"
)

// codeValidation and codeInUse are the codes of refused records.
const (
	codeValidation = 11
	codeInUse      = 13
)

// writing is how the records of a form are made and changed. All of it runs
// under the data centre's lock for writing.
type writing struct {
	// store writes the fields into the record at row, or into a new one when row
	// is negative, unless it finds something wrong.
	store func(f *fields, row int) (at int)
	// state is the FDocumentStatus cell.
	state func(c *centre, row int) *string
	// touch notes the time of a change.
	touch func(c *centre, row int)
	// remove deletes records, highest row first.
	remove func(c *centre, row int)
	// rigid forms refuse changes of what is under audit or audited.
	rigid bool
}

// saving are the options of Save, BatchSave and Draft.
type saving struct {
	form     *form
	template fields
	draft    bool
	through  bool // IsAutoSubmitAndAudit
	groups   int  // BatchCount
}

func save(c caller, args arguments) (any, *opError)  { return c.saveOne(args, false) }
func draft(c caller, args arguments) (any, *opError) { return c.saveOne(args, true) }

// saveOne answers Save and Draft (K63, K64).
func (c caller) saveOne(args arguments, draft bool) (any, *opError) {
	c.centre.mu.Lock()
	defer c.centre.mu.Unlock()
	opt, data, bad := c.readSaving(args, draft)
	if bad != nil {
		return nil, bad
	}
	value, _ := data.Get("Model")
	model, err := asObject(value)
	if err != nil || model == nil {
		return nil, failed(codeBadArgument, "data 数据包中的参数 Model 的值不能为空")
	}
	if bad := c.repeated(data, model); bad != nil {
		return nil, bad
	}
	done, bad := c.saveModel(opt, model)
	if bad != nil {
		return nil, bad
	}
	type result struct {
		ResponseStatus responseStatus
		Id             any //nolint:revive // the vendor's spelling
		Number         string
		NeedReturnData []any
	}
	return envelope{result{c.server.goodStatus(done), done.ID, done.Number, []any{struct{}{}}}}, nil
}

// batchSave saves each record by itself: good ones stay, bad ones are named, and
// nothing is rolled back (K67). DIndex counts within a group (K68).
func batchSave(c caller, args arguments) (any, *opError) {
	c.centre.mu.Lock()
	defer c.centre.mu.Unlock()
	opt, data, bad := c.readSaving(args, false)
	if bad != nil {
		return nil, bad
	}
	models, bad := readModels(data)
	if bad != nil {
		return nil, bad
	}
	size := len(models)
	if opt.groups > 1 {
		size = (len(models) + opt.groups - 1) / opt.groups
	}
	all := tally{}
	for i, model := range models {
		done, bad := c.saveModel(opt, model)
		all.add(i%size, done, bad)
	}
	if all.code != 0 {
		return nil, all.failure()
	}
	type result struct {
		ResponseStatus responseStatus
		NeedReturnData []any
	}
	return envelope{result{c.server.goodStatus(all.done...), []any{}}}, nil
}

func readModels(data loose.Object) ([]loose.Object, *opError) {
	value, _ := data.Get("Model")
	if text, ok := value.(string); ok {
		value, _ = loose.Parse(text)
	}
	list, ok := value.([]any)
	if !ok || len(list) == 0 {
		return nil, failed(codeBadArgument, "data 数据包中的参数 Model 的值不能为空")
	}
	var out []loose.Object
	for _, one := range list {
		model, err := asObject(one)
		if err != nil || model == nil {
			return nil, failed(codeBadArgument, "data 数据包中的参数 Model 的格式不正确")
		}
		out = append(out, model)
	}
	return out, nil
}

// tally collects what became of the records of one call.
type tally struct {
	done []entity
	bad  []entryError
	code int
}

func (t *tally) add(index int, done entity, bad *opError) {
	if bad == nil {
		done.DIndex = index
		t.done = append(t.done, done)
		return
	}
	if t.code == 0 {
		t.code = bad.code
	}
	list := bad.errors
	if list == nil {
		list = []entryError{{Message: bad.text}}
	}
	for _, one := range list {
		one.DIndex = index
		t.bad = append(t.bad, one)
	}
}

func (t *tally) failure() *opError {
	return &opError{code: t.code, text: "操作失败", errors: t.bad, done: t.done}
}

// readSaving reads what Save and BatchSave have in common. Call with the lock held.
func (c caller) readSaving(args arguments, draft bool) (saving, loose.Object, *opError) {
	data, err := args.object(1, "data")
	if err != nil || data == nil {
		return saving{}, nil, failed(codeBadArgument, "data 数据包格式不正确")
	}
	f, bad := c.writable(args.text(0, "formid"))
	if bad != nil {
		return saving{}, nil, bad
	}
	if f.write == nil || f.write.store == nil {
		return saving{}, nil, failed(codeInoperable, "业务对象“%s”不允许保存", f.id)
	}
	opt := saving{form: f, draft: draft, through: flagOf(data, "IsAutoSubmitAndAudit", false)}
	if opt.groups, _ = strconv.Atoi(data.Text("BatchCount")); opt.groups < 0 {
		return saving{}, nil, failed(codeBadArgument, "data 数据包中的参数 BatchCount 的值不正确")
	}
	opt.template = fields{
		caller: c, form: f, lenient: draft || !flagOf(data, "ValidateFlag", true),
		verify: flagOf(data, "IsVerifyBaseDataField", false), replace: flagOf(data, "IsDeleteEntry", true),
	}
	if only := textList(data, "NeedUpDateFields"); len(only) > 0 {
		opt.template.only = map[string]bool{}
		for _, key := range only {
			opt.template.only[strings.ToLower(key)] = true
		}
	}
	return opt, data, nil
}

// flagOf is a flag as a boolean or, as is usual, as text.
func flagOf(data loose.Object, name string, fallback bool) bool {
	text := data.Text(name)
	if text == "" {
		return fallback
	}
	return strings.EqualFold(text, "true") || text == "1"
}

// writable is a form that the session's user may change.
func (c caller) writable(id string) (*form, *opError) {
	f, bad := c.form(id)
	if bad != nil {
		return nil, bad
	}
	if !c.mayRead(f) || !c.mayWrite(f) {
		return nil, failed(codeNoRight, "您没有该功能的操作权限")
	}
	return f, nil
}

// repeated refuses an identical body when ValidateRepeatJson asks for it (K65).
func (c caller) repeated(data, model loose.Object) *opError {
	if !flagOf(data, "ValidateRepeatJson", false) {
		return nil
	}
	sum := sha256.Sum256([]byte(loose.Format(model)))
	if c.centre.bodies[sum] {
		return failed(codeValidation, "重复的请求：相同的JSON数据已经提交过")
	}
	c.centre.bodies[sum] = true
	return nil
}

// saveModel makes or changes one record.
func (c caller) saveModel(opt saving, model loose.Object) (entity, *opError) {
	f := opt.template
	f.model = model
	row, bad := c.target(opt, model)
	if bad != nil {
		return entity{}, bad
	}
	f.fresh = row < 0
	if f.fresh {
		f.only = nil // a new record is written whole
	}
	at := opt.form.write.store(&f, row)
	if len(f.errors) > 0 {
		return entity{}, &opError{code: codeValidation, text: "保存失败", errors: f.errors}
	}
	opt.form.write.touch(c.centre, at)
	if state := opt.form.write.state(c.centre, at); *state == "" || *state == Temporary || f.fresh {
		*state = Created
		if opt.draft {
			*state = Temporary
		}
	}
	shown := opt.form.card(c.centre, at)
	if opt.through {
		for _, step := range []transition{submitStep(), auditStep()} {
			if bad := c.move(opt.form, at, step, shown.number); bad != nil {
				return entity{}, bad
			}
		}
	}
	return entity{c.server.idValue(shown.id), shown.number, 0}, nil
}

// target is the row a model's primary key names; -1 for a new record.
func (c caller) target(opt saving, model loose.Object) (int, *opError) {
	id := model.Text(opt.form.key)
	if id == "" || id == "0" {
		return -1, nil
	}
	row, shown, ok := c.locate(opt.form, wanted{id: id})
	if !ok {
		return 0, failed(codeNoData, "内码为“%s”的数据不存在，或者已被删除", id)
	}
	if bad := c.held(opt.form, shown.number); bad != nil {
		return 0, bad
	}
	state := *opt.form.write.state(c.centre, row)
	rigid := opt.form.write.rigid || c.server.Switches().RigidBaseData
	if rigid && (state == InAudit || state == Audited) {
		return 0, failed(codeInoperable, "单据“%s”已提交或已审核，不允许修改", shown.number)
	}
	return row, nil
}

// held is the network-control conflict of a record that somebody has open (K64).
func (c caller) held(f *form, number string) *opError {
	if user, ok := c.centre.open[openRecord{f.id, number}]; ok {
		return failed(codeInUse, "网络控制冲突：数据“%s”正在被用户“%s”操作，请稍候再使用", number, user)
	}
	return nil
}

// openRecord is a record that somebody has open in the console.
type openRecord struct{ form, number string }

// duplicate is the refusal of a number that is in use in the organisation (K64).
func (f *fields) duplicate(key, number string) {
	f.fail(key, "编码为%s的数据已存在，组织内编码唯一", number)
}
