package kingdeesim

import (
	"encoding/base64"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"kdgate/kingdee/kingdeesim/internal/filter"
	"kdgate/kingdee/kingdeesim/internal/loose"
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
	Alias  string `json:"alias"`
	Size   int    `json:"size"`
	Done   bool   `json:"done"` // the last part has come: it stands at the record
	id     int64
	made   time.Time
	data   []byte
}

// Content is what was uploaded, for comparison.
func (a Attachment) Content() []byte { return slices.Clone(a.data) }

// formAttachment is the form of the files that stand at records. It is in no
// manual; public clients query it by these keys, one has met only MsgCode 6
// (AttachmentsHidden).
const formAttachment = "BOS_Attachment"

func attachments() *form {
	at := func(c *centre, i int) *Attachment { return c.filed[i] }
	text := func(of func(*Attachment) string) column {
		return func(c *centre, i int) any { return textOrNull(of(at(c, i))) }
	}
	return &form{
		id: formAttachment, key: "fid",
		rows: func(c *centre) int { return len(c.filed) },
		columns: map[string]column{
			"fid":             func(c *centre, i int) any { return at(c, i).id },
			"fbilltype":       text(func(a *Attachment) string { return a.Form }),
			"finterid":        text(func(a *Attachment) string { return a.Record }),
			"fbillno":         text(func(a *Attachment) string { return a.Number }),
			"fattachmentname": text(func(a *Attachment) string { return a.Name }),
			"faliasfilename":  text(func(a *Attachment) string { return a.Alias }),
			"ffileid":         text(func(a *Attachment) string { return a.FileID }),
			"fextname":        text(func(a *Attachment) string { return path.Ext(a.Name) }),
			"fattachmentsize": func(c *centre, i int) any {
				return filter.Number(strconv.FormatFloat(float64(at(c, i).Size)/1024, 'f', 2, 64))
			},
			"fmodifytime": func(c *centre, i int) any { return moment(at(c, i).made) },
		},
		card: func(c *centre, i int) card { return card{id: at(c, i).id, name: at(c, i).Name} },
	}
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
	if bad := attachable(data, shown); bad != nil {
		return nil, bad
	}
	a, bad := c.attachment(data.Text("FileId"))
	if bad != nil {
		return nil, bad
	}
	record := strconv.FormatInt(shown.id, 10)
	if a == nil {
		a = &Attachment{
			FileID: strings.ReplaceAll(uuid.NewString(), "-", ""), Name: data.Text("FileName"), Alias: data.Text("AliasFileName"), Form: f.id,
			Record: record, Number: shown.number, id: c.centre.tables.next(),
		}
		c.centre.files = append(c.centre.files, a)
	} else if a.Form != f.id || a.Record != record {
		return nil, failed(codeBadArgument, "附件“%s”不属于该单据", a.FileID)
	}
	a.data = append(a.data, part...)
	a.Size, a.Done = len(a.data), flagOf(data, "IsLast", false)
	if a.Done {
		a.made = c.centre.now()
		c.centre.filed = append(c.centre.filed, a)
	}
	return envelope{struct {
		ResponseStatus responseStatus
		FileId         string //nolint:revive // the vendor's spelling
		Message        string
	}{c.server.goodStatus(), a.FileID, ""}}, nil
}

// attachable refuses a part without a file name, one that names another
// record's number, and one for a row without its entry.
func attachable(data loose.Object, at card) *opError {
	switch {
	case data.Text("FileName") == "":
		return failed(codeBadArgument, "data 数据包中的参数 FileName 的值不能为空")
	case data.Text("BillNO") != "" && data.Text("BillNO") != at.number:
		return failed(codeBadArgument, "data 数据包中的参数 BillNO 的值不正确")
	}
	if row := data.Text("EntryinterId"); row != "" && row != "-1" && data.Text("Entrykey") == "" {
		return failed(codeBadArgument, "data 数据包中的参数 Entrykey 的值不能为空")
	}
	return nil
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
