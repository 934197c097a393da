package dingtalksim_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"kdgate/dingtalk/dingtalksim"
)

// TestConfigMistakes: every mistake is named, all at once.
func TestConfigMistakes(t *testing.T) {
	app := dingtalksim.App{Key: "k", Secret: "s", AgentID: 1, Name: "a", HomeURL: "https://h.example/"}
	with := func(f func(*dingtalksim.App)) dingtalksim.App { a := app; f(&a); return a }
	corp := func(f func(*dingtalksim.Corp)) []dingtalksim.Corp {
		c := dingtalksim.Corp{ID: "dingx", Apps: []dingtalksim.App{app}}
		f(&c)
		return []dingtalksim.Corp{c}
	}
	for want, corps := range map[string][]dingtalksim.Corp{
		"no organisation configured":    nil,
		`"ding" and lower-case letters`: corp(func(c *dingtalksim.Corp) { c.ID = "DINGX" }),
		"no application configured":     corp(func(c *dingtalksim.Corp) { c.Apps = nil }),
		"app key and app secret":        corp(func(c *dingtalksim.Corp) { c.Apps[0] = with(func(a *dingtalksim.App) { a.Secret = "" }) }),
		"agent id must be positive":     corp(func(c *dingtalksim.Corp) { c.Apps[0] = with(func(a *dingtalksim.App) { a.AgentID = 0 }) }),
		"absolute http or https":        corp(func(c *dingtalksim.Corp) { c.Apps[0] = with(func(a *dingtalksim.App) { a.HomeURL = "/launch" }) }),
		"without scheme or path": corp(func(c *dingtalksim.Corp) {
			c.Apps[0] = with(func(a *dingtalksim.App) { a.Hosts = []string{"https://h"} })
		}),
		`unknown permission "everything"`: corp(func(c *dingtalksim.Corp) {
			c.Apps[0] = with(func(a *dingtalksim.App) { a.Permissions = []string{"everything"} })
		}),
		"app key used twice":      corp(func(c *dingtalksim.Corp) { c.Apps = append(c.Apps, app) }),
		"parent 9 does not exist": corp(func(c *dingtalksim.Corp) { c.Departments = []dingtalksim.Department{{ID: 2, ParentID: 9}} }),
		"its own ancestor": corp(func(c *dingtalksim.Corp) {
			c.Departments = []dingtalksim.Department{{ID: 2, ParentID: 3}, {ID: 3, ParentID: 2}}
		}),
		"id must be positive": corp(func(c *dingtalksim.Corp) { c.Departments = []dingtalksim.Department{{ID: -7}} }),
		`userid "a" used twice`: corp(func(c *dingtalksim.Corp) {
			c.People = []dingtalksim.Person{{UserID: "a", Name: "x"}, {UserID: "a", Name: "y"}}
		}),
		`unionid "u" used twice`: corp(func(c *dingtalksim.Corp) {
			c.People = []dingtalksim.Person{{UserID: "a", Name: "x", UnionID: "u"}, {UserID: "b", Name: "y", UnionID: "u"}}
		}),
		"1 to 64 characters": corp(func(c *dingtalksim.Corp) { c.People = []dingtalksim.Person{{Name: "x"}} }),
		"name is needed":     corp(func(c *dingtalksim.Corp) { c.People = []dingtalksim.Person{{UserID: "a"}} }),
		"department 5 does not exist": corp(func(c *dingtalksim.Corp) {
			c.People = []dingtalksim.Person{{UserID: "a", Name: "x", Departments: []int64{5}}}
		}),
		"must be a JSON text": corp(func(c *dingtalksim.Corp) { c.People = []dingtalksim.Person{{UserID: "a", Name: "x", Extension: "{"}} }),
	} {
		if _, err := dingtalksim.New(dingtalksim.Config{Corps: corps}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in: %v", want, err)
		}
	}
	_, err := dingtalksim.New(dingtalksim.Config{Corps: []dingtalksim.Corp{{ID: "x"}, {ID: "x"}}})
	if err == nil || strings.Count(err.Error(), "no application configured") != 2 || !strings.Contains(err.Error(), "id used twice") {
		t.Errorf("not all at once: %v", err)
	}
}

// TestPersonJSON: what is written is read back the same, "active" included.
func TestPersonJSON(t *testing.T) {
	in := dingtalksim.Person{UserID: "a", Name: "王", Unactivated: true, Departments: []int64{2}, Left: time.Unix(1_700_000_000, 0).UTC(), LeaveReason: "oapi", External: true}
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), `"active":false`) {
		t.Errorf("written: %s", raw)
	}
	var out dingtalksim.Person
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	if !out.Unactivated || out.UserID != "a" || !out.Left.Equal(in.Left) || !out.External || len(out.Departments) != 1 {
		t.Errorf("read back: %+v", out)
	}
}
