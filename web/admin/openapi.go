package admin

import (
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"kdgate/identity"
	"kdgate/internal/lazyregexp"
)

// description serves what the console can do, for programs (F35). It is made
// from the router and the Go types that the routes name, so it holds every
// route there is.
type description struct{ *Console }

// Mount implements Page.
func (d description) Mount(rt *Router) {
	rt.Add(Route{
		Pattern: "GET " + apiPrefix + "openapi.json", Access: ToEveryRole, Summary: "This description, OpenAPI 3.1.",
		Answer: map[string]any{}, Serve: func(v *Visit) error { return v.JSON(http.StatusOK, d.openAPI()) },
	})
}

// object is a JSON object.
type object = map[string]any

var pathParam = lazyregexp.New(`\{([a-z_]+)\}`)

// openAPI describes every route.
func (d description) openAPI() object {
	paths := object{}
	for _, route := range d.router.routes {
		item, _ := paths[route.path()].(object)
		if item == nil {
			item = object{}
			paths[route.path()] = item
		}
		item[strings.ToLower(route.method())] = describe(route)
	}
	return object{
		"openapi": "3.1.0",
		"info":    object{"title": "kdgate console", "version": "1"},
		"paths":   paths,
		"components": object{
			"securitySchemes": object{"console": object{
				"type": "apiKey", "in": "cookie", "name": cookieName,
				"description": "A console session; a person's also needs the session of their DingTalk sign-in.",
			}},
			"schemas": object{"Fault": schema(reflect.TypeFor[Fault](), nil)},
		},
	}
}

// describe is one operation.
func describe(route Route) object {
	operation := object{"summary": route.Summary, "x-roles": rolesOf(route.Access)}
	if route.Access&Anyone == 0 {
		operation["security"] = []any{object{"console": []any{}}}
	}
	if route.Danger {
		operation["description"] = "Needs a proof of who one is that is not older than five minutes (KD-603)."
	}
	var params []any
	for _, match := range pathParam().FindAllStringSubmatch(route.path(), -1) {
		params = append(params, object{"name": match[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, p := range route.Query {
		params = append(params, object{"name": p.Name, "in": "query", "description": p.Doc, "schema": object{"type": "string"}})
	}
	if params != nil {
		operation["parameters"] = params
	}
	if route.Body != nil {
		operation["requestBody"] = object{"required": true, "content": object{
			"application/json": object{"schema": schema(reflect.TypeOf(route.Body), nil)},
		}}
	}
	operation["responses"] = answers(route)
	return operation
}

func answers(route Route) object {
	good := object{"description": "Done."}
	switch {
	case route.Answer != nil:
		good["content"] = object{"application/json": object{"schema": schema(reflect.TypeOf(route.Answer), nil)}}
	case route.method() == http.MethodGet && !route.isAPI():
		good["content"] = object{"text/html": object{}}
	}
	all := object{strconv.Itoa(http.StatusOK): good}
	if route.isAPI() {
		fault := object{"application/json": object{"schema": object{"$ref": "#/components/schemas/Fault"}}}
		all["default"] = object{"description": "Refused, or failed.", "content": fault}
	}
	return all
}

func rolesOf(a Access) []string {
	if a&Anyone != 0 {
		return []string{"anyone"}
	}
	var roles []string
	for _, role := range [...]Role{Admin, MappingAdmin, Auditor} {
		if a.holds(role) {
			roles = append(roles, string(role))
		}
	}
	return roles
}

// schema describes a Go type as JSON Schema. outer guards against a type that
// holds itself.
func schema(t reflect.Type, outer []reflect.Type) object {
	for _, seen := range outer {
		if seen == t {
			return object{}
		}
	}
	outer = append(outer, t)
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[identity.Kind]():
		return object{"type": "integer"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schema(t.Elem(), outer)
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Int, reflect.Int64, reflect.Uint64, reflect.Int32, reflect.Uint32, reflect.Uint8:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": schema(t.Elem(), outer)}
	case reflect.Struct:
		return structSchema(t, outer)
	default:
		return object{}
	}
}

func structSchema(t reflect.Type, outer []reflect.Type) object {
	properties := object{}
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-" || !field.IsExported():
		case field.Anonymous && name == "":
			if inner, ok := schema(field.Type, outer)["properties"].(object); ok {
				for key, value := range inner {
					properties[key] = value
				}
			}
		case name == "": // embedded members of a newer release
		default:
			properties[name] = schema(field.Type, outer)
		}
	}
	return object{"type": "object", "properties": properties, "additionalProperties": false}
}

// RoleMatrix is the table of routes and roles in Markdown, for docs/console-roles.md.
func (c *Console) RoleMatrix() string {
	var b strings.Builder
	mark := func(yes bool) string {
		if yes {
			return "yes"
		}
		return "–"
	}
	b.WriteString("| route | what it does | anyone | admin | mapping-admin | auditor | fresh proof |\n|---|---|---|---|---|---|---|\n")
	for _, r := range c.router.routes {
		_, _ = fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", r.Pattern, r.Summary, mark(r.Access&Anyone != 0), // a Builder does not fail
			mark(r.Access.holds(Admin)), mark(r.Access.holds(MappingAdmin)), mark(r.Access.holds(Auditor)), mark(r.Danger))
	}
	return b.String()
}
