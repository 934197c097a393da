package kingdeesim_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"kdgate/kingdee/kingdeesim"
)

// vector is one entry of testdata/kingdee.json, the file that belongs to the
// reference. Fields that a group does not have stay empty.
type vector struct {
	ID         string            `json:"id"`
	Group      string            `json:"group"`
	Inputs     json.RawMessage   `json:"inputs"`
	SignedData string            `json:"signeddata"`
	Expected   map[string]any    `json:"expected"`
	in         map[string]string // Inputs, where they are all text
}

func vectors(t *testing.T, group string) []vector {
	t.Helper()
	raw, err := os.ReadFile("testdata/kingdee.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []vector }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	var out []vector
	for _, v := range file.Vectors {
		if v.Group != group {
			continue
		}
		if err := json.Unmarshal(v.Inputs, &v.in); err != nil {
			v.in = nil // a group with lists among its inputs
		}
		out = append(out, v)
	}
	if len(out) == 0 {
		t.Fatalf("no vectors in group %q", group)
	}
	return out
}

// serverFor is a simulator that a vector's inputs fit: its data centre, row and
// user exist, its algorithm is the tenant's, and its clock is right.
func serverFor(t *testing.T, in map[string]string) *world {
	t.Helper()
	hash := "sha1"
	if in["version"] == "V4" {
		hash = "sha256"
	}
	seconds, err := strconv.ParseInt(in["timestamp"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if seconds > 1<<36 {
		seconds /= 1000 // K-SP-N6: the clock is right, the unit is not
	}
	dbid := in["dbid"] + in["acctid"] + in["acctID"]
	appID, secret := in["appid"]+in["appId"], in["appsecret"]+in["appSecret"]
	var tables kingdeesim.Tables
	tables.Hire(kingdeesim.Employee{Number: "1001", Name: "某人", Users: []kingdeesim.User{{Name: in["username"]}}})
	return start(t, kingdeesim.Config{
		DataCentres: []kingdeesim.DataCentre{{
			ID: dbid, Name: "正式账套", Hash: hash, Tables: tables,
			Rows: []kingdeesim.Row{{AppID: appID, Secret: secret, IntegrationUser: in["username"], Reusable: true}},
		}},
		Now: func() time.Time { return time.Unix(seconds+5, 0) },
	})
}

// TestLinkVectors proves SIM-K79, K80, K82, K83, K84 and K85 with every link of
// the vector file, in each form that it lists.
func TestLinkVectors(t *testing.T) {
	for _, v := range vectors(t, "simpas") {
		t.Run(v.ID, func(t *testing.T) {
			for name, link := range linksOf(t, v) {
				w := serverFor(t, v.in)
				landed := w.land(w.moved(link))
				if landed["login-user"] != v.in["username"] {
					t.Errorf("%s: landed as %q, want %q; log %+v", name, landed["login-user"], v.in["username"], w.sim.Log())
				}
				if want := v.in["formid"]; want != "" && (landed["form-id"] != want || landed["pk-id"] != v.in["pkid"]) {
					t.Errorf("%s: landed on %q %q", name, landed["form-id"], landed["pk-id"])
				}
			}
		})
	}
}

// linksOf lists every way a vector writes its link.
func linksOf(t *testing.T, v vector) map[string]string {
	t.Helper()
	out := map[string]string{"url": v.Expected["url"].(string)}
	base, _, _ := strings.Cut(out["url"], "?")
	if with, ok := v.Expected["url_with_udencoding"].(string); ok {
		out["url_with_udencoding"] = with
	}
	for _, key := range []string{"ud_query", "ud_raw_query", "ud_base64"} {
		if ud, ok := v.Expected[key].(string); ok {
			out[key] = base + "?ud=" + ud
		}
	}
	forms, _ := v.Expected["forms"].(map[string]any)
	for name, raw := range forms {
		form := raw.(map[string]any)
		packed := form["ud_base64"].(string)
		out[name+" raw Base64"] = base + "?ud=" + packed
		out[name+" percent-encoded"] = base + "?ud=" + url.QueryEscape(packed)
		out[name+" space for plus"] = base + "?ud=" + strings.ReplaceAll(packed, "+", "%20")
		out[name+" without padding"] = base + "?ud=" + url.QueryEscape(strings.TrimRight(packed, "="))
		out[name+" JSON in clear"] = base + "?ud=" + url.PathEscape(form["json"].(string))
	}
	return out
}

// TestMobileVector proves the mobile page of SIM-K79.
func TestMobileVector(t *testing.T) {
	for _, v := range vectors(t, "simpas-mobile") {
		w := serverFor(t, v.in)
		landed := w.land(w.moved(v.Expected["url"].(string)))
		if landed["login-user"] != v.in["username"] || landed["form-id"] != v.in["formid"] || landed["form-type"] != "mobileform" {
			t.Errorf("%s: landed on %v", v.ID, landed)
		}
	}
}

// TestDesktopVector proves that what a desktop link carries is a good ud. Its
// inputs are those of K-SP-06.
func TestDesktopVector(t *testing.T) {
	var in map[string]string
	for _, v := range vectors(t, "simpas") {
		if v.ID == "K-SP-06" {
			in = v.in
		}
	}
	for _, v := range vectors(t, "simpas-wpf") {
		w := serverFor(t, in)
		_, ud, _ := strings.Cut(v.Expected["url"].(string), "&ud=")
		if landed := w.land(w.url("/K3Cloud/html5/index.aspx?ud=" + ud)); landed["login-user"] != in["username"] {
			t.Errorf("%s: landed on %v", v.ID, landed)
		}
	}
}

// TestRefusedVectors proves the other half of SIM-K83 and K89: each wrong link
// is refused, for the reason the vector gives.
func TestRefusedVectors(t *testing.T) {
	for _, v := range vectors(t, "simpas-refuse") {
		t.Run(v.ID, func(t *testing.T) {
			w := serverFor(t, v.in)
			l := ticket{
				dbid: v.in["dbid"], user: v.in["username"], appID: v.in["appid"], timestamp: v.in["timestamp"],
				sign: v.SignedData, permit: v.in["permitcount"],
			}
			w.refused(w.url(l.path()))
			want, _, _ := strings.Cut(v.Expected["reason"].(string), " ")
			if got := w.lastReason(); !strings.HasPrefix(got, want) {
				t.Errorf("refused for %q, want %q", got, want)
			}
		})
	}
}

// TestLoginVectors proves SIM-K11, K15 and K16: the three body shapes, on a new
// and on an old tenant.
func TestLoginVectors(t *testing.T) {
	for _, v := range vectors(t, "login-by-sign") {
		for _, shape := range []string{"body_parameters_string", "body_parameters_array", "body_named"} {
			newer, older := v.Expected["sign_sha256"].(string), v.Expected["sign_sha1"].(string)
			body := v.Expected[shape].(string)
			v.in["version"] = "V4"
			if reply := serverFor(t, v.in).login(body); reply.LoginResultType != 1 {
				t.Errorf("%s %s: %+v", v.ID, shape, reply)
			}
			v.in["version"] = "V3"
			old := serverFor(t, v.in)
			if reply := old.login(body); reply.LoginResultType == 1 {
				t.Errorf("%s %s: an old tenant took SHA256", v.ID, shape)
			}
			if reply := old.login(strings.Replace(body, newer, older, 1)); reply.LoginResultType != 1 {
				t.Errorf("%s %s with SHA1: %+v", v.ID, shape, reply)
			}
		}
	}
}

// TestLogoutVectors proves SIM-K96: form field and JSON body, SHA256 and SHA1.
func TestLogoutVectors(t *testing.T) {
	const path = "/k3cloud/Kingdee.BOS.ServiceFacade.ServicesStub.User.UserService.LogoutByOtherSystem.common.kdsvc"
	for _, v := range vectors(t, "logout") {
		form := v.Expected["form_body"].(string)
		asText, _ := json.Marshal(map[string]string{"ap0": v.Expected["ap0"].(string)})
		asObject := `{"ap0":` + v.Expected["ap0"].(string) + `}`
		for _, body := range []string{form, string(asText), asObject} {
			w := serverFor(t, v.in)
			l := ticket{dbid: v.in["dbid"], user: v.in["username"], appID: v.in["appid"], secret: v.in["appsecret"], timestamp: v.in["timestamp"]}
			l.sign = l.signed(map[string]string{"V4": "sha256"}[v.in["version"]])
			w.land(w.url(l.path()))
			if n := len(w.sim.Sessions()); n != 1 {
				t.Fatalf("%s: %d sessions after landing", v.ID, n)
			}
			if got := w.post(path, body, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}); got.body != "true" {
				t.Errorf("%s: answer %q, log %+v", v.ID, got.body, w.sim.Log())
			}
			if n := len(w.sim.Sessions()); n != 0 {
				t.Errorf("%s: %d sessions are left", v.ID, n)
			}
		}
	}
}
