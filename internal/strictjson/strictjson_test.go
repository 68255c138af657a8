package strictjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// collect gives what walk hands on, each name with its value.
func collect(walk func([]byte, func(name, value string) error) error, data string) (string, error) {
	var all []string
	err := walk([]byte(data), func(name, value string) error {
		all = append(all, name+"="+value)
		return nil
	})
	return strings.Join(all, "|"), err
}

// Names come decoded, values as they stand, without the white space around them. A nested
// object may have a name twice where only ShallowObject looks.
func TestObject(t *testing.T) {
	nested := func(open, inner, end string, n int) string {
		return `{"a":` + strings.Repeat(open, n) + inner + strings.Repeat(end, n) + `}`
	}
	value := func(object string) string { return "a=" + object[len(`{"a":`):len(object)-1] }
	arrays, objects := nested("[", "", "]", 63), nested(`{"b":`, "{}", "}", 62)
	tooMany, tooManyObjects := nested("[", "", "]", 64), nested(`{"b":`, "{}", "}", 63)
	valueInside := nested("[", "1", "]", 63)
	for _, test := range []struct {
		name, data   string
		want         string
		err, shallow error
	}{
		{"empty", `{}`, "", nil, nil},
		{"white space in it", "{ \t\r\n}", "", nil, nil},
		{"white space around it", " \t\r\n{} \t\r\n", "", nil, nil},
		{"one", `{"a":1}`, "a=1", nil, nil},
		{"all kinds", `{"a":1,"b":"x","c":true,"d":false,"e":null,"f":[],"g":{},"h":-1.5e+3}`, `a=1|b="x"|c=true|d=false|e=null|f=[]|g={}|h=-1.5e+3`, nil, nil},
		{"white space everywhere", " { \"a\" : 1 , \"b\" : [ 1 , {\"c\" : 2 } ] , \"c\" : \"x\" } ", `a=1|b=[ 1 , {"c" : 2 } ]|c="x"`, nil, nil},
		{"lines", "{\n\t\"a\":\t1\n,\r\n\"b\":true\r}", `a=1|b=true`, nil, nil},
		{"nested, all kinds", `{"a":[1,"x",true,[],{"b":[{}],"c":{"d":1}},{}],"e":2}`, `a=[1,"x",true,[],{"b":[{}],"c":{"d":1}},{}]|e=2`, nil, nil},
		{"what looks like an end in a string", `{"a":"}],\"\\","b":"\\"}`, `a="}],\"\\"|b="\\"`, nil, nil},
		{"a value that begins with !", `{"a":"!","!":"!"}`, `a="!"|!="!"`, nil, nil},
		{"name with an escape", `{"\u0061\n":1}`, "a\n=1", nil, nil},
		{"one name in two cases", `{"a":1,"A":2}`, "a=1|A=2", nil, nil},
		{"one name at two depths", `{"a":{"a":[{"a":1},{"a":1}]}}`, `a={"a":[{"a":1},{"a":1}]}`, nil, nil},

		{"twice", `{"a":1,"a":1}`, "", ErrTwice, ErrTwice},
		{"twice, one with an escape", `{"a":1,"b":2,"\u0061":1}`, "", ErrTwice, ErrTwice},
		{"twice in an object", `{"a":{"b":1,"b":1}}`, `a={"b":1,"b":1}`, ErrTwice, nil},
		{"twice in an array", `{"a":[0,{"b":1,"b":1}]}`, `a=[0,{"b":1,"b":1}]`, ErrTwice, nil},
		{"twice in an array's array, last", `{"a":[[{}],[{"b":1,"c":2,"b":1}]]}`, `a=[[{}],[{"b":1,"c":2,"b":1}]]`, ErrTwice, nil},
		{"a name that is half a pair", `{"\ud800":1}`, "", Err, Err},
		{"a name that is half a pair, deeper", `{"a":{"\ud800":1}}`, `a={"\ud800":1}`, Err, nil},

		{"arrays", arrays, value(arrays), nil, nil},
		{"arrays with a value in them", valueInside, value(valueInside), nil, nil},
		{"arrays, one too many", tooMany, value(tooMany), ErrDepth, nil},
		{"objects", objects, value(objects), nil, nil},
		{"objects, one too many", tooManyObjects, value(tooManyObjects), ErrDepth, nil},

		{"nothing", "", "", Err, Err},
		{"white space alone", " ", "", Err, Err},
		{"cut", `{"a":1`, "", Err, Err},
		{"more behind it", `{}{}`, "", Err, Err},
		{"an array", `[{"a":1}]`, "", Err, Err},
		{"a string", `"a"`, "", Err, Err},
		{"null", `null`, "", Err, Err},
		{"a byte order mark", "\ufeff{}", "", Err, Err},
		{"not UTF-8", "{\"a\":\"\xff\"}", "", Err, Err},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got, err := collect(Object, test.data); err != test.err || err == nil && got != test.want {
				t.Errorf("%s, error %v, want %s, %v", got, err, test.want, test.err)
			}
			if got, err := collect(ShallowObject, test.data); err != test.shallow || err == nil && got != test.want {
				t.Errorf("shallow: %s, error %v, want %s, %v", got, err, test.want, test.shallow)
			}
		})
	}
}

