package dingtalksim

import (
	"encoding/json"
	"net/http"
)

// messageDoor are the operations of the control door about messages.
func (s *Server) messageDoor() map[string]controlFunc {
	return map[string]controlFunc{
		"GET /sim/messages":       s.getMessages,
		"DELETE /sim/messages":    s.deleteMessages,
		"POST /sim/messages/read": s.postRead,
		"GET /sim/robots":         s.getRobots,
		"POST /sim/robots":        s.postRobot,
	}
}

func (s *Server) getMessages(r *http.Request, _ []byte) (int, any, error) {
	return http.StatusOK, s.Messages(r.URL.Query().Get("userid")), nil
}

func (s *Server) deleteMessages(*http.Request, []byte) (int, any, error) {
	s.ForgetMessages()
	return http.StatusNoContent, nil, nil
}

// postRead has a person read everything: {"userid": …, "corp": …}.
func (s *Server) postRead(_ *http.Request, body []byte) (int, any, error) {
	var in struct {
		Corp   string `json:"corp"`
		UserID string `json:"userid"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return 0, nil, err
	}
	c, _, err := s.place(in.UserID, in.Corp, "")
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]int{"read": s.readAll(c.id, in.UserID)}, nil
}

func (s *Server) getRobots(*http.Request, []byte) (int, any, error) {
	return http.StatusOK, s.Robots(), nil
}

// postRobot adds a robot; the answer is the list.
func (s *Server) postRobot(r *http.Request, body []byte) (int, any, error) {
	var in Robot
	if err := json.Unmarshal(body, &in); err != nil {
		return 0, nil, err
	}
	if err := s.AddRobot(in); err != nil {
		return 0, nil, err
	}
	_, list, err := s.getRobots(r, nil)
	return http.StatusCreated, list, err
}
