package strictjson

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

type subject struct {
	Sub string `json:"sub"`
}

type untagged struct{ Sub, Plan string }

// withOwnCode does what many types with an UnmarshalJSON do.
type withOwnCode struct{ Sub string }

func (o *withOwnCode) UnmarshalJSON(data []byte) error {
	type plain withOwnCode
	return json.Unmarshal(data, (*plain)(o))
}

type ownCodeInside = struct {
	withOwnCode
	X string `json:"x"`
}

type EmbedsItself struct {
	*EmbedsItself
	subject
}

type byText struct{ Sub string }

func (b *byText) UnmarshalText(data []byte) error { b.Sub = string(data); return nil }

type recursive struct {
	Sub  string               `json:"sub"`
	Next *recursive           `json:"next"`
	List []recursive          `json:"list"`
	Map  map[string]recursive `json:"map"`
	Any  any                  `json:"any"`
	Raw  json.RawMessage      `json:"raw"`
	N    int64                `json:"n"`
}

type list []list

func ptr[T any](v T) *T { return &v }

// asked is what is wanted of a type without a name whose methods are promoted to it:
// encoding/json asks it for them from Go 1.27 on.
func asked(yes, no any) any {
	if asksUnnamed {
		return yes
	}
	return no
}

var reservedNames = []string{"sub", "scope"}