// A name is found to be there already, wherever the two stand among many.
func TestManyNames(t *testing.T) {
	const most = 40
	object := func(names []int) string {
		var b strings.Builder
		for i, n := range names {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `"n%d":%d`, n, i)
		}
		return "{" + b.String() + "}"
	}
	var names []int
	for n := range most {
		names = append(names, n)
		if _, err := collect(Object, object(names)); err != nil {
			t.Errorf("%d names: %v", n+1, err)
		}
		for twice := range names {
			if _, err := collect(Object, object(append(names, twice))); err != ErrTwice {
				t.Errorf("%d names, then that of number %d: error %v", n+1, twice, err)
			}
		}
	}
}

// An error of the function that is called ends the walk and comes back.
func TestStop(t *testing.T) {
	stop, calls := errors.New("stop"), 0
	second := func() error {
		if calls++; calls == 2 {
			return stop
		}
		return nil
	}
	for name, walk := range map[string]func() error{
		"Object": func() error {
			return Object([]byte(`{"a":1,"b":2,"c":3}`), func(_, _ string) error { return second() })
		},
		"ShallowObject": func() error {
			return ShallowObject([]byte(`{"a":1,"b":2,"c":3}`), func(_, _ string) error { return second() })
		},
		"Array": func() error { return Array(`[1,2,3]`, func(string) error { return second() }) },
	} {
		calls = 0
		if err := walk(); err != stop || calls != 2 {
			t.Errorf("%s: error %v after %d calls", name, err, calls)
		}
	}
}

// Each object has names of its own, however many there were in those before, around and
// within it.
func TestManyNamesOfManyObjects(t *testing.T) {
	members := func(n int, more string) string {
		var b strings.Builder
		for k := range n {
			fmt.Fprintf(&b, `"n%d":1,`, k)
		}
		return "{" + b.String() + more + "}"
	}
	for _, n := range []int{3, 16, 17, 40} {
		for text, want := range map[string]error{
			`{"a":[` + members(n, `"x":1`) + `,` + members(n, `"x":1`) + `]}`:                               nil,
			`{"a":[` + members(n, `"x":1`) + `,` + members(n, `"n2":1`) + `]}`:                              ErrTwice,
			members(n, `"x":`+members(n, `"x":`+members(n, `"x":1`))):                                       nil,
			members(n, `"x":`+members(n, `"x":1`)+`,"y":`+members(n, `"y":1`)):                              nil,
			members(n, `"x":`+members(n, `"x":1`)+`,"n0":1`):                                                ErrTwice,
			members(n, `"x":`+members(n, `"x":`+members(n, `"x":1`)+`,"n1":1`)):                             ErrTwice,
			`{"a":` + members(n, `"x":1`) + `,"b":` + members(n, `"x":`+members(n, `"x":1`)) + `}`:          nil,
			`{"a":` + members(n, `"x":1`) + `,"b":` + members(n, `"x":`+members(n, `"x":1`)+`,"x":1`) + `}`: ErrTwice,
		} {
			if _, err := collect(Object, text); err != want {
				t.Errorf("%d: error %v, want %v", n, err, want)
			}
		}
	}
}

func TestArray(t *testing.T) {
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	for _, test := range []struct {
		value, want string
		err         error
	}{
		{`[]`, "", nil},
		{"[ \n]", "", nil},
		{`[1]`, "1", nil},
		{`[ 1 , "x,]" , [2, 3] ,{"a":[4]}, null ]`, `1|"x,]"|[2, 3]|{"a":[4]}|null`, nil},
		{`[[1],[]]`, `[1]|[]`, nil},
		{`[{"a":1,"a":1}]`, `{"a":1,"a":1}`, nil}, // whoever gave the value has looked, or wanted none to
		{"[" + deep + "]", deep, nil},
		{`{"a":[1]}`, "", Err},
		{`"[1]"`, "", Err},
		{`"["`, "", Err},
		{`1`, "", Err},
		{`null`, "", Err},
	} {
		var all []string
		err := Array(test.value, func(value string) error { all = append(all, value); return nil })
		if got := strings.Join(all, "|"); got != test.want || err != test.err {
			t.Errorf("%s: %s, error %v, want %s, %v", test.value, got, err, test.want, test.err)
		}
	}
}

