package dingtalksim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Switches are the choices the reference leaves open ("A", assumed) and the
// numbers a test may want to change while the simulator runs. The zero value is
// not the default: see defaultSwitches.
type Switches struct {
	DocMode             bool   `json:"doc_mode"`
	UnifiedTokenInvalid bool   `json:"unified_token_invalid"`
	Expired42001        bool   `json:"expired_42001"`
	ErrmsgOnly          bool   `json:"errmsg_only"`
	LowerAccessDenied   bool   `json:"lower_access_denied"`
	PermissionImmediate bool   `json:"permission_immediate"`
	JSAPIMode           string `json:"jsapi_mode"`
	English             bool   `json:"english"`
	OpenLinkInside      bool   `json:"open_link_inside"`
	OAuthParam          string `json:"oauth_param"`
	OAuthForeign        bool   `json:"oauth_foreign"`
	LeaveEmptyToken     bool   `json:"leave_empty_token"`
	BanJSON             bool   `json:"ban_json"`
	QPS                 int    `json:"qps"`
	AddressLimit        int    `json:"address_limit"`
	MonthQuota          int    `json:"month_quota"`
	CallbackNames       string `json:"callback_names"`
	CallbackPad16       bool   `json:"callback_pad16"`
	CallbackOwnerCorp   bool   `json:"callback_owner_corp"`
	CallbackDeadlineMS  int    `json:"callback_deadline_ms"`
	FailedKeep          bool   `json:"failed_keep"`
	EventLegacy         bool   `json:"event_legacy"`
	EventLost           int    `json:"event_lost"`
	EventDuplicate      int    `json:"event_duplicate"`
	EventReorder        int    `json:"event_reorder"`
	EventQuota          int    `json:"event_quota"`
	StreamLimit         int    `json:"stream_limit"`
	MessagePerDay       int    `json:"message_per_day"`
	MessagePerMinute    int    `json:"message_per_minute"`
	MessageLongDropped  bool   `json:"message_long_dropped"`
	MessageForbidden    string `json:"message_forbidden"`
	RobotDocCodes       bool   `json:"robot_doc_codes"`
	ApprovalUTC         bool   `json:"approval_utc"`
	YidaLocal           bool   `json:"yida_local"`
	SuccessText         bool   `json:"success_text"`
	PeopleMustAgree     bool   `json:"people_must_agree"`
	HRManagesPosts      bool   `json:"hr_manages_posts"`
}

// Values of Switches.JSAPIMode and Switches.OAuthParam.
const (
	modeAnswer     = "answer"
	modeFail       = "fail"
	modeSilent     = "silent"
	modeNotReady   = "not-ready"
	modeNoBridge   = "no-bridge"
	modeAMD        = "amd"
	modeLegacyOnly = "legacy-only"

	paramBoth      = "both"
	paramAuthCode  = "authCode"
	paramCode      = "code"
	paramDifferent = "different"
)

// SwitchAbout describes one switch: its name at the control door, its value
// now, and what it does.
type SwitchAbout struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
	About string `json:"about"`
}

func switchTexts() []SwitchAbout {
	return []SwitchAbout{
		{Name: "doc_mode", About: "SIM-D13: old host quotes numbers and booleans and turns one-element arrays into objects"},
		{Name: "unified_token_invalid", About: "SIM-D21: tokens of /v1.0/oauth2/{corpId}/token fail on /topapi with 40014"},
		{Name: "expired_42001", About: "SIM-D28: an expired token answers 42001 instead of 40014"},
		{Name: "errmsg_only", About: "SIM-D30: wrapped errors (88) leave sub_code and sub_msg out"},
		{Name: "lower_access_denied", About: "SIM-D31: accessdenieddetail instead of AccessDeniedDetail"},
		{Name: "permission_immediate", About: "SIM-D32: a granted permission counts for tokens already issued"},
		{Name: "jsapi_mode", About: "SIM-D38: answer, fail (errorCode 3), silent (never calls back), not-ready (dd.ready never comes), no-bridge, amd, legacy-only"},
		{Name: "english", About: "SIM-D40: the English text of 40078"},
		{Name: "open_link_inside", About: "SIM-D46: openLink stays in the same web view on PC too"},
		{Name: "oauth_param", About: "SIM-D49: both, authCode, code, different"},
		{Name: "oauth_foreign", About: "SIM-D51: people of other organisations and external contacts may authorise"},
		{Name: "leave_empty_token", About: "SIM-D66: the last page of leaver records carries an empty nextToken"},
		{Name: "ban_json", About: "SIM-D112: the ban answers the punish JSON instead of the HTML page"},
		{Name: "qps", About: "SIM-D108: calls per second of one application to one API; negative: no limit"},
		{Name: "address_limit", About: "SIM-D112: calls within 20 s from one address that bring the ban; negative: never"},
		{Name: "month_quota", About: "SIM-D110: counted calls per organisation and Beijing month; negative: no limit"},
		{Name: "callback_names", About: "SIM-D70: names in the query of a push: signature, msg_signature, both, timeStamp"},
		{Name: "callback_pad16", About: "SIM-D71: frames are padded to 16 instead of 32"},
		{Name: "callback_owner_corp", About: "SIM-D72: the owner key of addresses saved from now on is the corpId instead of the Client ID"},
		{Name: "callback_deadline_ms", About: "SIM-D73: how long a push waits for its reply"},
		{Name: "failed_keep", About: "SIM-D75: reading the failed-event list keeps the records"},
		{Name: "event_legacy", About: "SIM-D77: pushes in PascalCase without eventId"},
		{Name: "event_lost", About: "SIM-D76: percentage of events that never go out"},
		{Name: "event_duplicate", About: "SIM-D76: percentage of events that go out twice"},
		{Name: "event_reorder", About: "SIM-D76: percentage of events that the next one overtakes"},
		{Name: "event_quota", About: "SIM-D111: counted events per organisation and Beijing month; negative: no limit"},
		{Name: "message_per_day", About: "SIM-D101: work notifications to one person from one application on one Beijing day; more are dropped in silence"},
		{Name: "people_must_agree", About: "5.3: user/create only invites (40103)"},
		{Name: "hr_manages_posts", About: "5.3: user/update refuses title and department (12150)"},
		{Name: "message_per_minute", About: "SIM-D101: recipients of one application in a minute; more are dropped in silence"},
		{Name: "message_long_dropped", About: "SIM-D103: a msg over 2048 bytes is accepted and dropped instead of refused"},
		{Name: "message_forbidden", About: "SIM-D101: a word that has a message dropped with 1430002; empty: none"},
		{Name: "robot_doc_codes", About: "SIM-D104, SIM-D105: robots answer the documented 410100 and 400101"},
		{Name: "stream_limit", About: "SIM-D88: connections of one application to the event gateway; one too many is refused with 429; negative: no limit"},
		{Name: "approval_utc", About: "SIM-D91: times of approvals are real UTC instead of local time with a Z"},
		{Name: "yida_local", About: "7.6: times and days of Yida are the organisation's own with a Z instead of real UTC"},
		{Name: "success_text", About: "SIM-D90: success of the workflow APIs is the text \"true\""},
	}
}

