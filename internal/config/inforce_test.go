package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kdgate/identity"
)

// fill puts something into every field, and a mark into whatever may be secret.
func fill(value reflect.Value, mark string) {
	if value.Type() == reflect.TypeFor[identity.Secret]() {
		value.Set(reflect.ValueOf(identity.NewSecret(mark)))
		return
	}
	switch value.Kind() {
	case reflect.Struct:
		for i := range value.NumField() {
			if value.Field(i).CanSet() {
				fill(value.Field(i), mark)
			}
		}
	case reflect.Slice:
		value.Set(reflect.MakeSlice(value.Type(), 2, 2))
		for i := range value.Len() {
			if value.Index(i).Kind() != reflect.Interface {
				fill(value.Index(i), mark)
			}
		}
	case reflect.String:
		value.SetString("https://user:" + mark + "@host.example.com/path?access_token=" + mark)
	case reflect.Int, reflect.Int64:
		value.SetInt(7)
	case reflect.Float64:
		value.SetFloat(0.7)
	case reflect.Bool:
		value.SetBool(true)
	}
}

// T122, F31: of every key the value is shown, and of no secret anything, wherever
// in the configuration it stands.
func TestInForceShowsNoSecret(t *testing.T) {
	const mark = "S3CRET-MARK"
	var cfg Config
	fill(reflect.ValueOf(&cfg).Elem(), mark)
	cfg.Audit.Anchor.Webhook = "https://hook.example.com/services/" + mark
	cfg.Audit.Webhook.URL = "https://hook.example.com/" + mark
	values := cfg.InForce()
	for _, one := range values {
		if strings.Contains(fmt.Sprint(one), mark) {
			t.Errorf("%s shows a secret: %+v", one.Name, one)
		}
	}
	shown := map[string]bool{}
	for _, one := range values {
		shown[withoutIndices(one.Name)] = true
		if kind := kindOf(one.Name); kind == "secret" && (!one.Secret || one.Text != "") {
			t.Errorf("%s: %+v", one.Name, one)
		}
	}
	for _, key := range Reference() {
		if !shown[key.Name] {
			t.Errorf("%s is not shown", key.Name)
		}
	}
}

func kindOf(name string) string {
	keys := Reference()
	at := slices.IndexFunc(keys, func(k Key) bool { return k.Name == withoutIndices(name) })
	return keys[at].Kind
}

// F31: what the file says stands there as one would write it, beside the default.
func TestInForceSaysWhatIsOwn(t *testing.T) {
	cfg, err := load(t, install(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Sessions.Idle, cfg.Audit.Retain, cfg.Sessions.Absolute = 45*time.Minute, 400*24*time.Hour, 8*time.Hour
	cfg.Console.BreakGlass = false
	values := map[string]Value{}
	for _, one := range cfg.InForce() {
		values[one.Name] = one
	}
	for name, want := range map[string]Value{
		"sessions.idle":       {Text: "45m", Default: "30m", Own: true},
		"sessions.absolute":   {Text: "8h", Default: "8h"},
		"audit.retain":        {Text: "400d", Default: "184d", Own: true},
		"console.break_glass": {Text: "false", Default: "true", Own: true},
		"store.cluster":       {Text: "false"},
		"corps[0].app_secret": {Secret: true, Own: true},
		"mapping.privileged_users": {
			Text: "Administrator", Default: "Administrator",
		},
	} {
		got := values[name]
		got.Name, got.Doc = "", ""
		if got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}
