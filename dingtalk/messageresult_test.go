package dingtalk

import (
	"testing"

	"kdgate/internal/strictjson"
)

// FuzzSendResult: whatever a result holds, nobody is both given and refused.
func FuzzSendResult(f *testing.F) {
	f.Add(`{"unread_user_id_list":["a"],"forbidden_list":[{"code":"143106","count":1,"userid":"a"}]}`)
	f.Add(`{"invalid_user_id_list":"[\"a\"]","forbidden_list":{"code":1,"userid":"b"}}`)
	f.Add(`{"failed_user_id_list":["a"],"read_user_id_list":["b"]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var record sendResultRecord
		if strictjson.Decode([]byte(text), &record) != nil {
			return
		}
		r := record.read()
		for userid := range r.Got {
			if code, both := r.Dropped[userid]; both {
				t.Errorf("%q was given it and refused with %d", userid, code)
			}
		}
		for userid, code := range r.Dropped {
			if code.String() == "" {
				t.Errorf("%q: no words for %d", userid, code)
			}
		}
	})
}
