package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// reference says by encoding/json what Object must accept: valid UTF-8, valid JSON, an
// object, no name twice at any depth, none with half a surrogate pair, MaxDepth at most.
func reference(data []byte, shallow bool) bool {
	if !utf8.Valid(data) || !json.Valid(data) || bytes.TrimLeft(data, " \t\r\n")[0] != '{' {
		return false
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return referenceValue(d, data, 1, shallow)
}

func referenceValue(d *json.Decoder, data []byte, depth int, shallow bool) bool {
	token, err := d.Token()
	delim, nested := token.(json.Delim)
	if err != nil || nested && (depth > MaxDepth && !shallow || depth > maxShallow) {
		return false
	}
	if !nested {
		return true
	}
	names := map[string]bool{}
	for d.More() {
		if delim == '{' {
			before := d.InputOffset()
			token, err := d.Token()
			if err != nil {
				return false
			}
			name := token.(string)
			if depth == 1 || !shallow {
				source := data[before:d.InputOffset()]
				if names[name] || strings.ContainsRune(name, utf8.RuneError) && bytes.IndexByte(source, '\\') >= 0 {
					return false
				}
				names[name] = true
			}
		}
		if !referenceValue(d, data, depth+1, shallow) {
			return false
		}
	}
	_, err = d.Token()
	return err == nil
}

var texts = []string{
	"{}", " { } ", "[]", "1", `"a"`, "null", "", " ", "{", "}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a":1 "b":2}`, `{"a" 1}`, `{"a"::1}`, `{"a":1}}`, `{"a":1} x`, `{"a":1}` + "\x00",
	`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":{"b":1,"b":1}}`, `{"a":[{"b":1},{"b":1,"b":2}]}`, `{"a":{"b":1},"b":{"b":1}}`, `{"":1}`, `{"":1,"":1}`, `{"A":1,"a":1}`,
	`{"\u0000":1,"\u0000\u0000":1,"":1}`, `{"a\u0000":1,"a":1}`, `{"abcdefgh":1,"abcdefg\u0068":1}`, `{"abcdefghabcdefghabcdefgh":1,"abcdefghabcdefghabcdefg\u0068":1}`,
	`{"\ud800":1}`, `{"\udc00":1}`, `{"\ud83d\ude00":1,"😀":1}`, `{"\ud83d\ud83d\ude00":1}`, `{"\ud83dx":1}`, `{"a":"\ud800"}`, `{"\ufffd":1}`, `{"�":1}`, `{"�\n":1}`, `{"\n�":1,"b":{"\n�":1}}`,
	`{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"\u12g4"}`, `{"a":"\uD83D\uDE00"}`, `{"a":"\"}`, `{"a":"\\"}`, `{"a":"\b\f\n\r\t\/\"\\"}`, `{"\b\f\n\r\t\/\"\\":1}`, "{\"a\":\"\n\"}", "{\"a\":\"\x7f\"}", "{\"a\":\"\x1f\"}",
	"{\"\xff\":1}", "{\"a\":\"\xc3\xa9\"}", "{\"a\":\"\xc0\x80\"}", "{\"a\":\"\xc1\xbf\"}", "{\"a\":\"\xe0\x80\x80\"}", "{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\xf0\x80\x80\x80\"}", "{\"a\":\"\xf4\x90\x80\x80\"}", "{\"a\":\"\xf4\x8f\xbf\xbf\"}",
	"{\"a\":\"\xef\xbf\xbd\"}", "{\"a\":\"\xef\xbf\"}", "{\"a\":\"\xc3\"}", "{\"a\":\"\xc3", "{\"a\":\xc3\xa9}", "\xef\xbb\xbf{}",
	`{"a":0}`, `{"a":-0}`, `{"a":00}`, `{"a":01}`, `{"a":-}`, `{"a":+1}`, `{"a":1.}`, `{"a":.1}`, `{"a":1.5e+10}`, `{"a":1E-1}`, `{"a":1e}`, `{"a":1e+}`, `{"a":0e0}`, `{"a":0.0}`, `{"a":1x}`, `{"a":-x}`, `{"a":1`, `{"a":-`, `{"a":1e5`,
	`{"a":true,"b":false,"c":null}`, `{"a":tru}`, `{"a":nul`, `{"a":fals}`, `{"a":truex}`, `{"a":True}`, `{"a":n}`, `{"a":[1,2,]}`, `{"a":[,]}`, `{"a":[1 2]}`, `{"a":[}`, `{"a":[1}`, `{"a":{"b":1]}`, `{"a":[]]}`, `{"a":[[],{},[{}]]}`,
	"{\"a\"\t:\r\n[ 1 , 2 ] , \"b\" : { } }", "{\"a\":\v1}", "{\"a\":\u00a01}",
	strings.Repeat(`{"a":`, 63) + "[]" + strings.Repeat("}", 63), strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64), strings.Repeat(`{"a":`, 64) + "[]" + strings.Repeat("}", 64),
	`{"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + "}", `{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + "}",
	`{"a":` + strings.Repeat("[", maxShallow-1) + strings.Repeat("]", maxShallow-1) + "}", `{"a":` + strings.Repeat("[", maxShallow) + strings.Repeat("]", maxShallow) + "}", `{"a":` + strings.Repeat("[", 1000),
	members(15, ""), members(16, ""), members(17, ""), members(3000, ""), members(16, `,"a0":1`), members(17, `,"a16":1`), members(3000, `,"a0":1`), members(3000, `,"a2999":1`), members(3000, `,"a1\u0035":1`),
	`{"x":[` + strings.Repeat(members(20, "")+",", 30) + members(20, "") + `]}`, `{"x":[` + strings.Repeat(members(20, "")+",", 30) + members(20, `,"a19":1`) + `]}`,
	strings.Repeat(`{"a":1,"b":2,"c":`, 60) + "1" + strings.Repeat("}", 60), strings.Repeat(members(17, "")[:len(members(17, ""))-1]+`,"x":`, 30) + "1" + strings.Repeat(`,"a3":1}`, 30),
	strings.Repeat(members(17, "")[:len(members(17, ""))-1]+`,"x":`, 30) + "1" + strings.Repeat(`,"b3":1}`, 30),
}

