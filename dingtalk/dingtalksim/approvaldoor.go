package dingtalksim

import (
	"encoding/json"
	"net/http"
)

// approvalDoor are the operations of the control door about approvals.
func (s *Server) approvalDoor() map[string]controlFunc {
	return map[string]controlFunc{
		"GET /sim/approvals":              s.getApprovals,
		"POST /sim/approvals":             s.postApproval,
		"POST /sim/approvals/{id}/finish": s.postFinish,
		"DELETE /sim/approvals/{id}":      s.deleteApproval,
		"GET /sim/comments":               s.getComments,
	}
}

func (s *Server) getApprovals(*http.Request, []byte) (int, any, error) {
	return http.StatusOK, s.Approvals(), nil
}

// postApproval starts an instance, and with "finish" (agree, refuse, terminate)
// ends it in the same call.
func (s *Server) postApproval(_ *http.Request, body []byte) (int, any, error) {
	order, finish, err := s.readApproval(body)
	if err != nil {
		return 0, nil, err
	}
	made, err := s.StartApproval(order)
	if err == nil && finish != "" {
		made, err = s.FinishApproval(made.ID, finish)
	}
	return http.StatusCreated, made, err
}

func (s *Server) deleteApproval(r *http.Request, _ []byte) (int, any, error) {
	return http.StatusNoContent, nil, s.DeleteApproval(r.PathValue("id"))
}

func (s *Server) postFinish(r *http.Request, body []byte) (int, any, error) {
	result, err := readResult(body)
	if err != nil {
		return 0, nil, err
	}
	ended, err := s.FinishApproval(r.PathValue("id"), result)
	return http.StatusOK, ended, err
}

// readResult is how an approval or a submission is to end; agreed to when the
// body says nothing.
func readResult(body []byte) (string, error) {
	in := struct {
		Result string `json:"result"`
	}{Result: resultAgree}
	if len(body) == 0 {
		return in.Result, nil
	}
	err := json.Unmarshal(body, &in)
	return in.Result, err
}

func (s *Server) getComments(r *http.Request, _ []byte) (int, any, error) {
	return http.StatusOK, s.Comments(r.URL.Query().Get("instance")), nil
}