// A member is never taken for a field of another name, wherever the field is; and what
// has no such field is left alone.
func TestDecode(t *testing.T) {
	for _, test := range []struct {
		name, text string
		into, want any // pointers; no want: an error
	}{
		{"tagged", `{"sub":"a"}`, &subject{}, &subject{"a"}},
		{"tagged, another case behind", `{"sub":"a","Sub":"b","SUB":"c"}`, &subject{}, &subject{"a"}},
		{"tagged, another case before", `{"Sub":"b","sub":"a"}`, &subject{}, &subject{"a"}},
		{"tagged, another case alone", `{"Sub":"b"}`, &subject{}, &subject{}},
		{"tagged, long s", `{"sub":"a","ſub":"b","\u017fub":"c"}`, &subject{}, &subject{"a"}},
		{"tagged, Kelvin sign", `{"k":"a","K":"b"}`, &struct {
			K string `json:"k"`
		}{}, &struct {
			K string `json:"k"`
		}{"a"}},
		{"tagged in Greek", `{"σ":"a","ς":"b","Σ":"c"}`, &struct {
			S string `json:"ς"`
		}{}, &struct {
			S string `json:"ς"`
		}{"b"}},
		{"white space of all kinds where nothing is for a field", "{\"x\":[1,\t2,\r3\n,{\t\"y\":\r\n4 } ],\t\"sub\"\r:\n\"a\"}", &subject{}, &subject{"a"}},
		{"tagged, escaped name", `{"\u0073ub":"a"}`, &subject{}, &subject{"a"}},
		{"tagged, escaped name in another case", `{"sub":"a","\u0053ub":"b"}`, &subject{}, &subject{"a"}},
		{"tagged, another type in another case", `{"SUB":{"x":[1,{}]},"sub":"a"}`, &subject{}, &subject{"a"}},
		{"tagged with upper case", `{"sub":"a","Sub":"b"}`, &struct {
			S string `json:"Sub"`
		}{}, &struct {
			S string `json:"Sub"`
		}{"b"}},
		{"both tagged", `{"sub":"a","Sub":"b","SUB":"c"}`, &struct {
			S string `json:"Sub"`
			T string `json:"sub"`
		}{}, &struct {
			S string `json:"Sub"`
			T string `json:"sub"`
		}{"b", "a"}},
		{"tagged and untagged", `{"plan":"a","Plan":"b","PLAN":"c"}`, &struct {
			S    string `json:"plan"`
			Plan string
		}{}, &struct {
			S    string `json:"plan"`
			Plan string
		}{"a", "b"}},
		{"untagged and tagged", `{"plan":"a","PLAN":"c"}`, &struct {
			Plan string
			S    string `json:"plan"`
		}{}, &struct {
			Plan string
			S    string `json:"plan"`
		}{"c", "a"}},
		{"tagged for its options only", `{"plan":"7"}`, &struct {
			Plan int `json:",string"`
		}{}, &struct {
			Plan int `json:",string"`
		}{7}},
		{"hidden by its tag", `{"sub":"a"}`, &struct {
			Sub string `json:"-"`
		}{}, &struct {
			Sub string `json:"-"`
		}{}},
		{"tagged with a name that is none", `{"plan":"a"}`, &badTag{}, &badTag{"a"}},
		{"unexported", `{"sub":"a"}`, &struct{ sub string }{}, &struct{ sub string }{}},

		{"untagged", `{"plan":"a"}`, &untagged{}, &untagged{Plan: "a"}},
		{"untagged, a to z", `{"abcdefghijklmnopqrstuvwxyz":"a"}`, &struct{ ABCDEFGHIJKLMNOPQRSTUVWXYZ string }{}, &struct{ ABCDEFGHIJKLMNOPQRSTUVWXYZ string }{"a"}},
		{"untagged, beside letters that have no case", `{"日本":"a","plan":"b"}`, &untagged{}, &untagged{Plan: "b"}},
		{"unexported struct, two members for it", `{"hidden":{},"HIDDEN":{},"plan":"a"}`, &struct {
			hidden subject
			Plan   string
		}{}, &struct {
			hidden subject
			Plan   string
		}{Plan: "a"}},
		{"unnamed, own code promoted, in a field", `{"F":{"x":"a","X":"b","SUB":"s"}}`, &struct{ F ownCodeInside }{},
			&struct{ F ownCodeInside }{asked(ownCodeInside{withOwnCode{"s"}, ""}, ownCodeInside{withOwnCode{"s"}, "a"}).(ownCodeInside)}},
		{"unnamed, own code promoted, in a map", `{"m":{"x":"a","X":"b","SUB":"s"}}`, &map[string]ownCodeInside{},
			&map[string]ownCodeInside{"m": asked(ownCodeInside{withOwnCode{"s"}, ""}, ownCodeInside{withOwnCode{"s"}, "a"}).(ownCodeInside)}},
		{"embeds itself and another", `{"sub":"a","Sub":"b"}`, &EmbedsItself{}, &EmbedsItself{subject: subject{"a"}}},
		{"untagged, any case", `{"PLAN":"a"}`, &untagged{}, &untagged{Plan: "a"}},
		{"untagged, two cases", `{"plan":"a","PLAN":"b"}`, &untagged{}, nil},
		{"untagged, its own case and another", `{"Plan":"a","plan":"b"}`, &untagged{}, nil},
		{"untagged, Kelvin sign and long s", `{"\u212aſ":"a"}`, &struct{ Ks string }{}, &struct{ Ks string }{"a"}},
		{"untagged, Kelvin sign and k", `{"\u212as":"a","kS":"b"}`, &struct{ Ks string }{}, nil},
		{"untagged, three of one letter", `{"ς":"a"}`, &struct{ Σ string }{}, &struct{ Σ string }{"a"}},
		{"untagged, two cases, not looked at", `{"x":1,"X":2}`, &untagged{}, &untagged{}},
		{"untagged, reserved", `{"sub":"a","Sub":"b","SUB":"c"}`, &untagged{}, &untagged{Sub: "a"}},
		{"untagged, imitation alone", `{"Sub":"b"}`, &untagged{}, &untagged{}},
		{"untagged, reserved names further in are free", `{"X":{"SUB":"a"}}`, &struct{ X untagged }{}, &struct{ X untagged }{untagged{Sub: "a"}}},
		{"untagged further in, two cases", `{"x":{"plan":"a","PLAN":"b"}}`, &struct{ X untagged }{}, nil},
		{"untagged in a slice, one each", `[{"plan":"a"},{"PLAN":"b"}]`, &[]untagged{}, &[]untagged{{Plan: "a"}, {Plan: "b"}}},

		{"map", `{"sub":"a","Sub":"b","p":{"aB3":1,"ab3":2}}`, &map[string]any{}, &map[string]any{"sub": "a", "Sub": "b", "p": map[string]any{"aB3": 1.0, "ab3": 2.0}}},
		{"any", `{"aB3":1,"ab3":2}`, new(any), ptr[any](map[string]any{"aB3": 1.0, "ab3": 2.0})},
		{"map in a struct", `{"p":{"aB3":1,"ab3":2}}`, &struct{ P map[string]int }{}, &struct{ P map[string]int }{map[string]int{"aB3": 1, "ab3": 2}}},
		{"any in a struct", `{"p":{"sub":1,"Sub":2}}`, &struct{ P any }{}, &struct{ P any }{map[string]any{"sub": 1.0, "Sub": 2.0}}},
		{"raw", `{"sub":1, "Sub":2}`, &json.RawMessage{}, ptr(json.RawMessage(`{"sub":1, "Sub":2}`))},
		{"raw in a struct", `{"p":{"sub":1, "Sub":2}}`, &struct{ P json.RawMessage }{}, &struct{ P json.RawMessage }{json.RawMessage(`{"sub":1, "Sub":2}`)}},
		{"keys by their text", `{"2026-01-01T00:00:00Z":{"sub":"a","Sub":"b"}}`, &map[time.Time]subject{}, &map[time.Time]subject{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC): {"a"}}},

		{"nested", `{"next":{"next":{"sub":"a","Sub":"b"},"Next":{"sub":"c"}}}`, &recursive{}, &recursive{Next: &recursive{Next: &recursive{Sub: "a"}}}},
		{"slice", `{"list":[ {"Sub":"b","sub":"a"} , {"SUB":"c"} ]}`, &recursive{}, &recursive{List: []recursive{{Sub: "a"}, {}}}},
		{"array", `[{"Sub":"b"},{"sub":"a","Sub":"b"},{"sub":"c"}]`, &[2]subject{}, &[2]subject{{}, {"a"}}},
		{"map of structs", `{"map":{"x":{"Sub":"b","sub":"a"},"X":{"Sub":"b"}}}`, &recursive{}, &recursive{Map: map[string]recursive{"x": {Sub: "a"}, "X": {}}}},
		{"map of slices of pointers", `{"x":[{"Sub":"b","sub":"a"},null]}`, &map[string][]*subject{}, &map[string][]*subject{"x": {{"a"}, nil}}},
		{"pointers", `{"sub":"a","Sub":"b"}`, ptr(ptr(ptr(subject{}))), ptr(ptr(ptr(subject{"a"})))},
		{"nil pointers", `{"sub":"a","Sub":"b"}`, new(**subject), ptr(ptr(&subject{"a"}))},
		{"type of itself", `[[],[[]]]`, &list{}, &list{{}, {{}}}},

		{"embedded", `{"sub":"a","Sub":"b"}`, &struct{ subject }{}, &struct{ subject }{subject{"a"}}},
		{"embedded pointer", `{"sub":"a","Sub":"b"}`, &struct{ *untaggedExported }{&untaggedExported{}}, &struct{ *untaggedExported }{&untaggedExported{Sub: "a"}}},
		{"embedded by name", `{"subject":{"sub":"a","Sub":"b"},"SUBJECT":1}`, &struct {
			Subject `json:"subject"`
		}{}, &struct {
			Subject `json:"subject"`
		}{Subject{"a"}}},
		{"embedded, and outside a field in another case", `{"sub":"a","Sub":"b"}`, &struct {
			subject
			Sub int `json:"Sub,omitempty"`
		}{}, nil}, // b is no int

		// Two of one name hide each other, and encoding/json then looks for another case.
		{"embedded, two of one name", `{"plan":"a","Plan":"b"}`, &struct {
			upper
			other
			S string `json:"plan"`
		}{}, &struct {
			upper
			other
			S string `json:"plan"`
		}{S: "a"}},
		{"embedded, one type twice", `{"plan":"a","Plan":"b"}`, &struct {
			first
			second
			S string `json:"plan"`
		}{}, &struct {
			first
			second
			S string `json:"plan"`
		}{S: "a"}},
		{"embedded, one of two is tagged", `{"PLAN":"b"}`, &struct {
			planTagged
			untagged
		}{}, &struct {
			planTagged
			untagged
		}{}},

		{"interface that holds a pointer", `{"sub":"a","Sub":"b"}`, ptr[any](&subject{}), ptr[any](&subject{"a"})},
		{"interface that holds a pointer, in a struct", `{"any":{"sub":"a","Sub":"b"}}`, &recursive{Any: &subject{}}, &recursive{Any: &subject{"a"}}},
		{"interface that holds a pointer, in a slice", `[1,{"sub":"a","Sub":"b"}]`, &[]any{nil, &subject{}}, &[]any{1.0, &subject{"a"}}},
		{"interface that holds a pointer, behind the end of a slice", `[{"sub":"a","Sub":"b"}]`, ptr([]any{&subject{}}[:0]), &[]any{&subject{"a"}}},
		{"interface that holds a pointer, in an array", `[{"sub":"a","Sub":"b"}]`, &[1]any{&subject{}}, &[1]any{&subject{"a"}}},
		{"interface that holds a pointer, behind a pointer", `{"next":{"any":{"sub":"a","Sub":"b"}}}`, &recursive{Next: &recursive{Any: &subject{}}}, &recursive{Next: &recursive{Any: &subject{"a"}}}},
		{"interface that holds no pointer", `{"sub":"a","Sub":"b"}`, ptr[any](subject{}), ptr[any](map[string]any{"sub": "a", "Sub": "b"})},
		{"interface that holds a nil pointer", `{"sub":"a","Sub":"b"}`, ptr[any]((*subject)(nil)), ptr[any](map[string]any{"sub": "a", "Sub": "b"})},

		{"own code", `{"sub":"a","plan":1,"Plan":2}`, &withOwnCode{}, &withOwnCode{"a"}},
		{"own code, imitation", `{"sub":"a","Sub":"b"}`, &withOwnCode{}, nil},
		{"own code behind pointers, imitation", `{"sub":"a","ſub":"b"}`, new(**withOwnCode), nil},
		{"own code promoted, imitation", `{"sub":"a","Sub":"b"}`, &struct{ withOwnCode }{}, nil},
		{"own code in an interface, imitation", `{"sub":"a","Sub":"b"}`, ptr[any](&withOwnCode{}), nil},
		{"own code further in gets what stands there", `{"x":{"Sub":"b"}}`, &map[string]withOwnCode{}, &map[string]withOwnCode{"x": {"b"}}},
		{"own code of an embedded struct", `[{"sub":"a","x":1}]`, &[]struct{ withOwnCode }{}, &[]struct{ withOwnCode }{{withOwnCode{"a"}}}},
		{"own code of an embedded struct, two cases", `[{"sub":"a","SUB":"b"}]`, &[]struct{ withOwnCode }{}, asked(&[]struct{ withOwnCode }{{withOwnCode{"b"}}}, nil)},
		{"own code of an embedded struct behind a pointer", `[{"sub":"a","SUB":"b"}]`, &[]*struct{ withOwnCode }{}, &[]*struct{ withOwnCode }{{withOwnCode{"b"}}}},
		{"text", `{"x":"a"}`, &map[string]byText{}, &map[string]byText{"x": {"a"}}},
		{"text, but an object", `{"x":{"sub":"a"}}`, &map[string]byText{}, nil},

		{"numbers", `{"n":9007199254740993}`, &recursive{}, &recursive{N: 9007199254740993}},
		{"json.Number", `{"n":-9007199254740993.5e+10}`, &map[string]json.Number{}, &map[string]json.Number{"n": "-9007199254740993.5e+10"}},
		{"all literals are passed over", `{"a":-1.5E+9,"b":[true,false,null,"\"}",{"c":"]"}],"sub":"a","d":{} , "e" : [ ] }`, &subject{}, &subject{"a"}},
		{"null", `{"sub":null,"Sub":"b"}`, &subject{"kept"}, &subject{"kept"}},
		{"wrong type", `{"sub":1}`, &subject{}, nil},
		{"object for a slice", `{"sub":1}`, &[]subject{}, nil},
		{"array for a struct", `{"list":{"sub":"a"}}`, &recursive{}, nil},
		{"no pointer", `{"sub":"a"}`, subject{}, nil},
		{"nil", `{"sub":"a"}`, nil, nil},
		{"nil pointer", `{"sub":"a"}`, (*subject)(nil), nil},
		{"no text", ``, &subject{}, nil},
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

type upper struct{ Plan string }

type other struct{ Plan string }

type first struct{ upper }

type second struct{ upper }

type badTag struct {
	//lint:ignore SA5008 encoding/json takes it for none
	Plan string `json:"\\"`
}

type planTagged struct {
	X string `json:"Plan"`
}

type untaggedExported struct{ Sub string }

// Subject is exported, so that it can be embedded by a name.
type Subject subject

// Which field of embedded structs is meant, encoding/json decides: by depth, by the tag,
// and by none of two.
func TestDecodeEmbedded(t *testing.T) {
	type deep struct{ A, B, C int }
	type tagged struct {
		X int `json:"A"`
		Y int `json:"b"`
	}
	type both struct {
		B int
		C int `json:"c"`
	}
	type middle struct {
		deep
		C int
	}
	type left struct{ deep }
	type right struct{ deep }
	type names struct {
		A int `json:"a"`
		B int `json:"b,omitempty"`
		C int `json:"-"`
		//lint:ignore SA5008 it is the name -
		D int `json:"-,"`
		E int `json:"x y"`
	}
	type self struct {
		A int
		//lint:ignore U1000 encoding/json looks into it
		*self
	}
	for _, into := range []func() any{
		func() any { return &deep{} },
		func() any { return &middle{} },
		func() any {
			return &struct {
				middle
				A int
			}{}
		},
		func() any {
			return &struct {
				deep
				tagged
			}{}
		},
		func() any {
			return &struct {
				tagged
				deep
			}{}
		},
		func() any {
			return &struct {
				tagged
				both
			}{}
		},
		func() any {
			return &struct {
				deep
				both
			}{}
		},
		func() any {
			return &struct {
				left
				right
			}{}
		},
		func() any {
			return &struct {
				left
				right
				B int `json:"b"`
			}{}
		},
		func() any {
			return &struct {
				*Left
				*Right
			}{}
		},
		func() any { return &names{} },
		func() any {
			return &struct {
				names
				deep
			}{}
		},
		func() any { return &self{} },
		func() any { return &struct{ Number }{} },
		func() any { return &struct{ number }{} },
		func() any {
			return &struct {
				Number `json:"a"`
				any
			}{}
		},
	} {
		for _, name := range []string{"A", "B", "C", "D", "E", "X", "Y", "a", "b", "c", "-", "x y", "Number", "number", "any", "Left", "deep"} {
			text := `{"` + name + `":1}`
			got, want := into(), into()
			if err := json.Unmarshal([]byte(text), want); err != nil {
				t.Fatal(err)
			}
			// Of a name in another case than a tag's, encoding/json is no judge.
			s := shapeOf(reflect.TypeOf(got))
			if f := s.field(name); f == nil || f.tagged && f.name != name {
				for _, f := range s.exact {
					if f.tagged && f.name != name && strings.EqualFold(f.name, name) {
						want = into()
					}
				}
			}
			if err := Decode(text, got, nil); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%T: %s: %+v, %v; want %+v", got, text, got, err, want)
			}
		}
	}
}

