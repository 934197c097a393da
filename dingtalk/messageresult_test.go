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

// TestThirdPartyDrops: the codes of third-party applications mean the same, so that
// what passes by itself and what came already is known under either number
// (reference 8.1).
func TestThirdPartyDrops(t *testing.T) {
	b := newBench(t)
	b.fake.on("/topapi/message/corpconversation/getsendresult", 200, `{"errcode":0,"send_result":{"forbidden_list":[
		{"code":143203,"count":1,"userid":"minute"},{"code":"143204","count":1,"userid":"org"},{"code":143205,"count":1,"userid":"day"},{"code":143206,"count":1,"userid":"same"},{"code":143207,"count":1,"userid":"other"}]}}`)
	got, err := b.SendResult(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	for who, want := range map[string]DropCode{"minute": DropAppMinute, "org": DropOrgMinute, "day": DropDayLimit, "same": DropSame, "other": 143207} {
		if got.Dropped[who] != want {
			t.Errorf("%s: %d, want %d", who, got.Dropped[who], want)
		}
	}
}
