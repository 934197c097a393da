package app

import (
	"errors"
	"fmt"
	"testing"

	"kdgate/dingtalk"
	"kdgate/kingdee"
)

// F13, T115: what a vendor answered is told from the error around it, with the
// vendor's words and what to do; an error of our own is no vendor's word.
func TestSaid(t *testing.T) {
	king, ok := said(fmt.Errorf("mapping: %w", &kingdee.Fault{Name: "not-white-listed", Text: "当前IP:203.0.113.7 白名单失败", Advice: "ask"}))
	if !ok || king.Peer != "kingdee" || king.Rule != "not-white-listed" || king.Words == "" || king.Advice != "ask" {
		t.Errorf("%+v", king)
	}
	ding, ok := said(fmt.Errorf("ask: %w", &dingtalk.CallError{Rule: "address", Reason: "60020", OurAddress: "203.0.113.7", RequestID: "r1"}))
	if !ok || ding.Peer != "dingtalk" || ding.Rule != "address" || ding.Address != "203.0.113.7" || ding.Reference != "r1" {
		t.Errorf("%+v", ding)
	}
	if other, ok := said(errors.New("ours")); ok {
		t.Errorf("%+v", other)
	}
}

// F15: streams are told by corp, and those of rooms that were left are not.
func TestStreamsAreTold(t *testing.T) {
	var s streams
	if list := s.tell(); len(list) != 0 {
		t.Errorf("before any: %+v", list)
	}
	s.begin()
	s.hold("dingb", &dingtalk.Stream{})
	s.hold("dinga", &dingtalk.Stream{})
	if list := s.tell(); len(list) != 2 || list[0].Corp != "dinga" || list[0].Connections != 0 {
		t.Errorf("%+v", list)
	}
	s.begin()
	if list := s.tell(); len(list) != 0 {
		t.Errorf("after a reload: %+v", list)
	}
}