// A circle of pointers comes to an end here. (encoding/json/v2, where it is switched on,
// follows an interface that points to itself for ever, so this one stops before it.)
func TestDecodeCircle(t *testing.T) {
	loop := new(any)
	*loop = loop
	d := decoder{scanner: scanner{data: `{"sub":"a","Sub":"b"}`}}
	if err := d.value(shapeOf(reflect.TypeOf(loop)), reflect.ValueOf(loop), true); err != nil || string(d.out) != d.data {
		t.Errorf("%s, %v", d.out, err)
	}
}

// Of several fields for one name in another case, encoding/json takes the first.
func TestDecodeFirstField(t *testing.T) {
	type names struct {
		Plan string
		A    string `json:"plan"`
		B    string `json:"PLAN"`
	}
	for range 20 {
		if f := (shaper{}).shape(reflect.TypeFor[names](), true).field("pLaN"); f == nil || f.name != "Plan" {
			t.Fatalf("field %+v", f)
		}
	}
}

// A field that is hidden by another one of its name leaves the rest as they are.
func TestDecodeHiddenField(t *testing.T) {
	type both struct {
		Left
		Right
		Plan string
	}
	for range 20 { // maps have no order
		s := (shaper{}).shape(reflect.TypeFor[both](), true)
		if s.field("B") != nil || s.field("b") != nil || s.field("a") == nil || s.field("c") == nil || s.field("plan") == nil {
			t.Fatalf("fields %v, %v", s.exact, s.folded)
		}
	}
}

