package app

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kdgate/internal/config"
	"kdgate/kingdee"
	"kdgate/kingdee/kingdeesim"
	"kdgate/web"
)

// byProgram are the fields of the vendors' clients that no configuration sets.
// DingTalk without TLS is for loopback only (T121).
var byProgram = []string{
	"dingtalk.AllowPlainHTTP", "dingtalk.Peer", "dingtalk.Egress", "dingtalk.Now", "dingtalk.Logger", "dingtalk.Observer", "dingtalk.Budget",
	"dingtalk.Limits.Counter", "dingtalk.Limits.QueueWait",
	"kingdee.Claim", "kingdee.Lane", "kingdee.Since", "kingdee.Peer", "kingdee.Now", "kingdee.Logger", "kingdee.Observer",
}

// otherwise is a configuration in which every fact of the vendors' wire differs
// from its default.
const otherwise = `
public_url: https://gate.example.com
listen: {address: "localhost:0"}
ops: {address: "127.0.0.1:0"}
store: {driver: sqlite, path: data/kdgate.db}
corps:
  - id: dingcorp2
    app_key: dingapp2
    app_secret_file: other.secret
    agent_id: 2002
    events: callback
    callback: {token_file: other.secret, aes_key_file: aes.key, max_age: 10m, reply_within: 500ms, senders: [127.0.0.0/8]}
    endpoints: {oapi: "https://oapi.dingtalk.io", api: "https://api.dingtalk.io", login: "https://login.dingtalk.io"}
    token_call: gettoken
    approval_times: utc
    quota:
      {qps: 10, directory_per_minute: 50, month: 9, reserve_login: 0.25, events_month: 8, free: [authscopes], counted: [userget], per_api: [{api: get_user, qps: 3}],
       throttle: {wait: 2s, tries: 3}}
    wire: {scope: openid, jsapi_digest: sha1, invalid_token: ["40014"], members_page: 50}
data_centres:
  - id: other
    url: "http://erp.example.com/K3Cloud/"
    insecure: true
    db_id: 99cd78fbc6aa78
    app_id: 231785_Other
    app_secret_file: other.secret
    integration_user: api
    lcid: 1033
    link:
      {version: 3, hash: sha1, permitcount: "0", window: 5m, entry: light, mobile_entry: true, characters: gbk, udencoding: false,
       mobile_hash: sha256, pages: {html5: HTML5/Index.aspx, light: HTML5/LightStartApp.aspx, mobile: Mobile/K3CloudForPhone.html},
       extra: [{name: loginthen, is_null: true}, {name: formargs, value: "a"}]}
    users: {route: user, listed: [a], staff_form: A, staff_number_field: B, staff_person_field: C, post_form: D, person_field: E, user_form: F, user_name_field: G, user_link_field: H}
    api: {auth: app_secret, hash: sha1, max_sessions: 3, session_idle: 10m, accept_result_minus5: true, page_size: 500, min_interval: 1ms, login_body: text, header_timestamp: s, org_number: "1"}
    logout: {notify_kingdee: false}
    forms: {organisation: "200", batch_rows: 10, modify_date: FChanged, bills: [{form: X}], keys: [%s]}
`

// TestEveryVendorFactIsASetting: whatever the vendors' clients let be chosen, the
// configuration can choose; what is uncertain on the wire is never a constant
// (reference, open questions).
func TestEveryVendorFactIsASetting(t *testing.T) {
	r := newRig(t)
	before := r.load()
	r.put("other.secret", "another-secret-0002")
	r.put("aes.key", strings.Repeat("b", 43))
	keys := make([]string, 0, len(config.FormKeys()))
	for _, name := range config.FormKeys() {
		keys = append(keys, fmt.Sprintf("{of: %s, key: F_%s}", name, strings.ReplaceAll(name, ".", "_")))
	}
	r.text = fmt.Sprintf(otherwise, strings.Join(keys, ", "))
	after := r.load()
	requireAllDiffer(t, "dingtalk", reflect.ValueOf(dingTalkSettings(before.Corps[0])), reflect.ValueOf(dingTalkSettings(after.Corps[0])))
	requireAllDiffer(t, "kingdee", reflect.ValueOf(kingdeeSettings(before.DataCentres[0])), reflect.ValueOf(kingdeeSettings(after.DataCentres[0])))
	set, err := callbackSet(after.Corps[0], r.now)
	must(t, err)
	if set.Window != after.Corps[0].Callback.MaxAge {
		t.Errorf("the callback's window: %s", set.Window)
	}
}