// members is an object of n members, with more of them behind.
func members(n int, more string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"a%d":1`, i)
	}
	return "{" + b.String()[1:] + more + "}"
}

func TestObject(t *testing.T) {
	for _, text := range texts {
		check(t, []byte(text))
		// Nothing is read beyond the end.
		if len(text) < 200 {
			for i := range len(text) {
				check(t, []byte(text[:i]))
			}
		}
	}
}

func FuzzObject(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { check(t, data) })
}

// check compares with the reference, and each name and value with encoding/json's.
func check(t *testing.T, data []byte) {
	t.Helper()
	got := map[string]string{}
	err := Object(data, func(name, value string) error {
		got[name] = value
		return nil
	})
	if want := reference(data, false); (err == nil) != want || err != nil && err != Err {
		t.Fatalf("%.300q: error %v, the reference accepts: %v", data, err, want)
	}
	shallow := ShallowObject(data, func(name, value string) error {
		if value[0] == '[' {
			n := 0
			err := Array(value, func(element string) error {
				n++
				if !json.Valid([]byte(element)) {
					t.Errorf("element %q", element)
				}
				return nil
			})
			var want []json.RawMessage
			if json.Unmarshal([]byte(value), &want) != nil || len(want) != n || err != nil {
				t.Errorf("%d elements of %q, error %v", n, value, err)
			}
		}
		return nil
	})
	if want := reference(data, true); (shallow == nil) != want {
		t.Fatalf("%.300q: shallow: error %v, the reference accepts: %v", data, shallow, want)
	}
	if err != nil {
		return
	}
	var want map[string]json.RawMessage
	if json.Unmarshal(data, &want) != nil || len(want) != len(got) {
		t.Fatalf("%.300q: %d members, want %d", data, len(got), len(want))
	}
	for name, value := range want {
		if got[name] != string(value) {
			t.Errorf("%.300q: member %q is %q, want %q", data, name, got[name], value)
		}
		text, ok := Unquote(got[name])
		var decoded string
		isString := value[0] == '"' && json.Unmarshal(value, &decoded) == nil
		if bytes.IndexByte(value, '\\') >= 0 && strings.ContainsRune(decoded, utf8.RuneError) {
			isString = false
		}
		if ok != isString || ok && text != decoded {
			t.Errorf("%q is %q, %v; want %q, %v", value, text, ok, decoded, isString)
		}
	}
}

// An error of the caller's ends the walk, within an array too.
func TestCallersError(t *testing.T) {
	mine := errors.New("mine")
	n := 0
	f := func() error { n++; return mine }
	if err := Object([]byte(`{"a":1,"b":2}`), func(string, string) error { return f() }); err != mine || n != 1 {
		t.Errorf("Object: error %v after %d members", err, n)
	}
	if err := Array(`[1,2]`, func(string) error { return f() }); err != mine || n != 2 {
		t.Errorf("Array: error %v after %d elements", err, n)
	}
	if err := Array(`{"a":1}`, func(string) error { return f() }); err != Err || n != 2 {
		t.Errorf("Array of an object: error %v", err)
	}
}

// The table of names is used again, and no text finds names of another one in it.
func TestTablesAreClean(t *testing.T) {
	for i := range 100 {
		if err := Object([]byte(members(100+i, "")), func(string, string) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if err := Object([]byte(members(100+i, ",")), func(string, string) error { return nil }); err != Err {
			t.Fatal("accepted")
		}
	}
}

func TestNumericDate(t *testing.T) {
	for value, want := range map[string]time.Time{
		"0": time.Unix(0, 0), "1.5": time.Unix(1, 5e8), "253402300799": time.Unix(253402300799, 0), "1" + strings.Repeat("0", 63) + "e-63": {}, "1." + strings.Repeat("0", 62): time.Unix(1, 0),
		"1." + strings.Repeat("0", 63): {}, "253402300800": {}, "-1": {}, `"1"`: {}, "1e400": {}, "null": {}, "[]": {}, strings.Repeat("1", 1<<20): {},
	} {
		if got, ok := NumericDate(value); ok != (want != time.Time{}) || ok && !got.Equal(want) {
			t.Errorf("%.80s: %v, %v", value, got, ok)
		}
	}
}