type Left struct{ A, B int }

type Right struct{ B, C int }

type Number int

type number int

// keeper keeps the bytes that it is given.
type keeper struct{ kept []byte }

func (k *keeper) UnmarshalJSON(data []byte) error { k.kept = data; return nil }

type textKeeper struct{ kept []byte }

func (k *textKeeper) UnmarshalText(data []byte) error { k.kept = data; return nil }

// keyKeeper keeps the bytes of a map's key.
type keyKeeper string

var keptKeys [][]byte

func (k *keyKeeper) UnmarshalText(data []byte) error {
	keptKeys = append(keptKeys, data)
	*k = keyKeeper(data)
	return nil
}

// What a type does with its bytes later reaches nobody else.
func TestDecodeGivesCopies(t *testing.T) {
	text := string([]byte(`{"a":{"x":"y"},"b":"text","c":[1,2]}`)) // not in memory that can't be written
	before := strings.Clone(text)
	for name, kept := range map[string]func() []byte{
		"UnmarshalJSON, of all": func() []byte {
			var k keeper
			_ = Decode(text, &k, nil)
			return k.kept
		},
		"UnmarshalJSON, of a member": func() []byte {
			var k struct{ A keeper }
			_ = Decode(text, &k, nil)
			return k.A.kept
		},
		"UnmarshalText": func() []byte {
			var k struct{ B textKeeper }
			_ = Decode(text, &k, nil)
			return k.B.kept
		},
		"UnmarshalText of a key": func() []byte {
			var k map[keyKeeper]any
			_ = Decode(text, &k, nil)
			return keptKeys[0]
		},
		"RawMessage": func() []byte {
			var k json.RawMessage
			_ = Decode(text, &k, nil)
			return k
		},
	} {
		t.Run(name, func(t *testing.T) {
			data := kept()
			if len(data) == 0 {
				t.Fatal("nothing was kept")
			}
			for i := range data[:cap(data)] {
				data[:cap(data)][i] = 'X'
			}
			if text != before {
				t.Errorf("text is now %s", text)
			}
		})
	}
}

