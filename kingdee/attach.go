package kingdee

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"kdgate/identity"
)

// Attachment is a file to be put at a record.
type Attachment struct {
	Form     string
	RecordID string // internal id
	Number   string // of the bill
	Name     string // file name
	Alias    string // what FindAttachments tells files of one name apart by; Name when empty
}

// attachPart is how much of a file goes in one call: as Base64 it is 4 MiB, below
// the 5 MB that one source gives for a whole request.
const attachPart = 3 << 20

// attachData is the data of AttachmentUpLoad.
type attachData struct {
	FileName      string
	FormId        string //nolint:revive // the vendor's spelling
	IsLast        bool
	InterId       string //nolint:revive // the vendor's spelling
	Entrykey      string
	EntryinterId  string //nolint:revive // the vendor's spelling; −1 is the head
	BillNO        string
	AliasFileName string
	FileId        string //nolint:revive // the vendor's spelling
	SendByte      string
}

// Attach uploads a file to a record, part by part, and gives Kingdee's id of it.
// A part is never sent twice: after an error a piece of the file may stand at the
// record under an id that nobody finished, which Kingdee does not show. The
// reader's own error is returned as it is.
func (c *Client) Attach(ctx context.Context, a Attachment, content io.Reader) (string, error) {
	if err := checkKey(a.Form); err != nil {
		return "", err
	}
	a.Alias = orText(a.Alias, a.Name)
	if !cleanToken(a.RecordID) || !plainText(a.Name, 200) || !plainText(a.Alias, 200) {
		return "", identity.Fail(identity.Invalid, identity.CodeKingdeeSetup, "kingdee: an attachment needs a record id and a file name without control characters")
	}
	reader := bufio.NewReaderSize(content, 1)
	part := make([]byte, attachPart)
	for fileID := ""; ; {
		n, err := io.ReadFull(reader, part)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return "", fmt.Errorf("kingdee: attachment: %w", err)
		}
		_, ahead := reader.Peek(1)
		last := errors.Is(ahead, io.EOF)
		id, err := c.attachPart(ctx, a, fileID, part[:n], last)
		if err != nil {
			return "", err
		}
		if fileID = orText(fileID, id); last {
			return fileID, nil
		}
	}
}

// mostAttachments bounds what is read about one record.
const mostAttachments = 1000

// ErrNoList says that this server cannot be asked for the files at a record: its
// attachment form is configured as "none".
var ErrNoList = errors.New("kingdee: files at records are not listed here")

// Filed is a file that stands at a record.
type Filed struct{ Name, Alias string }

// FindAttachments lists the files that stand at a record. None is an empty
// result and means that Kingdee was asked; after any error nobody knows, and
// ErrNoList says that nobody will. A file
// of which the last part has not come is not among them.
func (c *Client) FindAttachments(ctx context.Context, form, recordID string) ([]Filed, error) {
	if !cleanToken(recordID) {
		return nil, refusedFilter("an internal id holds more than letters, digits, _ and -")
	}
	keys := c.cfg.Forms.Attachment
	if keys.Form == None {
		return nil, ErrNoList
	}
	rows, err := c.Query(ctx, Query{
		Form: keys.Form, Fields: []string{keys.ID, keys.Bill, keys.Record, keys.Name, keys.Alias},
		Filter: Where(Equals(keys.Bill, form), Equals(keys.Record, recordID)), Page: Page{Limit: mostAttachments},
	})
	if err != nil {
		return nil, err
	}
	if len(rows) >= mostAttachments { // the filter was not applied; none of it is believed
		fault := newFault(implausible, keys.Form, fmt.Sprintf("%d files and more at one record", len(rows)))
		c.alarm.raise(fault)
		return nil, fault.public()
	}
	var list []Filed
	for _, row := range rows {
		if strings.EqualFold(row[1], form) && row[2] == recordID {
			list = append(list, Filed{Name: row[3], Alias: row[4]})
		}
	}
	return list, nil
}

func (c *Client) attachPart(ctx context.Context, a Attachment, fileID string, part []byte, last bool) (string, error) {
	got, err := c.perform(ctx, "AttachmentUpLoad", envelopeC{where: a.Form, Data: attachData{
		FileName: a.Name, FormId: a.Form, IsLast: last, InterId: a.RecordID, EntryinterId: "-1", BillNO: a.Number,
		AliasFileName: a.Alias, FileId: fileID, SendByte: base64.StdEncoding.EncodeToString(part),
	}})
	if err != nil {
		return "", err
	}
	var result struct {
		FileId scalar //nolint:revive // the vendor's spelling
	}
	if jsonv2.Unmarshal(got.detail, &result) != nil || result.FileId == "" {
		fault := newFault(unexpected, a.Form, "an attachment without a FileId")
		fault.ambiguous = true
		return "", fault.public()
	}
	return string(result.FileId), nil
}
