package dingtalk

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"kdgate/identity"
)

// Limits of one work notification (reference 8.1). Over some of them DingTalk
// answers success and delivers nothing, so they are refused here.
const (
	MaxMessageUsers       = 100  // userids of one call; also the most that a result can tell of
	MaxMessageDepartments = 20   // departments of one call
	MaxMessageBytes       = 2000 // of the encoded message unless Message.Most says otherwise; sources say 2,048 and 5,000
	MaxCardTitle          = 20   // characters
	maxSingleURL          = 500  // bytes
	maxButtonURL          = 700  // bytes
	maxButtons            = 5
)

// ErrMessage is a message that DingTalk would refuse or, worse, drop in silence.
var ErrMessage = errors.New("dingtalk: not a message that can be delivered")

// opSendWork is sent once and never again by itself: there is no idempotency
// key. See SendWork for what to do after an ambiguous failure.
var opSendWork = operation{
	name: "sendwork", host: oldHost, path: "/topapi/message/corpconversation/asyncsend_v2",
	single: true, quota: true, class: ClassMessage,
}

// Button is one button of a card.
type Button struct {
	Title string
	URL   string
}

// Message is one work notification: a text, a Markdown (with a title), or, with
// buttons, a card. Text is Markdown but for a plain text.
type Message struct {
	Users       []string // userids, at most MaxMessageUsers
	Departments []int64  // with everybody below them, at most MaxMessageDepartments
	Title       string   // empty: a plain text
	Text        string
	Buttons     []Button
	Most        int // bytes of the encoded message, default MaxMessageBytes (open question 26)
}

// Chunks splits m into messages of at most so many recipients as one call takes.
func (m Message) Chunks() []Message {
	var list []Message
	for users := range slices.Chunk(m.Users, MaxMessageUsers) {
		one := m
		one.Users, one.Departments = users, nil
		list = append(list, one)
	}
	for departments := range slices.Chunk(m.Departments, MaxMessageDepartments) {
		one := m
		one.Users, one.Departments = nil, departments
		list = append(list, one)
	}
	return list
}

// Encode checks m and gives the bytes that DingTalk counts: the same bytes to
// the same person on one Beijing day arrive once (reference 8.1). The error is
// ErrMessage.
func (m Message) Encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	encoded, err := json.Marshal(m.body()) // as the request is: DingTalk counts what is on the wire
	if err != nil {
		return nil, fmt.Errorf("%w: it cannot be encoded", ErrMessage)
	}
	if most := cmp.Or(m.Most, MaxMessageBytes); len(encoded) > most {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrMessage, len(encoded), most)
	}
	return encoded, nil
}

// check names what is wrong without quoting the text.
func (m Message) check() error {
	switch {
	case len(m.Users)+len(m.Departments) == 0:
		return errors.New("it is to nobody")
	case len(m.Users) > MaxMessageUsers:
		return fmt.Errorf("%d people, at most %d", len(m.Users), MaxMessageUsers)
	case len(m.Departments) > MaxMessageDepartments:
		return fmt.Errorf("%d departments, at most %d", len(m.Departments), MaxMessageDepartments)
	case slices.ContainsFunc(m.Users, func(id string) bool { return !validUserID(id) || strings.Contains(id, ",") }):
		return errors.New("a userid that cannot be one")
	case m.Text == "" || !utf8.ValidString(m.Text) || !utf8.ValidString(m.Title):
		return errors.New("no text, or not UTF-8")
	}
	return m.checkButtons()
}

func (m Message) checkButtons() error {
	switch title := utf8.RuneCountInString(m.Title); {
	case len(m.Buttons) > 0 && (title == 0 || title > MaxCardTitle):
		return fmt.Errorf("a card has a title of 1 to %d characters", MaxCardTitle)
	case len(m.Buttons) > maxButtons:
		return fmt.Errorf("%d buttons, at most %d", len(m.Buttons), maxButtons)
	}
	most := maxButtonURL
	if len(m.Buttons) == 1 {
		most = maxSingleURL
	}
	for _, b := range m.Buttons {
		if b.Title == "" || b.URL == "" || len(b.URL) > most {
			return fmt.Errorf("a button without title, or with an address of %d bytes (1 to %d)", len(b.URL), most)
		}
	}
	return nil
}

// body is the msg member.
func (m Message) body() any {
	switch {
	case len(m.Buttons) == 1:
		return map[string]any{"msgtype": "action_card", "action_card": map[string]any{
			"title": m.Title, "markdown": m.Text, "single_title": m.Buttons[0].Title, "single_url": m.Buttons[0].URL,
		}}
	case len(m.Buttons) > 1:
		var list []map[string]string
		for _, b := range m.Buttons {
			list = append(list, map[string]string{"title": b.Title, "action_url": b.URL})
		}
		return map[string]any{"msgtype": "action_card", "action_card": map[string]any{
			"title": m.Title, "markdown": m.Text, "btn_orientation": "0", "btn_json_list": list,
		}}
	case m.Title != "":
		return map[string]any{"msgtype": "markdown", "markdown": map[string]any{"title": m.Title, "text": m.Text}}
	}
	return map[string]any{"msgtype": "text", "text": map[string]any{"content": m.Text}}
}

// SendWork sends a work notification and gives the number of its task. That
// there is one says nothing about anybody having got it: SendResult does.
//
// After an error whose CallError is Ambiguous, DingTalk may have sent it, and
// there is no number to ask about. The way out is to send the very same message
// again on the same Beijing day: whoever has it is not given it twice
// (DropSame), whoever has not gets it now.
func (c *Client) SendWork(ctx context.Context, m Message) (int64, error) {
	encoded, err := m.Encode()
	if err != nil {
		return 0, identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: send: %w", err)
	}
	agent, err := c.agent()
	if err != nil {
		return 0, err
	}
	body := map[string]any{"agent_id": agent, "to_all_user": false, "msg": json.RawMessage(encoded)}
	if len(m.Users) > 0 {
		body["userid_list"] = strings.Join(m.Users, ",")
	}
	if len(m.Departments) > 0 {
		texts := make([]string, 0, len(m.Departments))
		for _, id := range m.Departments {
			texts = append(texts, strconv.FormatInt(id, 10))
		}
		body["dept_id_list"] = strings.Join(texts, ",")
	}
	var out struct {
		Task number `json:"task_id"`
	}
	if err := c.ask(ctx, opSendWork, body, &out); err != nil {
		return 0, err
	}
	if out.Task <= 0 {
		return 0, c.nonsense(opSendWork, "task_id")
	}
	return int64(out.Task), nil
}

// agent is the application's number, which messages are sent in the name of.
func (c *Client) agent() (int64, error) {
	n, err := strconv.ParseInt(c.cfg.AgentID, 10, 64)
	if err != nil || n <= 0 {
		return 0, identity.Fail(identity.Misconfigured, identity.CodeDingTalkSetup, "dingtalk: messages need the AgentId of the application")
	}
	return n, nil
}

// Ambiguous reports whether err is a call that DingTalk may have acted upon.
func Ambiguous(err error) bool {
	e, ok := errors.AsType[*CallError](err)
	return ok && e.Ambiguous
}