// What no field is for is copied for a field that gets the rest. Only the encoding/json of Go
// 1.27 has such, so the shape is made by hand.
func TestDecodeRest(t *testing.T) {
	type rest struct {
		Sub  string `json:"sub"`
		Rest map[string]any
	}
	type pointer struct {
		Sub  string `json:"sub"`
		Rest *map[string]any
	}
	holds := map[string]any{"x": &subject{}}
	var none *map[string]any
	for _, test := range []struct {
		name string
		into any // a struct, or a pointer to one that is there
		want string
	}{
		{"a map", &rest{}, `{"x":{"sub":"a","Sub":"b"},"y":{"SUB":"c"}}`},
		{"a map that holds a pointer", &rest{Rest: holds}, `{"x":{"sub":"a"},"y":{"SUB":"c"}}`},
		{"a pointer to one", &pointer{Rest: &holds}, `{"x":{"sub":"a"},"y":{"SUB":"c"}}`},
		{"a nil pointer", &pointer{Rest: none}, `{"x":{"sub":"a","Sub":"b"},"y":{"SUB":"c"}}`},
		{"what isn't there yet", nil, `{"x":{"sub":"a","Sub":"b"},"y":{"SUB":"c"}}`},
	} {
		sub := &field{name: "sub", tagged: true, path: []int{0}, shape: &shape{kind: plain}}
		s := &shape{kind: fields, exact: map[string]*field{"sub": sub}, folded: map[string]*field{"SUB": sub},
			rest: &field{path: []int{1}, shape: &shape{kind: open}}}
		var v reflect.Value
		if test.into != nil {
			v = reflect.ValueOf(test.into).Elem()
		}
		d := decoder{scanner: scanner{data: `{"Sub":1,"x":{"sub":"a","Sub":"b"},"SUB":2,"y":{"SUB":"c"}}`}}
		if err := d.value(s, v, true); err != nil || string(d.out) != test.want {
			t.Errorf("%s: %s, %v; want %s", test.name, d.out, err, test.want)
		}
	}
}

