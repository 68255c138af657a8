//go:build go1.27 && goexperiment.jsonv2

package strictjson

import (
	"encoding"
	"encoding/json"
	"encoding/json/jsontext"
	jsonv2 "encoding/json/v2"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What encoding/json does by encoding/json/v2, from Go 1.27 on; see rules_v1.go.

const asksUnnamed = true

var unmarshalers = []reflect.Type{reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[jsonv2.UnmarshalerFrom]()}

func tagName(tag string) string {
	i := strings.IndexAny(tag, ",\\'\"`")
	if i < 0 {
		i = len(tag)
	}
	if i == len(tag) || tag[i] == ',' {
		return strings.ToValidUTF8(tag[:i], string(utf8.RuneError))
	}
	// A malformed one is taken up to where it is, if it begins as a name in Go does.
	name := tag[:len(tag)-len(strings.TrimLeftFunc(tag, isLetterOrDigit))]
	if r, _ := utf8.DecodeRuneInString(name); r == '_' || unicode.IsLetter(r) {
		return name
	}
	return ""
}

func isLetterOrDigit(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }

func tagEmbeds(tag string) bool {
	_, options, _ := strings.Cut(tag, ",")
	return slices.Contains(strings.Split(options, ","), "embed")
}

func restOf(t reflect.Type) (reflect.Type, bool) {
	switch {
	case t == reflect.TypeFor[jsontext.Value]():
		return rawMessage, true
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String && !slices.ContainsFunc(methods, reflect.PointerTo(t.Key()).Implements):
		return t.Elem(), true
	}
	return nil, false
}

// methods are the interfaces of types that are read or written by code of their own.
var methods = append([]reflect.Type{
	reflect.TypeFor[json.Marshaler](), reflect.TypeFor[jsonv2.MarshalerTo](),
	reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextAppender](), reflect.TypeFor[encoding.TextUnmarshaler](),
}, unmarshalers...)
