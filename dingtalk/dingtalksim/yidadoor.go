package dingtalksim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
)

// yidaDoor are the operations of the control door about Yida.
func (s *Server) yidaDoor() map[string]controlFunc {
	return map[string]controlFunc{
		"GET /sim/yida":              func(*http.Request, []byte) (int, any, error) { return http.StatusOK, s.Yida(), nil },
		"POST /sim/yida":             s.postYida,
		"POST /sim/yida/{id}/finish": s.postYidaFinish,
		"PATCH /sim/yida/{id}":       s.patchYida,
		"DELETE /sim/yida/{id}":      s.deleteYida,
	}
}

// postYida makes a submission, and with "finish" (agree, disagree, terminate)
// ends it in the same call. Without data it is the sample's, over "reason" and
// "amounts"; without an originator the first person's of the organisation.
func (s *Server) postYida(_ *http.Request, body []byte) (int, any, error) {
	in := struct {
		YidaOrder
		Data    json.RawMessage `json:"data"`
		Reason  string          `json:"reason"`
		Amounts []string        `json:"amounts"`
		Finish  string          `json:"finish"`
	}{Reason: "出差", Amounts: []string{"100.00"}}
	if len(bytes.TrimSpace(body)) > 0 {
		if err := json.Unmarshal(body, &in); err != nil {
			return 0, nil, fmt.Errorf("dingtalksim: %w: %w", ErrInvalid, err)
		}
	}
	order := in.YidaOrder
	form := SampleYidaForm
	if order.Plain {
		form = SampleYidaPlain
	}
	order.Form, order.Title = cmp.Or(order.Form, form), cmp.Or(order.Title, sampleTitle)
	order.Originator = cmp.Or(order.Originator, s.anybody(order.Corp))
	data, err := yidaData(in.Data)
	if err != nil {
		return 0, nil, err
	}
	if order.Data = data; data == nil {
		order.Data = SampleYidaData(order.Originator, order.Originator, in.Reason, in.Amounts...)
	}
	made, err := s.StartYida(order)
	if err == nil && in.Finish != "" {
		made, err = s.FinishYida(made.ID, in.Finish)
	}
	return http.StatusCreated, made, err
}

// yidaData reads the values of a form with the digits that they were written with.
func yidaData(raw json.RawMessage) (map[string]any, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	data, ok := anyOf(raw).(map[string]any)
	if !ok {
		return nil, fmt.Errorf("dingtalksim: %w: data: want an object of values by component id", ErrInvalid)
	}
	return data, nil
}

func (s *Server) postYidaFinish(r *http.Request, body []byte) (int, any, error) {
	result, err := readResult(body)
	if err != nil {
		return 0, nil, err
	}
	ended, err := s.FinishYida(r.PathValue("id"), result)
	return http.StatusOK, ended, err
}

// patchYida changes the values given; null takes one away.
func (s *Server) patchYida(r *http.Request, body []byte) (int, any, error) {
	data, err := yidaData(body)
	if err != nil {
		return 0, nil, err
	}
	changed, err := s.AmendYida(r.PathValue("id"), data)
	return http.StatusOK, changed, err
}

func (s *Server) deleteYida(r *http.Request, _ []byte) (int, any, error) {
	return http.StatusNoContent, nil, s.RemoveYida(r.PathValue("id"))
}
