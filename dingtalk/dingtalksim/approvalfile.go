package dingtalksim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	pathFileURL  = "/v1.0/workflow/processInstances/spaces/files/urls/download"
	pathYundisk  = "/yundisk0/"     // where addresses of files lead
	fileURLLives = 15 * time.Minute // of such an address
	fileSecret   = "yundisk"
	typeFiles    = "DDAttachment"
)

// FormFile is a file in a form, or at a comment.
type FormFile struct {
	ID      string `json:"id"` // given out when empty
	Name    string `json:"name"`
	Content []byte `json:"content"` // Base64 in JSON

	comment bool
}

// fileValue is what a component of files holds (reference 7.3).
type fileValue struct {
	Space string `json:"spaceId"`
	Name  string `json:"fileName"`
	Size  int    `json:"fileSize"`
	Type  string `json:"fileType"`
	ID    string `json:"fileId"`
}

func fileValues(files []FormFile) []fileValue {
	list := []fileValue{}
	for _, f := range files {
		kind := ""
		if at := strings.LastIndexByte(f.Name, '.'); at >= 0 {
			kind = f.Name[at+1:]
		}
		list = append(list, fileValue{"3996960664", f.Name, len(f.Content), kind, f.ID})
	}
	return list
}

// takeFiles gives the files of a form their ids and their components their
// values, and returns all of them.
func (s *Server) takeFiles(form []FormValue) []FormFile {
	var all []FormFile
	for i := range form {
		f := &form[i]
		for j := range f.Files {
			if f.Files[j].ID == "" {
				f.Files[j].ID = fmt.Sprint(26748000000 + s.serial.Add(1))
			}
		}
		if len(f.Files) > 0 {
			f.Value = fileValues(f.Files)
			all = append(all, f.Files...)
		}
		for j := range f.Rows {
			all = append(all, s.takeFiles(f.Rows[j])...)
		}
	}
	return all
}

// CommentWithFiles puts a comment with files on an approval, as people do.
func (s *Server) CommentWithFiles(id, userid, text string, files ...FormFile) error {
	s.approvals.mu.Lock()
	defer s.approvals.mu.Unlock()
	in := s.approvals.byID[id]
	if in == nil {
		return fmt.Errorf("dingtalksim: instance %q: %w", id, ErrNotFound)
	}
	for i := range files {
		files[i].ID, files[i].comment = fmt.Sprint(26748000000+s.serial.Add(1)), true
	}
	in.files = append(in.files, files...)
	in.Comments = append(in.Comments, Comment{Instance: id, UserID: userid, Text: text, At: s.clock.now()})
	in.records = append(in.records, operationRecord{
		UserID: userid, Type: "ADD_REMARK", Result: "NONE", Remark: text, Attachments: fileValues(files), at: s.clock.now(),
	})
	return nil
}

// fileURL is spaces/files/urls/download (SIM-D98): refused as "user does not
// exist" when the originator has left, and for a comment's file without its flag.
// An empty file has no address. The address is plain HTTP, names the file
// otherwise and lives for a quarter of an hour.
func (c *call) fileURL() answer {
	refuse := func(code, text string) answer { return c.fail(http.StatusBadRequest, code, text) }
	id, file := c.params.text("processInstanceId"), c.params.text("fileId")
	if id == "" || file == "" {
		return refuse("invalidParameter", "参数不合法")
	}
	in, ok := c.instance(id)
	if !ok {
		return refuse("aflowProcessInstNotExist", "审批实例不存在")
	}
	if c.app.corp.dir.employee(in.Originator) == nil {
		return refuse("userNotExist", "用户不存在")
	}
	at := slices.IndexFunc(in.files, func(f FormFile) bool { return f.ID == file })
	switch {
	case at >= 0 && in.files[at].comment && !c.params.boolean("withCommentAttatchment"):
		return refuse("userNotExist", "用户不存在")
	case at < 0 || len(in.files[at].Content) == 0:
		return refuse("invalidParameter", "文件不存在")
	}
	path := pathYundisk + id + "/" + url.PathEscape(file) + ".file"
	expires := strconv.FormatInt(c.started.Add(fileURLLives).Unix(), 10)
	query := url.Values{"Expires": {expires}, "OSSAccessKeyId": {"LTAIsim"}, "Signature": {fileSignature(path, expires)}}
	return c.succeeded(struct {
		Space int64  `json:"spaceId"`
		ID    string `json:"fileId"`
		URI   string `json:"downloadUri"`
	}{3996960664, file, "http://" + c.r.Host + path + "?" + query.Encode()})
}

func fileSignature(path, expires string) string {
	mac := hmac.New(sha256.New, []byte(fileSecret))
	mac.Write([]byte(path + "\n" + expires))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// yundisk answers the address of a file, to whoever has it.
func (c *call) yundisk() answer {
	query := c.r.URL.Query()
	expires := query.Get("Expires")
	until, err := strconv.ParseInt(expires, 10, 64)
	refused := func(code, text string) answer {
		return answer{
			status: http.StatusForbidden, code: code, ctype: "application/xml",
			body: []byte("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>\n  <Code>" + code + "</Code>\n  <Message>" + text + "</Message>\n</Error>\n"),
		}
	}
	path := c.r.URL.EscapedPath()
	switch {
	case err != nil || !hmac.Equal([]byte(query.Get("Signature")), []byte(fileSignature(path, expires))):
		return refused("SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
	case c.started.Unix() > until:
		return refused("AccessDenied", "Request has expired.")
	}
	id, name, _ := strings.Cut(strings.TrimPrefix(c.r.URL.Path, pathYundisk), "/")
	c.s.approvals.mu.Lock()
	defer c.s.approvals.mu.Unlock()
	if in := c.s.approvals.byID[id]; in != nil {
		for _, f := range in.files {
			if f.ID+".file" == name {
				return answer{status: http.StatusOK, ctype: "application/octet-stream", body: slices.Clone(f.Content)}
			}
		}
	}
	return refused("NoSuchKey", "The specified key does not exist.")
}
