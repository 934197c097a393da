package archtest

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

const module = "kdgate"

// doors names the only packages that may import a library (one library, one door).
var doors = map[string][]string{
	"github.com/redis/go-redis/v9":        {"store/redisstore"},
	"modernc.org/sqlite":                  {"store/sqlitestore", "audit"},
	"github.com/gorilla/sessions":         {"identity/session"},
	"github.com/coder/websocket":          {"dingtalk"},
	"github.com/golang-jwt/jwt/v5":        {"identity/token"},
	"github.com/wneessen/go-mail":         {"jobs/notice"},
	"github.com/crewjam/saml":             {"identity/saml"},
	"github.com/spf13/viper":              {"internal/config"},
	"github.com/prometheus/client_golang": {"internal/metrics"},
	"github.com/spf13/cobra":              {"cmd/kdgate"},
	"go.yaml.in/yaml/v3":                  {"jobs/approval/rulebook", "internal/config"},
	"github.com/go-json-experiment/json":  nil, // everywhere
	"github.com/chromedp/chromedp":        {"never in production code"},
	"github.com/alicebob/miniredis/v2":    {"never in production code"},
	"golang.org/x/tools":                  {"never in production code"},
	"pgregory.net/rapid":                  {"store/storetest"},
	"math/rand":                           {"never (T129)"},
	"math/rand/v2":                        {"never (T129)"},
	"expvar":                              {"never (T61)"},
	"net/http/pprof":                      {"never (T61)"},
	"os/exec":                             {"store/storetest"},
}

// floors gives every room a height; an import may only point to a lower one,
// or to a package of its own room. cmd → app → admin → jobs → gateway, mapping
// → dingtalk, kingdee, audit, identity/* → identity, store.
var floors = []struct {
	prefix string
	height int
}{
	{"cmd/", 100},
	{"bench", 95},
	{"internal/e2e", 95},
	{"internal/setup", 92},
	{"internal/app", 90},
	{"internal/localapi", 85},
	{"internal/moving", 75},
	{"internal/checkup", 78},
	{"internal/metrics", 85},
	{"internal/config", 10},
	{"internal/strictjson", 10},
	{"internal/strictwire", 10},
	{"internal/turnstile", 10},
	{"internal/peer", 20},
	{"internal/archtest", 0},
	{"internal/lazyregexp", 0},
	{"internal/wholefile", 0},
	{"internal/randomid", 0},
	{"internal/sleep", 0},
	{"internal/filelock", 0},
	{"internal/loopback", 0},
	{"internal/handclock", 0},
	{"internal/lockedbuffer", 0},
	{"internal/logbook", 0},
	{"web/admin", 80},
	{"jobs/approval/rulebook", 73},
	{"jobs/approval/billbook", 73},
	{"jobs/", 72},
	{"jobs/schedule", 71},
	{"jobs", 70},
	{"jobs/lease", 66},
	{"gateway/proxy/direct", 10},
	{"gateway/proxy", 62},
	{"gateway", 60},
	{"mapping", 55},
	{"web", 50},
	{"dingtalk/dingtalksim", 5},
	{"kingdee/kingdeesim", 5},
	{"dingtalk", 40},
	{"kingdee", 40},
	{"audit/review", 57},
	{"audit/feed", 45},
	{"audit", 40},
	{"identity/", 40},
	{"store/", 30},
	{"store", 20},
	{"identity", 1},
}

// leaves import nothing of ours, but for what is named.
var leaves = map[string][]string{
	"identity":             {},
	"store":                {"store/internal"},
	"dingtalk/dingtalksim": {},
	"kingdee/kingdeesim":   {},
	"web":                  {"identity", "internal/strictjson"},
}

// testRooms serve tests, and each other: what ships imports none of them.
var testRooms = []string{"store/storetest", "internal/loopback", "internal/handclock", "internal/lockedbuffer"}

func TestImports(t *testing.T) {
	for _, pkg := range load(t) {
		room := strings.TrimPrefix(pkg.PkgPath, module+"/")
		for path := range pkg.Imports {
			checkDoor(t, room, path)
			if inner, ours := strings.CutPrefix(path, module+"/"); ours {
				checkArrow(t, room, inner)
			}
		}
	}
}

func checkDoor(t *testing.T, room, path string) {
	t.Helper()
	for library, allowed := range doors {
		if allowed == nil || (path != library && !strings.HasPrefix(path, library+"/")) {
			continue
		}
		if !slices.ContainsFunc(allowed, func(a string) bool { return inside(room, a) }) {
			t.Errorf("%s imports %s; the one door is %s", room, path, strings.Join(allowed, ", "))
		}
	}
}

func checkArrow(t *testing.T, room, inner string) {
	t.Helper()
	if isSimulator(inner) && !isSimulator(room) && !inside(room, "cmd/kdgate-demo") && !inside(room, "bench") {
		t.Errorf("%s imports the simulator %s", room, inner)
	}
	if slices.Contains(testRooms, inner) && !slices.Contains(testRooms, room) {
		t.Errorf("%s imports %s, which is for tests", room, inner)
	}
	if strings.HasPrefix(room, "gateway") && slices.Contains([]string{"dingtalk", "kingdee", "mapping", "identity/session"}, inner) {
		t.Errorf("gateway imports the adapter %s; it names an interface instead", inner)
	}
	for leaf, allowed := range leaves {
		if room == leaf && !inside(inner, leaf) && !slices.ContainsFunc(allowed, func(a string) bool { return inside(inner, a) }) {
			t.Errorf("%s imports %s; it may import nothing of ours but %q", room, inner, allowed)
		}
	}
	if from, to := height(t, room), height(t, inner); to >= from && !sameRoom(room, inner) {
		t.Errorf("%s imports %s; arrows point down only", room, inner)
	}
}

func height(t *testing.T, room string) int {
	t.Helper()
	best, length := -1, -1
	for _, floor := range floors {
		if inside(room, strings.TrimSuffix(floor.prefix, "/")) && len(floor.prefix) > length {
			if strings.HasSuffix(floor.prefix, "/") && room == strings.TrimSuffix(floor.prefix, "/") {
				continue
			}
			best, length = floor.height, len(floor.prefix)
		}
	}
	if best < 0 {
		t.Fatalf("%s stands on no floor: give it one here and in docs/design", room)
	}
	return best
}

// inside reports whether room is the folder or below it.
func inside(room, folder string) bool {
	return room == folder || strings.HasPrefix(room, folder+"/")
}

func sameRoom(a, b string) bool {
	top := func(s string) string { first, _, _ := strings.Cut(s, "/"); return first }
	return top(a) == top(b) && (top(a) == "store" || isSimulator(a) && isSimulator(b))
}

func isSimulator(room string) bool {
	return inside(room, "dingtalk/dingtalksim") || inside(room, "kingdee/kingdeesim")
}

// TestNames refuses rooms whose name says nothing.
func TestNames(t *testing.T) {
	for _, pkg := range load(t) {
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "types", "sync", "pkg"}, pkg.Name) {
			t.Errorf("%s: a package named %s says nothing", pkg.PkgPath, pkg.Name)
		}
	}
}

// load gives every package of the module, without its tests.
func load(t *testing.T) []*packages.Package {
	t.Helper()
	found, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedImports, Dir: "../..",
	}, "./...")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 10 {
		t.Fatalf("only %d packages found", len(found))
	}
	for _, pkg := range found {
		for _, err := range pkg.Errors {
			t.Errorf("%s: %v", pkg.PkgPath, err)
		}
	}
	return found
}