// Errors are encoding/json's, and can be told apart.
func TestDecodeErrors(t *testing.T) {
	var wrongType *json.UnmarshalTypeError
	if err := Decode(`{"x":1,"sub":{}}`, &subject{}, nil); !errors.As(err, &wrongType) || wrongType.Field != "sub" {
		t.Errorf("wrong type: %v", err)
	}
	var invalid *json.InvalidUnmarshalError
	if err := Decode(`{}`, subject{}, nil); !errors.As(err, &invalid) {
		t.Errorf("no pointer: %v", err)
	}
	for _, test := range []struct {
		name, text string
		into       any
		want       string
	}{
		{"two members", `{"plan":1,"PL\u0041N\n":2,"PLAN":3}`, &untagged{}, "two members differ only in case, and a field without a json tag is for both: 'PLAN'"},
		{"two members of a field", `{"X":{"plan":"a","PLAN":"b"}}`, &struct{ X untagged }{}, "two members differ only in case"},
		{"two members of a map's member", `{"x":{"plan":"a","PLAN":"b"}}`, &map[string]untagged{}, "two members differ only in case"},
		{"two members of an element", `[{"plan":"a","PLAN":"b"}]`, &[]untagged{}, "two members differ only in case"},
		{"an imitation", `{"sub":"a","Sub":"b"}`, &withOwnCode{}, "'Sub' differs only in case from a registered claim"},
	} {
		if err := Decode(test.text, test.into, reservedNames); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %s", test.name, err, test.want)
		}
	}
}

