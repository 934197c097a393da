package directory_test

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"testing"

	"kdgate/dingtalk/dingtalksim"
	"kdgate/jobs/directory"
	"kdgate/kingdee"
)

// posts are a person's post records, the oldest first.
func (r *rig) posts(number string) (list []kingdee.PostRecord) {
	r.t.Helper()
	for post, err := range r.kingdee.AllPosts(r.t.Context(), kingdee.Listing{Filter: kingdee.OneOf("FPerson.FNumber", number)}) {
		r.must(err)
		list = append(list, post)
	}
	return list
}

// main is the one post in use that is the main one.
func (r *rig) main(number string) kingdee.PostRecord {
	r.t.Helper()
	var found []kingdee.PostRecord
	for _, post := range r.posts(number) {
		if post.Primary {
			found = append(found, post)
		}
	}
	if len(found) != 1 || found[0].Forbidden || !found[0].Approved {
		r.t.Fatalf("main posts of %s: %+v, of %+v", number, found, r.posts(number))
	}
	return found[0]
}

var postNumber = regexp.MustCompile(`^z1_GW0001_[0-9]+$`)

// TestMoversPosts proves F52 for both ways of posts: who joins holds a main post,
// who moves holds another one, who is hired again the one of their department,
// and an undone move is undone. A post that a person gave them beside it stays.
func TestMoversPosts(t *testing.T) {
	for _, way := range []directory.Posts{directory.PostsEntity, directory.PostsNewStaff} {
		t.Run(string(way), func(t *testing.T) {
			r := start(t, []dingtalksim.Person{person("z1", "张三", 10), person("w5", "王五")}, func(c *directory.Config) { c.Rules.Posts = way })
			r.run(directory.Order{})
			first := r.main("z1")
			if first.Department != "D10" || first.Position != "GW0001" || !postNumber.MatchString(first.Number) || len(r.posts("w5")) != 0 {
				t.Fatalf("%+v", first)
			}
			beside, err := r.kingdee.SavePosts(t.Context(), []kingdee.PostDraft{{Staff: "z1", Department: "D20", Position: "GW0001"}})
			r.must(errors.Join(err, beside[0].Err))

			r.amend("z1", func(p *dingtalksim.Person) { p.Departments = []int64{21} })
			moved := r.run(directory.Order{})
			second := r.main("z1")
			if moved.Counts.Moved != 1 || second.Department != "D21" || r.listed("z1").Department != "D21" {
				t.Fatalf("%+v %v, %+v", moved.Counts, moved.Notes, second)
			}
			r.checkOld(way, first, second, beside[0].ID)
			if again := r.run(directory.Order{}); again.Counts.Same != 2 || len(r.posts("z1")) != postsAfter(way) {
				t.Errorf("a run more: %+v, %+v", again.Counts, r.posts("z1"))
			}
			if refused, err := r.Undo(t.Context(), cli, moved.ID); err != nil || len(refused) != 0 || r.main("z1").Department != "D10" {
				t.Errorf("undone: %v %v, %+v", refused, err, r.main("z1"))
			}

			_, err = r.ding.RemovePerson(corp, "z1", "leave")
			r.must(err)
			r.take(event("user_leave_org", "z1"))
			r.work()
			_, err = r.ding.AddPerson(corp, person("z1", "张三", 20))
			r.must(err)
			r.take(event("user_add_org", "z1"))
			r.work()
			r.must(r.Agree(t.Context(), cli, "z1", r.kingdee))
			r.work()
			if post := r.main("z1"); post.Department != "D20" || r.staff("z1").ForbidStatus != "A" {
				t.Errorf("hired again: %+v, %+v", post, r.staff("z1"))
			}
		})
	}
}

// checkOld looks at what a move left of the post before, and of the one beside.
func (r *rig) checkOld(way directory.Posts, first, second kingdee.PostRecord, beside string) {
	r.t.Helper()
	var old, other kingdee.PostRecord
	for _, post := range r.posts("z1") {
		switch post.ID {
		case first.ID:
			old = post
		case beside:
			other = post
		}
	}
	if other.Forbidden || other.Primary || other.Department != "D20" {
		r.t.Errorf("the post beside: %+v", other)
	}
	switch way {
	case directory.PostsEntity:
		if second.ID != first.ID {
			r.t.Errorf("the row became another: %+v, %+v", first, second)
		}
	case directory.PostsNewStaff:
		if second.ID == first.ID || !old.Forbidden || old.Primary || !postNumber.MatchString(second.Number) || second.Number == old.Number {
			r.t.Errorf("the post before: %+v, now %+v", old, second)
		}
	}
}

// postsAfter is how many posts somebody has who moved once and holds one beside:
// a row becomes another, records add up.
func postsAfter(way directory.Posts) int {
	if way == directory.PostsEntity {
		return 2
	}
	return 3
}

// torn is a Target whose connection tears after one of its writes was done.
type torn struct {
	directory.Target
	after int // writes that are answered; then one that is not
}

var errTorn = errors.New("torn")

func (x *torn) write(err error) error {
	if x.after--; x.after == -1 {
		return errors.Join(err, errTorn)
	}
	return err
}

func (x *torn) SaveStaff(ctx context.Context, drafts []kingdee.StaffDraft) ([]kingdee.RowResult, error) {
	results, err := x.Target.SaveStaff(ctx, drafts)
	return results, x.write(err)
}

func (x *torn) SavePosts(ctx context.Context, drafts []kingdee.PostDraft) ([]kingdee.RowResult, error) {
	results, err := x.Target.SavePosts(ctx, drafts)
	return results, x.write(err)
}

func (x *torn) Operate(ctx context.Context, form string, op kingdee.Operation, ids ...string) ([]kingdee.RowResult, error) {
	results, err := x.Target.Operate(ctx, form, op, ids...)
	return results, x.write(err)
}

// TestPlacingIsTakenUp proves R46 between the steps of a move by records: whatever
// was ended and not yet replaced when a connection tore is found and made good,
// and nobody has two main posts.
func TestPlacingIsTakenUp(t *testing.T) {
	for step, torn := 0, (*torn)(nil); torn == nil || torn.after < 0; step++ {
		torn = r46(t, step)
		if step > 20 {
			t.Fatal("a move has no end")
		}
		t.Logf("step %d: torn %v", step, torn.after < 0)
	}
}

// r46 moves somebody over a connection that tears after so many writes, and lets
// a run make it good.
func r46(t *testing.T, step int) *torn {
	between := &torn{after: 1000}
	r := start(t, []dingtalksim.Person{person("z1", "张三", 10)}, func(c *directory.Config) {
		between.Target = c.Target
		c.Rules.Posts, c.Target = directory.PostsNewStaff, between
	})
	r.run(directory.Order{})
	r.amend("z1", func(p *dingtalksim.Person) { p.Departments = []int64{21} })
	between.after = step
	_, err := r.Run(t.Context(), directory.Order{By: cli}, nil)
	if tore := between.after < 0; tore != errors.Is(err, errTorn) {
		t.Fatalf("step %d: %v", step, err)
	}
	r.run(directory.Order{})
	if main := r.main("z1"); main.Department != "D21" || r.listed("z1").Department != "D21" {
		t.Errorf("step %d: %+v", step, main)
	}
	inUse := slices.DeleteFunc(r.posts("z1"), func(p kingdee.PostRecord) bool { return p.Forbidden })
	if len(inUse) != 1 {
		t.Errorf("step %d: in use %+v", step, inUse)
	}
	return between
}
