package dingtalksim

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of a work notification (reference 8.1).
const (
	mostUserIDs       = 100
	mostDepartments   = 20
	mostMessageBytes  = 2048
	mostRecipients    = 5000 // of one call, and of one application in a minute
	mostResult        = 100  // recipients that getsendresult can still tell
	resultLife        = 24 * time.Hour
	dropApplication   = 143103 // too many recipients in a minute
	dropDay           = 143105 // too many messages to the person today
	dropSame          = 143106 // the same content today
	dropForbiddenWord = 1430002
	dropTooLong       = 1430001
)

// Message is what one person, or the group of one robot, was sent: received,
// recalled, or dropped without a word to the sender.
type Message struct {
	N       int       `json:"n"`
	Corp    string    `json:"corp"`
	UserID  string    `json:"userid,omitempty"` // empty: to a robot's group
	Robot   string    `json:"robot,omitempty"`
	AppKey  string    `json:"app_key,omitempty"`
	TaskID  int64     `json:"task_id,omitempty"`
	Type    string    `json:"type"`
	Title   string    `json:"title,omitempty"`
	Text    string    `json:"text"`
	Links   []Link    `json:"links,omitempty"`
	At      time.Time `json:"at"`
	State   string    `json:"state"`                  // received, dropped or recalled
	Dropped int       `json:"dropped_code,omitempty"` // as getsendresult tells it
	Read    bool      `json:"read,omitempty"`
}

// Link is what can be clicked in a message.
type Link struct {
	Title string `json:"title"`
	URL   string `json:"url"`
}

// States of a message.
const (
	messageReceived = "received"
	messageDropped  = "dropped"
	messageRecalled = "recalled"
)

// messages are all inboxes and the tasks that filled them.
type messages struct {
	mu      sync.Mutex
	list    []*Message
	tasks   map[int64]*sendTask
	today   map[inboxKey]*inboxDay
	minutes map[string]*window // recipients of an application in a minute
}

type inboxKey struct{ app, userid string }

// inboxDay is what one person got from one application on one Beijing day.
type inboxDay struct {
	day  string
	n    int
	same map[[32]byte]bool
}

// sendTask is one asyncsend_v2.
type sendTask struct {
	id         int64
	app        string
	at         time.Time
	recipients int
	invalid    []string // userids
	noDepts    []int64
	sent       []*Message
}

// workMessage is a request to send, checked.
type workMessage struct {
	content  content
	users    []string
	depts    []int64
	everyone bool
	tooLong  bool // accepted and never delivered (SIM-D103)
}

// sendWork is POST /topapi/message/corpconversation/asyncsend_v2. Whatever
// becomes of the message, the answer is a task id (SIM-D100).
func (c *call) sendWork() answer {
	m, bad, ok := c.workMessage()
	if !ok {
		return bad
	}
	task := c.s.messages.send(c, m)
	return c.old("0", struct {
		ErrCode   int    `json:"errcode"`
		ErrMsg    string `json:"errmsg"`
		TaskID    int64  `json:"task_id"`
		RequestID string `json:"request_id"`
	}{0, "ok", task, c.requestID()})
}

func (c *call) workMessage() (m workMessage, bad answer, ok bool) {
	if bad, ok := c.ownAgent(); !ok {
		return m, bad, false
	}
	m.users, m.everyone = commaList(c.params.text("userid_list")), c.params.boolean("to_all_user")
	for _, text := range commaList(c.params.text("dept_id_list")) {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return m, c.badParam("dept_id_list不合法"), false
		}
		m.depts = append(m.depts, id)
	}
	switch {
	case len(m.users) > mostUserIDs:
		return m, c.badParam("userid_list最多100个"), false
	case len(m.depts) > mostDepartments:
		return m, c.badParam("dept_id_list最多20个"), false
	case len(m.users)+len(m.depts) == 0 && !m.everyone:
		return m, c.badParam("userid_list,dept_id_list,to_all_user不能全部为空"), false
	}
	raw := c.params["msg"]
	var inner string
	if json.Unmarshal(raw, &inner) == nil { // forms, and some clients, send it as text
		raw = json.RawMessage(inner)
	}
	if len(raw) > mostMessageBytes {
		if !c.s.sw().MessageLongDropped {
			return m, c.badParam("msg超过2048字节"), false
		}
		m.tooLong = true
	}
	content, err := readWorkContent(raw)
	if err != nil {
		return m, c.badParam("msg不合法: " + err.Error()), false
	}
	m.content = content
	return m, answer{}, true
}

// ownAgent checks the agent_id, which must be the caller's own number.
func (c *call) ownAgent() (answer, bool) {
	agent, present, err := c.params.integer("agent_id")
	switch {
	case !present || err != nil:
		return c.badParam("agent_id不能为空"), false
	case agent != c.app.load().AgentID:
		return c.refuse(40056, "不合法的agentid"), false
	}
	return answer{}, true
}

func commaList(text string) []string {
	var list []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" && !slices.Contains(list, part) {
			list = append(list, part)
		}
	}
	return list
}

