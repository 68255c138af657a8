//go:build go1.27 && goexperiment.jsonv2

package strictjson

import (
	"encoding/json"
	"encoding/json/jsontext"
	"reflect"
	"strconv"
	"testing"
)

// fromText has code of its own as encoding/json/v2 wants it.
type fromText struct{ got string }

func (f *fromText) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	value, err := d.ReadValue()
	f.got = string(value)
	return err
}

type keyWithCode string

func (*keyWithCode) UnmarshalText([]byte) error { return nil }

type keyWithString string

func (keyWithString) String() string { return "" }

type embedsStruct struct {
	Sub  string   `json:"sub"`
	Rest untagged `json:",embed"`
}

type embedsMap struct {
	Rest map[string]any `json:",embed"`
	Sub  string         `json:"sub"`
}

type embedsSubjects struct {
	Plan string
	Rest *map[keyWithString]subject `json:",omitempty,embed"`
}

type embedsText struct {
	Sub  string         `json:"sub"`
	Rest jsontext.Value `json:",embed"`
}

type embedsTwo struct {
	Sub  string         `json:"sub"`
	A, B map[string]any `json:",embed"`
}

type embedsDeeper struct {
	embedsMap
	Over map[string]int `json:",embed"`
}

type embedsByName struct {
	Rest map[string]any `json:"rest,embed"`
}

type embedsKeysWithCode struct {
	Rest map[keyWithCode]any `json:",embed"`
}

// What encoding/json takes for a field from Go 1.27 on.
func TestDecodeV2(t *testing.T) {
	for _, test := range []struct {
		name, text string
		into, want any // pointers; no want: an error
	}{
		{"own code", `{"sub":"a","x":1}`, &fromText{}, &fromText{`{"sub":"a","x":1}`}},
		{"own code, imitation", `{"sub":"a","Sub":"b"}`, &fromText{}, nil},
		{"own code further in gets what stands there", `{"X":{"Sub":"b"}}`, &struct{ X fromText }{}, &struct{ X fromText }{fromText{`{"Sub":"b"}`}}},

		{"a struct, members of both", `{"sub":"a","Sub":"b","plan":"c"}`, &embedsStruct{}, &embedsStruct{Sub: "a", Rest: untagged{Plan: "c"}}},
		{"a struct, two for one field", `{"sub":"a","plan":"b","PLAN":"c"}`, &embedsStruct{}, nil},
		{"a map gets the rest", `{"sub":"a","plan":"b","n":{"X":1,"x":2}}`, &embedsMap{},
			&embedsMap{Sub: "a", Rest: map[string]any{"plan": "b", "n": map[string]any{"X": 1.0, "x": 2.0}}}},
		{"a map, the field in another case before", `{"Sub":"b","sub":"a"}`, &embedsMap{}, &embedsMap{Sub: "a"}},
		{"a map, the field in another case alone", `{"Sub":"b"}`, &embedsMap{}, &embedsMap{}},
		{"a map, its own name is none", `{"Rest":1,"rest":2}`, &embedsMap{}, &embedsMap{Rest: map[string]any{"Rest": 1.0, "rest": 2.0}}},
		{"a map of structs", `{"x":{"Sub":"b","sub":"a"},"plan":"p"}`, &embedsSubjects{}, &embedsSubjects{"p", &map[keyWithString]subject{"x": {"a"}}}},
		{"a map of structs, two for an untagged field", `{"plan":"p","PLAN":"q"}`, &embedsSubjects{}, nil},
		{"a map, an untagged field's imitation", `{"sub":"a","Sub":"b"}`, &struct {
			Sub  string
			Rest map[string]any `json:",embed"`
		}{}, &struct {
			Sub  string
			Rest map[string]any `json:",embed"`
		}{Sub: "a"}},
		{"a map that holds a pointer", `{"x":{"sub":"a","Sub":"b"}}`, &embedsMap{Rest: map[string]any{"x": &subject{}}}, &embedsMap{Rest: map[string]any{"x": &subject{"a"}}}},
		{"text", `{"sub":"a", "x": [1], "Sub":"b"}`, &embedsText{}, &embedsText{"a", jsontext.Value(`{"x":[1]}`)}},
		{"two of one depth are none", `{"sub":"a","x":1}`, &embedsTwo{}, &embedsTwo{Sub: "a"}},
		{"of two the higher one", `{"sub":"a","x":1}`, &embedsDeeper{}, &embedsDeeper{embedsMap{Sub: "a"}, map[string]int{"x": 1}}},
		{"with a name it is a field", `{"rest":{"x":1},"y":2}`, &embedsByName{}, &embedsByName{map[string]any{"x": 1.0}}},
		{"keys with code of their own", `{"Rest":{},"y":2}`, &embedsKeysWithCode{}, &embedsKeysWithCode{map[keyWithCode]any{}}},
		{"keys with code of their own, two for the field", `{"Rest":{},"rest":{}}`, &embedsKeysWithCode{}, nil},

		{"a name of signs", `{"€":"a","x":"b"}`, &struct {
			X string `json:"€"`
		}{}, &struct {
			X string `json:"€"`
		}{"a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := Decode(test.text, test.into, reservedNames)
			if (err != nil) != (test.want == nil) {
				t.Fatalf("error %v", err)
			}
			if err == nil && !reflect.DeepEqual(test.into, test.want) {
				t.Errorf("%+v, want %+v", test.into, test.want)
			}
		})
	}
}

// Which name a tag has, encoding/json decides.
func TestTagNameV2(t *testing.T) {
	for _, tag := range []string{"", ",", "x", "x,omitempty", "x y", "-,", "€", "a'b", "a'b,string", "'a'", "_a`", "1a\"", "a\\b", "\\a", "日本", "a\xff", ",embed", "x,embed"} {
		field := reflect.StructField{Name: "F", Type: reflect.TypeFor[int](), Tag: reflect.StructTag(`json:` + strconv.Quote(tag))}
		into := reflect.New(reflect.StructOf([]reflect.StructField{field}))
		into.Elem().Field(0).SetInt(1)
		text, err := json.Marshal(into.Interface())
		if err != nil {
			t.Fatalf("%q: %v", tag, err)
		}
		into.Elem().Field(0).SetInt(0)
		if err := Decode(string(text), into.Interface(), nil); err != nil || into.Elem().Field(0).Int() != 1 && string(text) != "{}" {
			t.Errorf("%q: %s makes %+v, %v", tag, text, into.Elem(), err)
		}
	}
}
