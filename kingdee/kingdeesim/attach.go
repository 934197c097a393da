package kingdeesim

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// attachmentPart is the most that one call may carry or answer (K74).
const attachmentPart = 4 << 20

// Attachment is a file at a record.
type Attachment struct {
	FileID string `json:"fileId"`
	Name   string `json:"name"`
	Form   string `json:"form"`
	Record string `json:"record"` // internal id
	Number string `json:"number"`
	Size   int    `json:"size"`
	Done   bool   `json:"done"` // the last part has come
	data   []byte
}

// uploadAttachment takes one part; the first one's answer holds the FileId that
// the others name (K74).
func uploadAttachment(c caller, args arguments) (any, *opError) {
	data, err := args.object(0, "data")
	if err != nil || data == nil {
		return nil, failed(codeBadArgument, "data 数据包格式不正确")
	}
	part, err := base64.StdEncoding.DecodeString(data.Text("SendByte"))
	if err != nil || len(part) > attachmentPart {
		return nil, failed(codeBadArgument, "data 数据包中的参数 SendByte 的值不正确")
	}
	c.centre.mu.Lock()
	defer c.centre.mu.Unlock()
	f, bad := c.writable(data.Text("FormId"))
	if bad != nil {
		return nil, bad
	}
	_, shown, ok := c.locate(f, wanted{id: data.Text("InterId")})
	if !ok {
		return nil, failed(codeNoData, "内码为“%s”的数据不存在，或者已被删除", data.Text("InterId"))
	}
	a, bad := c.attachment(data.Text("FileId"))
	if bad != nil {
		return nil, bad
	}
	if a == nil {
		a = &Attachment{
			FileID: strings.ReplaceAll(uuid.NewString(), "-", ""), Name: data.Text("FileName"), Form: f.id,
			Record: strconv.FormatInt(shown.id, 10), Number: shown.number,
		}
		c.centre.files = append(c.centre.files, a)
	}
	a.data = append(a.data, part...)
	a.Size, a.Done = len(a.data), flagOf(data, "IsLast", false)
	return envelope{struct {
		ResponseStatus responseStatus
		FileId         string //nolint:revive // the vendor's spelling
		Message        string
	}{c.server.goodStatus(), a.FileID, ""}}, nil
}

// attachment is the unfinished file a later part belongs to; nil for a first part.
func (c caller) attachment(id string) (*Attachment, *opError) {
	if id == "" {
		return nil, nil
	}
	for _, a := range c.centre.files {
		if a.FileID == id && !a.Done {
			return a, nil
		}
	}
	return nil, failed(codeNoData, "附件“%s”不存在，或者已经上传完成", id)
}

// downloadAttachment answers one part from StartIndex on.
func downloadAttachment(c caller, args arguments) (any, *opError) {
	data, err := args.object(0, "data")
	if err != nil || data == nil {
		return nil, failed(codeBadArgument, "data 数据包格式不正确")
	}
	c.centre.mu.RLock()
	defer c.centre.mu.RUnlock()
	start, _ := strconv.Atoi(orElse(data.Text("StartIndex"), "0"))
	for _, a := range c.centre.files {
		if a.FileID != data.Text("FileId") || start < 0 || start > len(a.data) {
			continue
		}
		end := min(start+attachmentPart, len(a.data))
		return envelope{struct {
			ResponseStatus responseStatus
			StartIndex     int
			IsLast         bool
			FileSize       int
			FileName       string
			FilePart       string
			Message        string
		}{c.server.goodStatus(), end, end == len(a.data), len(a.data), a.Name, base64.StdEncoding.EncodeToString(a.data[start:end]), ""}}, nil
	}
	return nil, failed(codeNoData, "附件“%s”不存在", data.Text("FileId"))
}