// exactly decodes into a recursive without leaving encoding/json a choice of names.
func exactly(data []byte) (r recursive, err error) {
	var members map[string]json.RawMessage
	err = json.Unmarshal(data, &members)
	try := func(name string, f func(data []byte) error) {
		if value, ok := members[name]; ok && err == nil && string(value) != "null" {
			err = f(value)
		}
	}
	try("sub", func(data []byte) error { return json.Unmarshal(data, &r.Sub) })
	try("n", func(data []byte) error { return json.Unmarshal(data, &r.N) })
	try("any", func(data []byte) error { return json.Unmarshal(data, &r.Any) })
	try("next", func(data []byte) error {
		next, err := exactly(data)
		r.Next = &next
		return err
	})
	try("list", func(data []byte) error {
		var all []json.RawMessage
		if err := json.Unmarshal(data, &all); err != nil {
			return err
		}
		r.List = make([]recursive, len(all))
		for i, one := range all {
			var err error
			if r.List[i], err = exactly(one); err != nil {
				return err
			}
		}
		return nil
	})
	try("map", func(data []byte) error {
		var all map[string]json.RawMessage
		if err := json.Unmarshal(data, &all); err != nil {
			return err
		}
		r.Map = make(map[string]recursive, len(all))
		for name, one := range all {
			member, err := exactly(one)
			if err != nil {
				return err
			}
			r.Map[name] = member
		}
		return nil
	})
	if value, ok := members["raw"]; ok {
		r.Raw = value
	}
	return r, err
}

// FuzzDecode compares with a decoder that picks each member by its exact name.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"sub":"a","Sub":"b","ſub":"c"}`,
		`{"next":{"SUB":"b","next":{"sub":"a"}},"NEXT":{"sub":"c"},"list":[{"sub":"a","Sub":"b"},null,{}],"map":{"x":{"Sub":"b"},"X":{"sub":"a"}}}`,
		` { "any" : { "sub" : [ 1.5e+3 , -0 , true ] , "Sub" : null } , "raw" : [ "\"" , {} ] , "n" : 9007199254740993 } `,
		`{"list":{"sub":1},"map":[{}],"next":1,"\u0073ub":"\\"}`,
		`{"x":1e700}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if Object([]byte(text), nil) != nil {
			return
		}
		want, wantErr := exactly([]byte(text))
		var got recursive
		err := Decode(text, &got, []string{"sub"})
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("%s: error %v, want %v", text, err, wantErr)
		}
		if err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
		var all, same any
		err, wantErr = Decode(text, &all, []string{"sub"}), json.Unmarshal([]byte(text), &same)
		if (err != nil) != (wantErr != nil) || err == nil && !reflect.DeepEqual(all, same) {
			t.Errorf("%s: %v, %v; want %v, %v", text, all, err, same, wantErr)
		}
		var u untagged
		_ = Decode(text, &u, []string{"sub"}) // must not panic
	})
}
