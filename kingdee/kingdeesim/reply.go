package kingdeesim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// MsgCode values of the vendor's manual that the simulator answers with.
const (
	codeLost        = 1
	codeNoRight     = 2
	codeNoOperation = 3
	codeException   = 4
	codeNoForm      = 5
	codeDatabase    = 6
	codeBadArgument = 8
	codeNoField     = 9
	codeNoData      = 10
	codeInoperable  = 12
	codeQuota       = 14
)

// opError is a failed operation: HTTP 200 with an envelope that says so (K4).
type opError struct {
	code   int
	text   string
	errors []entryError // instead of the one text, when several records failed
	done   []entity     // records that succeeded beside them
	width  int          // how many fields a query asked for (K60)
}

func (e *opError) Error() string { return fmt.Sprintf("MsgCode %d: %s", e.code, e.text) }

func failed(code int, format string, args ...any) *opError {
	return &opError{code: code, text: fmt.Sprintf(format, args...)}
}

type entryError struct {
	FieldName any
	Message   string
	DIndex    int
}

type entity struct {
	ID     any `json:"Id"`
	Number string
	DIndex int
}

// responseStatus has the vendor's members in the vendor's order (K36).
type responseStatus struct {
	ErrorCode       any `json:",omitempty"` // only on errors
	IsSuccess       any
	Errors          []entryError
	SuccessEntitys  []entity
	SuccessMessages []any
	MsgCode         any
}

type statusResult struct {
	ResponseStatus responseStatus
}

type envelope struct {
	Result any
}

// errorEnvelope is {"Result":{"ResponseStatus":…}} for a failure.
func (s *Server) errorEnvelope(e *opError) envelope {
	list := e.errors
	if list == nil {
		list = []entryError{{FieldName: nil, Message: e.text}}
	}
	done := e.done
	if done == nil {
		done = []entity{}
	}
	status := responseStatus{ErrorCode: 500, IsSuccess: false, Errors: list, SuccessEntitys: done, SuccessMessages: []any{}, MsgCode: e.code}
	return envelope{statusResult{s.codes(status)}}
}

func (s *Server) goodStatus(done ...entity) responseStatus {
	if done == nil {
		done = []entity{}
	}
	return s.codes(responseStatus{IsSuccess: true, Errors: []entryError{}, SuccessEntitys: done, SuccessMessages: []any{}, MsgCode: 0})
}

// codes writes flags and codes as text when the switch says so (K62).
func (s *Server) codes(status responseStatus) responseStatus {
	if !s.Switches().TextCodes {
		return status
	}
	status.IsSuccess = fmt.Sprint(status.IsSuccess)
	status.MsgCode = fmt.Sprint(status.MsgCode)
	if status.ErrorCode != nil {
		status.ErrorCode = fmt.Sprint(status.ErrorCode)
	}
	return status
}

// idValue is a record id as number or text (K62).
func (s *Server) idValue(id int64) any {
	if s.Switches().TextIDs {
		return strconv.FormatInt(id, 10)
	}
	return id
}

// writeJSON answers with HTTP 200, UTF-8, no BOM (K8).
func (s *Server) writeJSON(w http.ResponseWriter, value any) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		http.Error(w, "cannot encode", http.StatusInternalServerError)
		return
	}
	out := bytes.TrimRight(buf.Bytes(), "\n")
	if s.Switches().EscapeUnicode {
		out = escapeUnicode(out)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	_, _ = w.Write(out) // the caller may have gone
}

func escapeUnicode(in []byte) []byte {
	out := make([]byte, 0, len(in))
	for len(in) > 0 {
		r, size := utf8.DecodeRune(in)
		if r < utf8.RuneSelf {
			out = append(out, in[0])
		} else {
			for _, unit := range utf16.Encode([]rune{r}) {
				out = fmt.Appendf(out, `\u%04x`, unit)
			}
		}
		in = in[size:]
	}
	return out
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the caller may have gone
}