// audience names everybody a request is to, and what of it names nobody.
func (c *call) audience(m workMessage) (users, invalid []string, noDepts []int64) {
	dir, visible := &c.app.corp.dir, c.app.load().Visible
	add := func(userid string, named bool) {
		p := dir.employee(userid)
		switch {
		case p != nil && dir.inside(p, visible):
			if !slices.Contains(users, userid) {
				users = append(users, userid)
			}
		case named:
			invalid = append(invalid, userid)
		}
	}
	for _, userid := range m.users {
		add(userid, true)
	}
	below := func(id int64) {
		for _, e := range dir.membersBelow(id) {
			add(e, false)
		}
	}
	for _, id := range m.depts {
		if _, there := dir.department(id); !there && id != rootDept {
			noDepts = append(noDepts, id)
			continue
		}
		below(id)
	}
	if m.everyone {
		below(rootDept)
	}
	return users, invalid, noDepts
}

// send delivers or drops a message to each of its recipients.
func (ms *messages) send(c *call, m workMessage) int64 {
	users, invalid, noDepts := c.audience(m)
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.tasks == nil {
		ms.tasks, ms.today, ms.minutes = map[int64]*sendTask{}, map[inboxKey]*inboxDay{}, map[string]*window{}
	}
	task := &sendTask{
		id: 256_000_000_000 + int64(len(ms.tasks)+1), app: c.app.key, at: c.started,
		recipients: len(users) + len(invalid), invalid: invalid, noDepts: noDepts,
	}
	ms.tasks[task.id] = task
	for i, userid := range users {
		one := ms.keep(Message{
			Corp: c.app.corp.id, UserID: userid, AppKey: c.app.key, TaskID: task.id,
			Type: m.content.kind, Title: m.content.title, Text: m.content.text, Links: m.content.links,
			At: c.started, State: messageReceived,
		})
		if code := ms.dropFor(c, m, one, i); code != 0 {
			one.State, one.Dropped = messageDropped, code
		}
		task.sent = append(task.sent, one)
	}
	return task.id
}

func (ms *messages) keep(m Message) *Message {
	m.N = len(ms.list) + 1
	ms.list = append(ms.list, &m)
	return &m
}

// dropFor says why a message does not arrive, 0 when it does (SIM-D101). i
// counts the recipients of the call before this one.
func (ms *messages) dropFor(c *call, m workMessage, one *Message, i int) int {
	sw := c.s.sw()
	if m.tooLong {
		return dropTooLong
	}
	if sw.MessageForbidden != "" && strings.Contains(one.Title+"\n"+one.Text, sw.MessageForbidden) {
		return dropForbiddenWord
	}
	minute := ms.minutes[c.app.key]
	if at := c.started.Unix() / 60; minute == nil || minute.start != at {
		minute = &window{start: at}
		ms.minutes[c.app.key] = minute
	}
	if i >= mostRecipients || minute.n >= sw.MessagePerMinute {
		return dropApplication
	}
	minute.n++
	key, day := inboxKey{c.app.key, one.UserID}, beijing(c.started).Format(time.DateOnly)
	today := ms.today[key]
	if today == nil || today.day != day {
		today = &inboxDay{day: day, same: map[[32]byte]bool{}}
		ms.today[key] = today
	}
	switch {
	case today.same[m.content.digest]:
		return dropSame
	case today.n >= sw.MessagePerDay:
		return dropDay
	}
	today.same[m.content.digest] = true
	today.n++
	return 0
}

// Messages lists what was sent to people and by robots, oldest first, silent
// drops marked (SIM-D100). userid may be empty: everybody and every group.
func (s *Server) Messages(userid string) []Message {
	s.messages.mu.Lock()
	defer s.messages.mu.Unlock()
	list := []Message{}
	for _, m := range s.messages.list {
		if userid == "" || m.UserID == userid {
			list = append(list, *m)
		}
	}
	return list
}

// ForgetMessages empties every inbox; what was sent today still counts.
func (s *Server) ForgetMessages() {
	s.messages.mu.Lock()
	defer s.messages.mu.Unlock()
	s.messages.list = nil
}

// inbox is what a person sees, newest first; looking is reading.
func (s *Server) inbox(corp, userid string) []Message {
	s.messages.mu.Lock()
	defer s.messages.mu.Unlock()
	list := []Message{}
	for _, m := range slices.Backward(s.messages.list) {
		if m.Corp == corp && m.UserID == userid && m.State == messageReceived {
			m.Read = true
			list = append(list, *m)
		}
	}
	return list
}

// membersBelow are the userids of everybody in a department or below it.
func (d *directory) membersBelow(id int64) []string {
	var list []string
	for _, p := range d.present() {
		if id == rootDept || slices.ContainsFunc(p.Departments, func(own int64) bool { return slices.Contains(d.chain(own), id) }) {
			list = append(list, p.UserID)
		}
	}
	slices.Sort(list)
	return list
}
