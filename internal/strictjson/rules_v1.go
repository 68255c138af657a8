//go:build !go1.27 || !goexperiment.jsonv2

package strictjson

import (
	"encoding/json"
	"reflect"
	"strings"
	"unicode"
)

// What encoding/json does up to Go 1.26, and later with GOEXPERIMENT=nojsonv2, is here; what
// it does by encoding/json/v2 is in rules_v2.go.

// asksUnnamed: does a type without a name have its methods called where it isn't behind a
// pointer? It has only those of an embedded field.
const asksUnnamed = false

// unmarshalers are the interfaces of types with code of their own.
var unmarshalers = []reflect.Type{reflect.TypeFor[json.Unmarshaler]()}

// tagName is the name in a json tag, "" if there is none or one that is not taken.
func tagName(tag string) string {
	name, _, _ := strings.Cut(tag, ",")
	if strings.ContainsFunc(name, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r)
	}) {
		return ""
	}
	return name
}

// tagEmbeds tells whether a tag makes a field as one that is embedded.
func tagEmbeds(string) bool { return false }

// restOf is the type of the members of a field, so tagged, that gets what no other is for.
func restOf(reflect.Type) (reflect.Type, bool) { return nil, false }
