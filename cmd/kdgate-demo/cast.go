package main

import (
	"fmt"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/identity"
	"kdgate/kingdee/kingdeesim"
	"kdgate/mapping"
)

const (
	corpID     = "dingcorp1"
	appKey     = "dingdemoapp0001"
	agentID    = 1001
	centreID   = "live"
	centreName = "演示账套"
	dbID       = "61cd78fbc6aa78"
	appID      = "231784_Test4CcK1jgWTczoWZ3NSDWK1l5b6Ppx"
	integrator = "kdgate"
)

// member is one person of the cast: who they are in DingTalk, what Kingdee has
// of them, and what the mapping table says.
type member struct {
	userid, name, title string
	jobNumber           string
	staff               *kingdeesim.Employee // nil: Kingdee knows nobody
	mapped              *mapping.Draft       // nil: no row; derived at the first click, if it can be
	suspended           bool
	role                string // of the console
	admin               bool   // in DingTalk
}

// cast covers every state of the chain. What each member meets stands in its title.
func cast() []member {
	user := func(name, account string) []kingdeesim.User {
		return []kingdeesim.User{{Name: name, Account: account}}
	}
	hired := func(number, name string, users ...kingdeesim.User) *kingdeesim.Employee {
		return &kingdeesim.Employee{Number: number, Name: name, Users: users}
	}
	row := func(number, login string) *mapping.Draft {
		return &mapping.Draft{StaffNumber: number, LoginUser: login}
	}
	return []member{
		{
			userid: "zhangsan", name: "张三", title: "已绑定", jobNumber: "1001",
			staff: hired("1001", "张三", user("zhangsan", "zs")...), mapped: row("1001", "zhangsan"),
		},
		{
			userid: "lisi", name: "李四", title: "已绑定，中文用户名", jobNumber: "1002",
			staff: hired("1002", "李四", user("李四（财务）", "lisi")...), mapped: row("1002", "李四（财务）"),
		},
		{
			userid: "1010", name: "陈晓", title: "首次点击时自动绑定", jobNumber: "1010",
			staff: hired("1010", "陈晓", user("陈晓", "chenxiao")...),
		},
		{userid: "wangwu", name: "王五", title: "未绑定", jobNumber: ""},
		{userid: "zhengshi", name: "郑十", title: "金蝶中没有此工号", jobNumber: "1009", mapped: row("1009", "")},
		{
			userid: "zhaoliu", name: "赵六", title: "有员工资料，没有金蝶用户", jobNumber: "1004",
			staff: hired("1004", "赵六"), mapped: row("1004", ""),
		},
		{
			userid: "sunqi", name: "孙七", title: "金蝶用户已禁用", jobNumber: "1005",
			staff:  hired("1005", "孙七", kingdeesim.User{Name: "sunqi", Account: "sunqi", ForbidStatus: kingdeesim.Forbidden}),
			mapped: row("1005", "sunqi"),
		},
		{
			userid: "zhouba", name: "周八", title: "一人两个金蝶用户", jobNumber: "1006",
			staff:  hired("1006", "周八", kingdeesim.User{Name: "zhouba", Account: "zhouba"}, kingdeesim.User{Name: "zhouba2", Account: "zhouba2"}),
			mapped: row("1006", ""),
		},
		{
			userid: "wujiu", name: "吴九", title: "已离职，绑定已停用", jobNumber: "1007",
			staff: hired("1007", "吴九", user("wujiu", "wujiu")...), mapped: row("1007", "wujiu"), suspended: true,
		},
		{
			userid: "qianyi", name: "钱一", title: "绑定到 Administrator，等待两人批准", jobNumber: "1008",
			staff:  hired("1008", "钱一", kingdeesim.User{Name: "Administrator", Account: "administrator", Administrator: true}),
			mapped: &mapping.Draft{StaffNumber: "1008", LoginUser: "Administrator", Privileged: true},
		},
		{
			userid: "manager01", name: "林管理", title: "系统管理员", jobNumber: "1011", role: "admin", admin: true,
			staff: hired("1011", "林管理", user("manager01", "manager01")...), mapped: row("1011", "manager01"),
		},
		{
			userid: "mapper01", name: "何绑定", title: "绑定管理员", jobNumber: "1012", role: "mapping-admin",
			staff: hired("1012", "何绑定", user("mapper01", "mapper01")...), mapped: row("1012", "mapper01"),
		},
		{
			userid: "auditor01", name: "高审计", title: "审计员", jobNumber: "1013", role: "auditor",
			staff: hired("1013", "高审计", user("auditor01", "auditor01")...), mapped: row("1013", "auditor01"),
		},
	}
}

// crowd invents n more people whose userid is their staff number.
func crowd(n int) []member {
	people := make([]member, 0, n)
	for i := range n {
		number := fmt.Sprintf("8%06d", i+1)
		name := fmt.Sprintf("员工%06d", i+1)
		people = append(people, member{
			userid: number, name: name, title: "虚构员工", jobNumber: number,
			staff: &kingdeesim.Employee{Number: number, Name: name, Users: []kingdeesim.User{{Name: name, Account: "u" + number}}},
		})
	}
	return people
}

// dingTalk is the simulated DingTalk with everybody in it.
func dingTalk(people []member, gateway, secret string) dingtalksim.Config {
	corp := dingtalksim.Corp{
		ID: corpID, Name: "演示公司",
		Apps: []dingtalksim.App{{
			Key: appKey, Secret: secret, AgentID: agentID, Name: "金蝶云·星空", Icon: "金蝶",
			HomeURL: "http://" + gateway + "/launch/kingdee?corpId=$CORPID$", Hosts: []string{gateway},
		}},
	}
	for _, p := range people {
		corp.People = append(corp.People, dingtalksim.Person{
			UserID: p.userid, Name: p.name, Title: p.title, JobNumber: p.jobNumber, Admin: p.admin,
		})
	}
	return dingtalksim.Config{Corps: []dingtalksim.Corp{corp}}
}

// kingdee is the simulated Kingdee with the authorisation row that the set-up guide describes.
func kingdee(people []member, secret string) kingdeesim.Config {
	var tables kingdeesim.Tables
	tables.Hire(kingdeesim.Employee{Number: "0001", Name: "集成用户", Users: []kingdeesim.User{{Name: integrator, Account: integrator}}})
	for _, p := range people {
		if p.staff != nil {
			tables.Hire(*p.staff)
		}
	}
	tables.Documents = append(tables.Documents, // one material below its safety stock, for the notice about it
		kingdeesim.Document{Form: "BD_MATERIAL", Model: map[string]any{"FNumber": "LS-M6", "FName": "螺丝 M6", "FSafeStock": "100"}},
		kingdeesim.Document{Form: "STK_Inventory", Model: map[string]any{
			"FInventoryNo": "KC-0001", "FMaterialId": map[string]any{"FNumber": "LS-M6"}, "FBaseQty": "36.5",
		}})
	return kingdeesim.Config{DataCentres: []kingdeesim.DataCentre{{
		ID: dbID, Number: "001", Name: centreName, Tables: tables,
		Rows: []kingdeesim.Row{{AppID: appID, Secret: secret, IntegrationUser: integrator}},
	}}}
}

// robotToken and robotSecret are of the one group robot. They are as secret as
// what they are made of.
func robotToken(secret string) string  { return "robot-" + secret }
func robotSecret(secret string) string { return "SEC-" + secret }

// key is the mapping row of a member.
func (m member) key() mapping.Key {
	return mapping.KeyOf(identity.Subject{Corp: corpID, UserID: m.userid}, centreID)
}
