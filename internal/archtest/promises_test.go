package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// required is a line of go.mod that names a module and its version.
var required = regexp.MustCompile(`(?m)^\s*(?:require\s+)?([a-z0-9./_-]+\.[a-z]+/\S+) v(\d+)\.(\d+)\.\d+`)

// TestModules proves T125 and T82 of go.mod: nothing is exchanged for a fork
// without a word about it, and should SAML ever come, it comes with a signature
// library that is past its bypass (CVE-2026-33487).
func TestModules(t *testing.T) {
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	before := ""
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "=>") && !strings.Contains(line, "//") && !strings.HasPrefix(strings.TrimSpace(before), "//") {
			t.Errorf("%s: nothing says why", strings.TrimSpace(line))
		}
		before = line
	}
	found := required.FindAllStringSubmatch(string(text), -1)
	for _, module := range found {
		major, _ := strconv.Atoi(module[2]) // the pattern has digits only
		minor, _ := strconv.Atoi(module[3])
		if strings.HasSuffix(module[1], "/goxmldsig") && major == 1 && minor < 6 {
			t.Errorf("%s: at least v1.6.0", module[0])
		}
		if module[1] == "github.com/gorilla/csrf" {
			t.Errorf("%s: net/http.CrossOriginProtection has its place (CVE-2025-47909)", module[0])
		}
	}
	if len(found) < 20 {
		t.Errorf("only %d modules: the test looks in the wrong place", len(found))
	}
}

// TestImage proves T126 of the image that ships: nothing but the program in it,
// no shell, and not root.
func TestImage(t *testing.T) {
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, last, found := strings.Cut(string(text), "\nFROM scratch\n")
	if !found || strings.Contains(last, "\nFROM ") {
		t.Fatal("the last stage is not FROM scratch")
	}
	user := regexp.MustCompile(`(?m)^USER (\d+):(\d+)$`).FindStringSubmatch(last)
	if user == nil || user[1] == "0" || user[2] == "0" {
		t.Errorf("the program runs as %q", user)
	}
	for _, word := range []string{"/bin/sh", "\nRUN ", "ADD ", "ENTRYPOINT /", "CMD /"} { // the shell forms need a shell
		if strings.Contains(last, word) {
			t.Errorf("%q in the image that ships", word)
		}
	}
	for copied := range strings.SplitSeq(last, "\n") {
		if strings.HasPrefix(copied, "COPY ") && !strings.Contains(copied, "--from=build") {
			t.Errorf("%q takes files from the working folder", copied)
		}
	}
}

// TestSecretsAreComparedInConstantTime proves T127 for the whole program: no
// comparison that stops at the first difference has a secret in it. Emptiness
// and length are no secret.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	files := 0
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "sim/") {
			return err
		}
		files++
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if stopsEarly(n) {
				t.Errorf("%s compares a secret so that its time tells how much fits", set.Position(n.Pos()))
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 300 {
		t.Errorf("only %d files: the test looks in the wrong place", files)
	}
}

// stopsEarly reports a comparison of something revealed: ==, !=, bytes.Equal,
// strings.EqualFold and their like, and the cases of a switch.
func stopsEarly(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		return (n.Op == token.EQL || n.Op == token.NEQ) && (reveals(n.X) && !isPlain(n.Y) || reveals(n.Y) && !isPlain(n.X))
	case *ast.SwitchStmt:
		return n.Tag != nil && reveals(n.Tag)
	case *ast.CallExpr:
		call, ok := n.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		early := map[string]bool{"bytes.Equal": true, "bytes.Compare": true, "strings.EqualFold": true, "strings.Compare": true, "slices.Equal": true, "reflect.DeepEqual": true}
		from, _ := call.X.(*ast.Ident)
		if from == nil || !early[from.Name+"."+call.Sel.Name] {
			return false
		}
		for _, argument := range n.Args {
			if reveals(argument) {
				return true
			}
		}
	}
	return false
}

// reveals reports x.Reveal(), also inside a conversion such as []byte(x.Reveal()).
func reveals(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	if method, ok := call.Fun.(*ast.SelectorExpr); ok {
		return method.Sel.Name == "Reveal"
	}
	_, conversion := call.Fun.(*ast.ArrayType)
	if named, ok := call.Fun.(*ast.Ident); ok && named.Name == "string" {
		conversion = true
	}
	return conversion && len(call.Args) == 1 && reveals(call.Args[0])
}

// isPlain reports a literal: whoever compares with one asks for emptiness, or
// for a word that is no secret.
func isPlain(e ast.Expr) bool {
	_, literal := e.(*ast.BasicLit)
	return literal
}

// The rule above finds what it is there to find, and no more.
func TestStopsEarly(t *testing.T) {
	for text, want := range map[string]bool{
		`a.Reveal() == b`: true, `b != a.Reveal()`: true, `string(a.Reveal()) == b`: true, `bytes.Equal([]byte(a.Reveal()), b)`: true,
		`strings.EqualFold(b, a.Reveal())`: true, `reflect.DeepEqual(a.Reveal(), b)`: true,
		`a.Reveal() == ""`: false, `len(a.Reveal()) == 3`: false, `hmac.Equal([]byte(a.Reveal()), b)`: false, `strings.Contains(a.Reveal(), b)`: false,
	} {
		parsed, err := parser.ParseExpr(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := stopsEarly(parsed); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
