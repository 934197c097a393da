package dingtalksim

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of a group robot (reference 8.2).
const (
	robotPerMinute = 20
	robotBlock     = 10 * time.Minute
	robotSkew      = time.Hour
)

// Robot is one custom robot of one group. Which of the three security modes are
// on is what is set.
type Robot struct {
	Corp       string   `json:"corp"` // the first organisation when empty
	Name       string   `json:"name"`
	Token      string   `json:"token"`
	Secret     string   `json:"secret,omitempty"`      // begins with SEC: signatures are wanted
	Keywords   []string `json:"keywords,omitempty"`    // a message has to hold one of them
	AllowedIPs []string `json:"allowed_ips,omitempty"` // IPv4
	Stopped    bool     `json:"stopped,omitempty"`
}

// robots are all robots by token.
type robots struct {
	mu sync.Mutex
	m  map[string]*robot
}

type robot struct {
	Robot
	recent  []time.Time // of messages within a minute
	blocked time.Time   // until
	uuids   map[string]bool
}

// AddRobot puts a robot into a group, or replaces the one of that token.
func (s *Server) AddRobot(r Robot) error {
	c, err := s.corpNamed(r.Corp)
	if err != nil {
		return err
	}
	r.Corp = c.id
	switch {
	case r.Token == "" || r.Name == "":
		err = errors.New("a robot needs a name and a token")
	case len(r.Keywords) > 10:
		err = errors.New("at most 10 keywords")
	case r.Secret != "" && !strings.HasPrefix(r.Secret, "SEC"):
		err = errors.New("a robot's secret begins with SEC")
	}
	if err != nil {
		return fmt.Errorf("dingtalksim: robot %q: %w: %w", r.Name, ErrInvalid, err)
	}
	s.robots.mu.Lock()
	defer s.robots.mu.Unlock()
	if s.robots.m == nil {
		s.robots.m = map[string]*robot{}
	}
	s.robots.m[r.Token] = &robot{Robot: r, uuids: map[string]bool{}}
	return nil
}

// Robots lists the robots by name, without secrets.
func (s *Server) Robots() []Robot {
	s.robots.mu.Lock()
	defer s.robots.mu.Unlock()
	list := []Robot{}
	for _, r := range s.robots.m {
		one := r.Robot
		one.Secret, one.Token = "", ""
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b Robot) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// robotSend is POST /robot/send: form of the request (SIM-D12), token
// (SIM-D105), security (SIM-D106), content, rate (SIM-D104).
func (c *call) robotSend() answer {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return c.refuse(40035, "缺少参数 json")
	}
	if media, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return c.refuse(43004, "无效的HTTP HEADER Content-Type")
	}
	c.s.robots.mu.Lock()
	defer c.s.robots.mu.Unlock()
	r, bad := c.robotOf(c.r.URL.Query().Get("access_token"))
	if bad != nil {
		return c.refuse(bad.code, bad.text)
	}
	content, uuid, bad := readRobotContent(c.body)
	if bad == nil {
		bad = c.robotSecurity(r, content)
	}
	if bad == nil {
		bad = c.robotRate(r)
	}
	if bad != nil {
		return c.refuse(bad.code, bad.text)
	}
	if uuid == "" || !r.uuids[uuid] { // SIM-D107
		r.uuids[uuid] = true
		c.s.messages.mu.Lock()
		c.s.messages.keep(Message{
			Corp: r.Corp, Robot: r.Name, Type: content.kind, Title: content.title, Text: content.text,
			Links: content.links, At: c.started, State: messageReceived,
		})
		c.s.messages.mu.Unlock()
	}
	return c.old("0", oldOK{ErrMsg: "ok"})
}

// robotOf finds the robot of a token (SIM-D105).
func (c *call) robotOf(token string) (*robot, *refusal) {
	r := c.s.robots.m[token]
	switch {
	case r == nil && c.s.sw().RobotDocCodes:
		return nil, &refusal{400101, "access_token不存在"}
	case r == nil:
		return nil, &refusal{300005, "token is not exist"}
	case r.Stopped:
		return nil, &refusal{400102, "机器人已停用"}
	}
	return r, nil
}

// robotRate counts one message against the minute (SIM-D104) and the month.
func (c *call) robotRate(r *robot) *refusal {
	switch {
	case !r.mayPass(c.started) && c.s.sw().RobotDocCodes:
		return &refusal{410100, "发送速度太快而限流"}
	case c.started.Before(r.blocked):
		return &refusal{660026, "sending too many messages per minute"}
	case !c.s.eventQuota.month(c.s.sw().EventQuota, r.Corp, c.started):
		return &refusal{20001, "本月Webhook调用量已超过上限"}
	}
	return nil
}

// robotSecurity checks the modes that are on (SIM-D106).
func (c *call) robotSecurity(r *robot, m content) *refusal {
	if r.Secret != "" {
		if why := c.signedFor(r); why != "" {
			return &refusal{310000, why}
		}
	}
	if len(r.Keywords) > 0 && !slices.ContainsFunc(r.Keywords, func(k string) bool {
		return strings.Contains(m.title, k) || strings.Contains(m.text, k)
	}) {
		return &refusal{310000, "keywords not in content"}
	}
	if len(r.AllowedIPs) > 0 && !slices.Contains(r.AllowedIPs, c.ip) {
		return &refusal{310000, "ip " + c.ip + " not in whitelist"}
	}
	return nil
}

// signedFor checks timestamp and signature by its own hand.
func (c *call) signedFor(r *robot) string {
	q := c.r.URL.Query()
	stamp := q.Get("timestamp")
	ms, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || c.started.Sub(time.UnixMilli(ms)).Abs() > robotSkew {
		return "invalid timestamp"
	}
	mac := hmac.New(sha256.New, []byte(r.Secret))
	fmt.Fprintf(mac, "%s\n%s", stamp, r.Secret)
	if !hmac.Equal([]byte(base64.StdEncoding.EncodeToString(mac.Sum(nil))), []byte(q.Get("sign"))) {
		return "sign not match"
	}
	return ""
}

// mayPass counts one message; the 21st within a minute blocks the robot.
func (r *robot) mayPass(now time.Time) bool {
	if now.Before(r.blocked) {
		return false
	}
	r.recent = slices.DeleteFunc(r.recent, func(at time.Time) bool { return now.Sub(at) >= time.Minute })
	if len(r.recent) >= robotPerMinute {
		r.blocked = now.Add(robotBlock)
		return false
	}
	r.recent = append(r.recent, now)
	return true
}