func defaultSwitches(cfg Config) Switches {
	pick := func(n, def int) int {
		if n == 0 {
			return def
		}
		return n
	}
	return Switches{
		JSAPIMode: modeAnswer, OAuthParam: paramBoth,
		CallbackNames: namesPlain, CallbackDeadlineMS: 2500, StreamLimit: 50, MessagePerDay: 500, MessagePerMinute: mostRecipients,
		EventQuota: pick(cfg.EventQuota, 3_000),
		QPS:        pick(cfg.QPS, 20), AddressLimit: pick(cfg.AddressLimit, 10_000), MonthQuota: pick(cfg.MonthQuota, 5_000),
	}
}

func (s Switches) validate() error {
	if !slices.Contains([]string{modeAnswer, modeFail, modeSilent, modeNotReady, modeNoBridge, modeAMD, modeLegacyOnly}, s.JSAPIMode) {
		return fmt.Errorf("jsapi_mode %q: want answer, fail, silent, not-ready, no-bridge, amd or legacy-only", s.JSAPIMode)
	}
	if !slices.Contains([]string{paramBoth, paramAuthCode, paramCode, paramDifferent}, s.OAuthParam) {
		return fmt.Errorf("oauth_param %q: want both, authCode, code or different", s.OAuthParam)
	}
	if !slices.Contains([]string{namesPlain, namesMsg, paramBoth, namesTimeStamp}, s.CallbackNames) {
		return fmt.Errorf("callback_names %q: want signature, msg_signature, both or timeStamp", s.CallbackNames)
	}
	for _, share := range []int{s.EventLost, s.EventDuplicate, s.EventReorder} {
		if share < 0 || share > 100 {
			return fmt.Errorf("a share of events is a percentage, not %d", share)
		}
	}
	if s.CallbackDeadlineMS <= 0 {
		return fmt.Errorf("callback_deadline_ms must be positive, not %d", s.CallbackDeadlineMS)
	}
	return nil
}

// sw is the current set of switches; it must not be changed.
func (s *Server) sw() *Switches { return s.switches.Load() }

// Switches returns the switches as they stand.
func (s *Server) Switches() Switches { return *s.sw() }

// SetSwitches changes switches; change gets a copy of the current ones. It
// fails, changing nothing, when a value is not one of the listed ones.
func (s *Server) SetSwitches(change func(*Switches)) error {
	for {
		old := s.switches.Load()
		next := *old
		change(&next)
		if err := next.validate(); err != nil {
			return fmt.Errorf("dingtalksim: %w", err)
		}
		if s.switches.CompareAndSwap(old, &next) {
			return nil
		}
	}
}

// patchSwitches reads a partial JSON object over the switches.
func (s *Server) patchSwitches(raw []byte) error {
	probe := s.Switches()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&probe); err != nil {
		return fmt.Errorf("switches: %w (see GET /sim/switches for the names)", err)
	}
	return s.SetSwitches(func(sw *Switches) {
		_ = json.Unmarshal(raw, sw) // decoded above, against the same type
	})
}

// aboutSwitches lists every switch with its value and meaning.
func (s *Server) aboutSwitches() ([]SwitchAbout, error) {
	raw, err := json.Marshal(s.sw())
	if err != nil {
		return nil, err
	}
	values := map[string]any{}
	if err := json.Unmarshal(raw, &values); err != nil {
		return nil, err
	}
	list := switchTexts()
	for i := range list {
		list[i].Value = values[list[i].Name]
	}
	return list, nil
}