func requireAllDiffer(t *testing.T, name string, before, after reflect.Value) {
	t.Helper()
	switch {
	case slices.Contains(byProgram, name):
	case before.Kind() == reflect.Struct && before.NumField() > 0 && before.Type().Field(0).IsExported():
		for i := range before.NumField() {
			requireAllDiffer(t, name+"."+before.Type().Field(i).Name, before.Field(i), after.Field(i))
		}
	case reflect.DeepEqual(before.Interface(), after.Interface()):
		t.Errorf("%s cannot be set: %v in both", name, before)
	}
}

// TestVendorFactsReachTheWire: what the configuration says of Kingdee's wire is
// what Kingdee sees, and takes.
func TestVendorFactsReachTheWire(t *testing.T) {
	for form, want := range map[string]string{
		"array": `{"parameters":["61cd78fbc6aa78",`, "text": `{"parameters":"[\"61cd78fbc6aa78\",`, "named": `{"acctID":"61cd78fbc6aa78",`,
	} {
		t.Run(form, func(t *testing.T) {
			r := newRig(t)
			core := r.core(r.load("integration_user: kdgate}", "integration_user: kdgate, api: {login_body: "+form+
				`}, link: {pages: {html5: "HTML5/Index.aspx"}, extra: [{name: loginthen, is_null: true}]}}`))
			client := core.rooms.Load().vendors.kingdee["live"].api
			staff, err := client.StaffByNumber(t.Context(), "1001")
			must(t, err)
			if len(staff) != 1 {
				t.Errorf("%d staff records", len(staff))
			}
			link, err := client.MintLink("zhangsan", kingdee.Place{})
			must(t, err)
			must(t, client.Redeem(t.Context(), link))
			calls := r.king.Calls()
			if !slices.ContainsFunc(calls, func(c kingdeesim.Call) bool {
				return strings.HasSuffix(c.Route, "AuthService.LoginBySign.common.kdsvc") && strings.HasPrefix(c.Body, want)
			}) {
				t.Errorf("no login begins %s", want)
			}
			if !slices.ContainsFunc(calls, func(c kingdeesim.Call) bool {
				return c.Route == "GET /K3Cloud/HTML5/Index.aspx" && strings.Contains(payloadOf(t, c.Query), `"loginthen":null`)
			}) {
				t.Error("no link to the page that was named, with its field")
			}
		})
	}
}

func payloadOf(t *testing.T, query string) string {
	t.Helper()
	values, err := url.ParseQuery(query)
	must(t, err)
	text, err := base64.StdEncoding.DecodeString(values.Get("ud"))
	must(t, err)
	return string(text)
}

// TestEveryFormKeyHasAPlace: the configuration's names and the client's keys are
// the same set, so that no key of a record is a constant.
func TestEveryFormKeyHasAPlace(t *testing.T) {
	var forms kingdee.FormsConfig
	var users kingdee.UsersConfig
	places := formPlaces(&forms)
	maps.Copy(places, userPlaces(&users))
	for _, name := range config.FormKeys() {
		place := places[name]
		if place == nil {
			t.Errorf("%s has no place", name)
			continue
		}
		if *place != "" {
			t.Errorf("%s shares its place with %s", name, *place)
		}
		*place = name
	}
	for _, part := range []any{forms.Staff, forms.Department, forms.Position, forms.Post, forms.Stock, forms.Attachment} {
		value := reflect.ValueOf(part)
		for i := range value.NumField() {
			if value.Field(i).String() == "" {
				t.Errorf("%s.%s cannot be set", value.Type().Name(), value.Type().Field(i).Name)
			}
		}
	}
	_, set := kingdeeKeys(config.DataCentre{Forms: config.Forms{
		Keys: []config.FormKey{{Of: "staff.mobile", Key: "F_KD_Mobile"}}, Bills: []config.BillForm{{Form: "X", Remark: "FNote"}},
	}})
	if set.Staff.Mobile != "F_KD_Mobile" || set.Bills["X"].Remark != "FNote" || slices.Contains(config.FormKeys(), "") {
		t.Errorf("%+v", set)
	}
}

