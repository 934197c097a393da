package directory_test

import (
	"context"
	"slices"
	"testing"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/jobs/directory"
	"kdgate/kingdee/kingdeesim"
)

// chosen are numbers that people gave out.
type chosen map[string]directory.Given

func (c chosen) Given(_ context.Context, userid string) (directory.Given, error) {
	return c[userid], nil
}

func (c chosen) All(context.Context) (map[string]directory.Given, error) { return c, nil }

// TestGivenNumbers proves F21 and F54: whoever was mapped by hand keeps that
// record, by run and by event; a leaver of whom nothing else is known is
// forbidden by it, unless it is not theirs alone or the user is spared.
func TestGivenNumbers(t *testing.T) {
	people := []dingtalksim.Person{person("z1", "张三", 10), person("l4", "李四", 10), person("w5", "王五", 10)}
	r := start(t, people, func(c *directory.Config) {
		c.Numbers = chosen{"z1": {Number: "1001", Own: true}, "l4": {Number: "1002"}, "w5": {Number: "1003", Own: true}}
	})
	r.spared = []string{"root"}
	for number, user := range map[string]string{"1001": "zhangsan", "1002": "shared", "1003": "root"} {
		r.must(r.king.Hire(centreID, kingdeesim.Employee{Number: number, Name: user, Users: []kingdeesim.User{{Name: user, Account: user}}}))
		r.doors.users[map[string]string{"1001": "z1", "1002": "l4", "1003": "w5"}[number]] = map[string][]string{"live": {user}}
	}
	_, err := r.ding.ChangePerson(corp, "z1", func(p *dingtalksim.Person) error { p.Name = "张三丰"; return nil })
	r.must(err)
	r.take(event("user_modify_org", "z1"))
	r.work()
	if r.has("z1") || r.staff("1001").Name != "张三丰" {
		t.Errorf("by event: %+v", r.staff("1001"))
	}
	for _, p := range people {
		_, err := r.ding.RemovePerson(corp, p.UserID, "leave")
		r.must(err)
		r.take(event("user_leave_org", p.UserID))
	}
	r.work()
	for user, want := range map[string]string{"zhangsan": "B", "shared": "A", "root": "A"} {
		i := slices.IndexFunc(r.king.Users(), func(u kingdeesim.UserInfo) bool { return u.Name == user })
		if got := r.king.Users()[i].ForbidStatus; got != want {
			t.Errorf("%s is %s, want %s", user, got, want)
		}
	}
	if r.staff("1002").ForbidStatus != "A" || !r.doors.closed("l4") {
		t.Error("a record that is not the leaver's alone was forbidden, or our doors stayed open")
	}
}
