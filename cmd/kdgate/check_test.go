package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"kdgate/internal/checkup"
)

// F32, F93: kdgate check tests every peer, with and without a gateway, says what
// is wrong and where to put it right in the language asked for, exits 1 on a
// fault, and is on record.
func TestCheck(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alone := h.run("check", "--json").want(t, 0)
	var result checkup.Result
	must(t, json.Unmarshal([]byte(alone.stdout), &result))
	tested := map[string]bool{}
	for _, item := range result.Items {
		peer, _, _ := strings.Cut(item.Peer, "/")
		tested[peer] = true
		if item.Status == checkup.Fault {
			t.Errorf("%+v", item)
		}
	}
	for _, peer := range []string{"dingtalk", "kingdee", "store", "audit", "host"} {
		if !tested[peer] {
			t.Errorf("%s was not tested", peer)
		}
	}
	if !strings.HasPrefix(result.By, "cli:") || result.Ended.Before(result.Began) {
		t.Errorf("%+v", result)
	}
	g := h.start()
	h.run("check").want(t, 0, "reading members", "0 faults")
	h.run("check", "--only", "host", "--lang", "zh-Hans").want(t, 0, "磁盘")
	h.run("check", "--only", "nobody").want(t, 2, "--only is one of dingtalk/dingcorp1, kingdee/live, store, audit, host, not nobody")
	h.run("check", "--lang", "xx").want(t, 2, "--lang is en, zh-Hans or zh-Hant, not xx")
	h.run("audit", "export", "--action", "checkup").want(t, 0, `"actor":"cli:`, result.ID)
	g.stop()

	h.put("dingtalk.secret", "another-secret-that-is-not-theirs")
	broken := h.run("check").want(t, 1, "AppKey or AppSecret is wrong", "corps[].app_key")
	if strings.Contains(broken.stdout+broken.stderr, "another-secret") {
		t.Error("the secret is shown")
	}
	h.run("check", "--only", "kingdee/live").want(t, 0, "0 faults")
	h.run("check", "--only", "dingtalk/dingcorp1", "--lang", "zh-Hant").want(t, 1, "AppKey 或 AppSecret 不正確")
}

// F32 at the command line: what the configuration uses is tested, and a permission
// that is missing is named with the screen where it is granted, in the language asked
// for and for programs; what only a message proves is left to a person and no fault.
func TestCheckOfUses(t *testing.T) {
	t.Parallel()
	h := withDirectory(newHouse(t))
	h.run("check", "--only", "dingtalk/dingcorp1").want(t, 0, "reading departments", "event connection (Stream)", "work notifications", "kdgate notices test", "0 faults, 1 to look")
	h.sim(http.MethodPatch, h.dingtalk.URL+"/sim/apps/"+appKey, `{"permissions":["qyapi_base","qyapi_get_member","qyapi_get_department_list"]}`)
	h.run("check", "--only", "dingtalk/dingcorp1", "--lang", "zh-Hans").want(t, 1, "读取部门成员", "应用缺少权限 qyapi_get_department_member。", "权限管理：申请 qyapi_get_department_member")
	var result checkup.Result
	must(t, json.Unmarshal([]byte(h.run("check", "--json").want(t, 1).stdout), &result))
	var faults []string
	for _, item := range result.Items {
		if item.Status == checkup.Fault {
			faults = append(faults, item.Check+" "+item.Cause+" "+item.Values["scope"])
		}
	}
	if len(faults) != 1 || faults[0] != "qyapi_get_department_member dingtalk-permission qyapi_get_department_member" {
		t.Errorf("%q", faults)
	}
}
