package dingtalksim

import (
	"fmt"
	"time"
)

// Sample is a ready configuration of two organisations whose people show what
// real address books hold (SIM-D64, SIM-D115): duplicate and empty job numbers,
// same names, a mobile shared across organisations, somebody in three
// departments, an unactivated person, an enterprise account, a name of one
// character, a character outside the basic plane, a trailing space, a leaver,
// an external contact, somebody out of range. homeURL is the home page of the
// first application and its host is registered; it usually ends in
// ?corpId=$CORPID$.
func Sample(homeURL string, hosts ...string) Config {
	return Config{Corps: []Corp{
		{
			ID: "dingcorp1", Name: "远山制造有限公司",
			Apps: []App{{
				Key: "dingkey1", Secret: "sample-secret-1", AgentID: 100001, Name: "金蝶云星空", Icon: "金",
				HomeURL: homeURL, Hosts: hosts,
			}},
			Departments: []Department{
				{ID: 101, Name: "财务部", Code: "FIN", Managers: []string{"manager01"}},
				{ID: 102, Name: "采购部"},
				{ID: 103, Name: "生产中心", Order: 1},
				{ID: 104, ParentID: 103, Name: "一车间"},
				{ID: 105, ParentID: 103, Name: "二车间"},
			},
			People: samplePeople(),
		},
		{
			ID: "dingcorp2", Name: "海川贸易有限公司",
			Apps: []App{{
				Key: "dingkey2", Secret: "sample-secret-2", AgentID: 200001, Name: "金蝶云星空", Icon: "金",
				HomeURL: homeURL, Hosts: hosts,
			}},
			People: []Person{
				{UserID: "haichuan01", Name: "顾海川", Mobile: "13800000001", JobNumber: "H001", Boss: true},
				{UserID: "zhangwei", Name: "张伟", JobNumber: "H002"},
			},
		},
	}}
}

func samplePeople() []Person {
	left := time.Date(2026, 8, 31, 18, 0, 0, 0, time.FixedZone("CST", 8*60*60))
	return []Person{
		{UserID: "manager01", Name: "林主管", Mobile: "13800000001", JobNumber: "Y001", Title: "信息主管", Departments: []int64{1}, Admin: true, RealAuthed: true},
		{UserID: "zhangwei", Name: "张伟", Mobile: "13800000002", JobNumber: "Y002", Title: "会计", Departments: []int64{101}, ManagerUserID: "manager01", Email: "zhangwei@example.com", Extension: `{"爱好":"围棋"}`},
		{UserID: "zhangwei2", Name: "张伟", Mobile: "13800000003", JobNumber: "Y002", Title: "采购员", Departments: []int64{102}},
		{UserID: "wangfang", Name: "王芳", JobNumber: "", Title: "调度", Departments: []int64{103, 104, 105}, LeaderOf: []int64{103}},
		{UserID: "lina", Name: "李娜", Departments: []int64{104}, Unactivated: true},
		{UserID: "enterprise01", Name: "赵企", Departments: []int64{105}, Enterprise: true},
		{UserID: "one", Name: "樊", Departments: []int64{102}},
		{UserID: "rare", Name: "𠮷田健", Departments: []int64{102}},
		{UserID: "space", Name: "陈晨 ", JobNumber: "Y009", Departments: []int64{101}},
		{UserID: "hidden01", Name: "周远", Departments: []int64{101}, OutOfRange: true},
		{UserID: "leaver01", Name: "孙离", Mobile: "13800000009", JobNumber: "Y010", Departments: []int64{102}, Left: left, LeaveReason: "leave"},
		{UserID: "partner01", Name: "何伙伴", Mobile: "13900000001", External: true},
	}
}

// Populate adds departments to the given depth and people to c, the same ones
// every time (SIM-D68: 10 000 people, 1 200 departments, depth 12). Ids begin
// above a million and userids with "p", so that they do not meet named ones.
func Populate(c *Corp, people, departments, depth int) {
	const firstDept = 1_000_001
	ids := make([]int64, 0, departments)
	for i := range departments {
		d := Department{ID: int64(firstDept + i), Name: fmt.Sprintf("%s%d部", pick(unitNames(), i), i+1), ParentID: rootDept}
		// The first ones form a chain as deep as wanted; the others hang below
		// earlier ones of the chain.
		switch {
		case i > 0 && i < depth:
			d.ParentID = ids[i-1]
		case i >= depth && depth > 1:
			d.ParentID = ids[i%(depth-1)]
		}
		ids = append(ids, d.ID)
		c.Departments = append(c.Departments, d)
	}
	for i := range people {
		p := Person{
			UserID: fmt.Sprintf("p%06d", i+1), JobNumber: fmt.Sprintf("N%06d", i+1),
			Name:   pick(surnames(), i) + pick(givenNames(), i/len(surnames())),
			Mobile: fmt.Sprintf("137%08d", i+1), Title: pick([]string{"工程师", "会计", "采购员", "班长", "文员"}, i),
			Telephone: fmt.Sprintf("0571-8%07d", i+1), WorkPlace: "杭州市余杭区文一西路969号", HiredDate: 1_500_000_000_000 + int64(i)*86_400_000,
			Email: fmt.Sprintf("p%06d@example.com", i+1), OrgEmail: fmt.Sprintf("p%06d@corp.example.com", i+1),
			Extension: `{"爱好":"围棋","班次":"` + pick([]string{"早", "中", "晚"}, i) + `"}`,
		}
		if len(ids) > 0 {
			p.Departments = []int64{ids[i%len(ids)]}
		}
		c.People = append(c.People, p)
	}
}

func pick(list []string, i int) string { return list[i%len(list)] }

func unitNames() []string {
	return []string{"生产", "质量", "采购", "销售", "仓储", "设备", "财务", "人事", "研发", "工艺"}
}

func surnames() []string {
	return []string{"王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙", "胡", "朱", "高", "林", "何", "郭", "马", "欧阳"}
}

func givenNames() []string {
	return []string{"伟", "芳", "娜", "秀英", "敏", "静", "丽", "强", "磊", "军", "洋", "勇", "艳", "杰", "娟", "涛", "明", "超", "秀兰", "霞", "平", "刚", "桂英"}
}
