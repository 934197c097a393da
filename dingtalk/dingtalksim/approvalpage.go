package dingtalksim

import (
	"net/http"
	"slices"
)

// pageApprovals is how many approvals the workbench shows.
const pageApprovals = 10

// errand is one approval on the workbench.
type errand struct {
	ID, Title, By string
	At            string
	Running       bool
	State         string // in the client's words, once it has ended
	Comments      []Comment
}

// errands are the newest approvals of an organisation.
func (s *Server) errands(c *corp) []errand {
	var list []errand
	for _, in := range slices.Backward(s.Approvals()) {
		if in.Corp != c.id || len(list) == pageApprovals {
			continue
		}
		e := errand{ID: in.ID, Title: in.Title, By: in.Originator, At: beijing(in.Created).Format("01-02 15:04"), Running: in.Status == approvalRunning, Comments: in.Comments}
		if p := c.dir.person(in.Originator); p != nil {
			e.By = p.Name
		}
		switch {
		case in.Status == approvalTerminated:
			e.State = "已撤销"
		case in.Result == resultAgree:
			e.State = "审批通过"
		case in.Result == resultRefuse:
			e.State = "已拒绝"
		}
		list = append(list, e)
	}
	return list
}

// hand starts the sample form in the name of whoever is signed in to the client.
func (s *Server) hand(w http.ResponseWriter, r *http.Request) {
	cl := s.client(r)
	if cl.person == nil {
		http.Error(w, "dingtalksim: nobody is signed in to the client", http.StatusForbidden)
		return
	}
	_, err := s.StartApproval(Approval{
		Corp: cl.corp.id, ProcessCode: SampleProcess, Title: cl.person.Name + "提交的" + sampleTitle, Originator: cl.person.UserID,
		Form: SampleForm("出差", "100.00"),
	})
	s.backToWorkbench(w, r, err)
}

// decide ends an approval as its approver does, by a button.
func (s *Server) decide(w http.ResponseWriter, r *http.Request) {
	_, err := s.FinishApproval(r.PathValue("id"), r.PostFormValue("result"))
	s.backToWorkbench(w, r, err)
}

func (s *Server) backToWorkbench(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	http.Redirect(w, r, "/workbench#approvals", http.StatusSeeOther)
}
