package dingtalk

import (
	"context"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"kdgate/identity"
	"kdgate/internal/strictjson"
)

// opFileURL also grants the application the file. The vendor wants the right to
// write for it.
var opFileURL = operation{
	name: "fileurl", host: newHost, path: "/v1.0/workflow/processInstances/spaces/files/urls/download", quota: true, class: ClassApproval,
}

// File is a file that somebody put into a form.
type File struct {
	ID   string
	Name string // as people see it; the address names it otherwise
	Type string // extension without its point, as DingTalk tells it
	Size int64  // bytes, as DingTalk tells them
}

// mostFileID bounds a file's id.
const mostFileID = 128

// Files reads a DDAttachment: ids are text, sizes numbers (reference 7.3), and
// either may be the other.
func (f FormField) Files() ([]File, error) {
	if f.Value == "" {
		return nil, nil
	}
	var list []struct {
		ID   jsontext.Value `json:"fileId"`
		Name string         `json:"fileName"`
		Type string         `json:"fileType"`
		Size jsontext.Value `json:"fileSize"`
	}
	if err := strictjson.Decode([]byte(f.Value), &list); err != nil {
		return nil, fmt.Errorf("%w: files %s", ErrForm, clean(f.ID))
	}
	files := make([]File, 0, len(list))
	for _, one := range list {
		file := File{ID: text(one.ID), Name: one.Name, Type: one.Type}
		size, err := strconv.ParseInt(text(one.Size), 10, 64)
		if err != nil && len(one.Size) > 0 || size < 0 || file.ID == "" || len(file.ID) > mostFileID || clean(file.ID) != file.ID {
			return nil, fmt.Errorf("%w: files %s", ErrForm, clean(f.ID))
		}
		file.Size = size
		files = append(files, file)
	}
	return files, nil
}

// FileURL asks for the address of a file of an approval. The address is a
// credential: whoever has it has the file, for 15 minutes. Kind Forbidden or
// NotFound: DingTalk does not give it out, as for an originator who has left. It
// costs monthly quota.
func (c *Client) FileURL(ctx context.Context, instance, file string) (identity.Secret, error) {
	if !ValidInstance(instance) || file == "" || len(file) > mostFileID {
		return identity.Secret{}, identity.Fail(identity.Invalid, identity.CodeBadRequest, "dingtalk: a file needs an instance and an id")
	}
	var out workflow[struct {
		URI string `json:"downloadUri"`
	}]
	if err := c.ask(ctx, opFileURL, map[string]any{"processInstanceId": instance, "fileId": file}, &out); err != nil {
		return identity.Secret{}, err
	}
	if !out.ok() || out.Result.URI == "" {
		return identity.Secret{}, c.nonsense(opFileURL, "downloadUri")
	}
	return identity.NewSecret(out.Result.URI), nil
}