// TestFactsAreConfirmed: a check-up confirms what it showed to hold on this very
// server, and nothing that no call tells or that a wrong setting made fail.
func TestFactsAreConfirmed(t *testing.T) {
	r := newRig(t)
	facts := func(replace ...string) map[string]bool {
		core := r.core(r.load(replace...))
		result := core.doctor().Run(t.Context(), "", nil)
		must(t, core.Close())
		confirmed := map[string]bool{}
		for _, fact := range result.Facts {
			confirmed[fact.Key] = fact.Confirmed
		}
		return confirmed
	}
	right := facts()
	for key, want := range map[string]bool{
		"token_call": true, "endpoints.oapi": true, "wire.jsapi_digest": false, "quota.month": false,
		"api.auth": true, "api.login_body": true, "users.user_link_field": true, "users.person_field": true, "link.version": false,
	} {
		if got, there := right[key]; !there || got != want {
			t.Errorf("%s: there %v, confirmed %v", key, there, got)
		}
	}
	wrong := facts("integration_user: kdgate}", "integration_user: kdgate, users: {user_link_field: FNoSuchField}}")
	if wrong["users.user_link_field"] || !wrong["users.person_field"] {
		t.Errorf("with a wrong key: %v", wrong)
	}
}

// figures are what a description says alike in every language: sizes, versions, and
// names that are written into the file or stand on the vendors' screens.
var figures = regexp.MustCompile(`\w*[\d_]\w*|\b[A-Z]{2,}\b`)

// TestEverySettingIsDescribed proves F31, F34: every key of the configuration says in
// both Chinese scripts what it is, with the figures and names of the English text, and
// no text is left of a key that is gone.
func TestEverySettingIsDescribed(t *testing.T) {
	pages, err := web.New()
	must(t, err)
	keys := config.Reference()
	simplified, traditional := pages.Catalogue().In("zh-Hans"), pages.Catalogue().In("zh-Hant")
	for _, words := range []web.Words{simplified, traditional} {
		for _, key := range keys {
			text, ok := words.Setting(key.Name)
			if !ok || strings.TrimSpace(text) == "" || text == key.Doc {
				t.Errorf("%s lacks %s: %q", words.Lang, key.Name, key.Doc)
				continue
			}
			for _, figure := range figures.FindAllString(key.Doc, -1) {
				if !strings.Contains(text, figure) {
					t.Errorf("%s: %s does not name %s: %q", words.Lang, key.Name, figure, text)
				}
			}
		}
		if left := slices.DeleteFunc(described(t, words.Lang), func(name string) bool {
			return slices.ContainsFunc(keys, func(key config.Key) bool { return key.Name == name })
		}); len(left) > 0 {
			t.Errorf("%s describes what is no key: %v", words.Lang, left)
		}
	}
}

// described are the keys that a language's file is about.
func described(t *testing.T, lang string) []string {
	t.Helper()
	data, err := os.ReadFile("../../web/words/settings/" + lang + ".json")
	must(t, err)
	var sections map[string]map[string]string
	must(t, json.Unmarshal(data, &sections))
	var names []string
	for section, keys := range sections {
		for key := range keys {
			names = append(names, strings.TrimPrefix(section+"."+key, "."))
		}
	}
	return names
}