// Of what Object has gone through, names are decoded and values given as they stand.
func TestMembers(t *testing.T) {
	for _, test := range []struct {
		value, want string
		err         error
	}{
		{`{}`, "", nil},
		{"{ \n}", "", nil},
		{`{ "a" : 1 , "\u0062":{"c":[2, {}]}, "":null }`, `a=1|b={"c":[2, {}]}|=null`, nil},
		{`["a"]`, "", Err},
		{`"{}"`, "", Err},
		{`1`, "", Err},
		{`null`, "", Err},
	} {
		got, err := collect(func(data []byte, member func(name, value string) error) error { return Members(string(data), member) }, test.value)
		if got != test.want || err != test.err {
			t.Errorf("%s: %s, error %v, want %s, %v", test.value, got, err, test.want, test.err)
		}
	}
}

func TestUnquote(t *testing.T) {
	for value, want := range map[string]string{
		`""`: "", `"a"`: "a", `"\u0061"`: "a", `"\""`: `"`, `"a\nb"`: "a\nb", `"é"`: "é", "\"\ufffd\"": "\ufffd", `"\ud83d\ude00"`: "😀", `"\u0000"`: "\x00",
		`"\"\\\/\b\f\n\r\t"`: "\"\\/\b\f\n\r\t", `"\u00e9\u20AC\uFfFc"`: "é€\ufffc", `"a\ud83d\udE00b\\u0041\u005c"`: `a😀b\u0041\`,
	} {
		if got, ok := Unquote(value); got != want || !ok {
			t.Errorf("%s: %q, %v", value, got, ok)
		}
	}
	for _, value := range []string{`1`, `null`, `true`, `{}`, `["a"]`, `"\ud800"`, `"a\udc00b"`, `"\ufffd"`,
		`"\ud83d\u0041"`, `"\ud83dude00"`, `"\ud83d\n"`, `"\ud83d\\ude00"`, `"\ud83d\ud83d\ude00"`, `"\ude00\ud83d"`, `"\ud83d😀"`} {
		if got, ok := Unquote(value); got != "" || ok {
			t.Errorf("%s: %q, %v", value, got, ok)
		}
	}
}

// FuzzUnquote compares with encoding/json, which puts U+FFFD for half a surrogate pair.
func FuzzUnquote(f *testing.F) {
	for _, seed := range []string{`"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"`, `"\ud83d\u0041"`, `"\ud83d"`, `"\ude00\ud83d"`, `"é\\ud83d"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		var want string
		if !utf8.ValidString(value) || value == "" || value[0] != '"' || value[len(value)-1] != '"' || json.Unmarshal([]byte(value), &want) != nil {
			return
		}
		wantOK := !strings.Contains(value, `\`) || !strings.ContainsRune(want, utf8.RuneError)
		if !wantOK {
			want = ""
		}
		if got, ok := Unquote(value); got != want || ok != wantOK {
			t.Errorf("%s: %q, %v; want %q, %v", value, got, ok, want, wantOK)
		}
	})
}

func TestNumericDate(t *testing.T) {
	for value, want := range map[string]time.Time{
		"0":                time.Unix(0, 0),
		"9":                time.Unix(9, 0),
		"1700000000":       time.Unix(1700000000, 0),
		"1700000000.5":     time.Unix(1700000000, 5e8),
		"0.25":             time.Unix(0, 25e7),
		"1.7e9":            time.Unix(1700000000, 0),
		"1e0":              time.Unix(1, 0),
		"253402300799":     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		"253402300799.5":   time.Date(9999, 12, 31, 23, 59, 59, 5e8, time.UTC),
		"2.53402300799e11": time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	} {
		if got, ok := NumericDate(value); !got.Equal(want) || !ok {
			t.Errorf("%s: %v, %v, want %v", value, got, ok, want)
		}
	}
	for _, value := range []string{
		"253402300800", "253402300800.0", "2.534023008e11", "9223372036854775807", "9223372036854775808", "1e400", "1e30",
		"-1", "-0", "-1.5", `"1"`, "null", "true", "[1]", "{}",
	} {
		if got, ok := NumericDate(value); ok {
			t.Errorf("%s: %v", value, got)
		}
	}
}
