// Package strictjson reads the JSON of tokens and keys: exact member names, no
// member twice at any depth (RFC 7515 section 4, RFC 7519 section 4), valid UTF-8,
// bounded depth. encoding/json matches names in any case, lets the last duplicate
// win and repairs bad UTF-8, each of which lets two readers of one token see two
// different tokens. Values are handed on as they stand in the text.
package strictjson

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth bounds the nesting of arrays and objects.
const MaxDepth = 64

// Err is the error of all that is not as [Object], [ShallowObject] or [Array] want it,
// ErrTwice that of JSON with a name twice in one object, ErrDepth that of JSON which is
// nested deeper than [MaxDepth].
var (
	Err      = errors.New("not one well-formed JSON object")
	ErrTwice = errors.New("a name stands twice in one JSON object")
	ErrDepth = errors.New("JSON is nested too deep")
)

// Object checks that data is one JSON object and nothing more, and calls member
// for each member of it in turn. The name comes decoded, the value as it stands.
// An error from member ends the walk and is returned.
func Object(data []byte, member func(name, value string) error) error {
	return object(data, MaxDepth, member)
}

// ShallowObject is [Object] that looks for no duplicates within values: in a key
// set, one bad key must not spoil the others.
func ShallowObject(data []byte, member func(name, value string) error) error {
	return object(data, 1, member)
}

func object(data []byte, strict int, member func(name, value string) error) error {
	if !utf8.Valid(data) || !json.Valid(data) {
		return Err
	}
	s := scanner{data: string(data), strict: strict}
	if s.space(); s.data[s.pos] != '{' {
		return Err
	}
	return s.object(1, member)
}

// Array calls element for each element of value, which [Object] gave. It is [Err]
// if that is no array.
func Array(value string, element func(value string) error) error {
	s := scanner{data: value}
	if value[0] != '[' {
		return Err
	}
	return s.array(1, element)
}

// Members calls member for each member of value, which [Object] gave. It is [Err] if that
// is no object.
func Members(value string, member func(name, value string) error) error {
	s := scanner{data: value}
	if value[0] != '{' {
		return Err
	}
	return s.object(1, member)
}

// scanner walks through JSON that encoding/json has found valid.
type scanner struct {
	data   string
	pos    int
	strict int // the depth down to which duplicates are looked for
}

func (s *scanner) space() {
	for s.pos < len(s.data) && s.data[s.pos] <= ' ' { // in valid JSON that is white space
		s.pos++
	}
}

// more takes the bracket or comma before an element and reports whether there
// is one; else it takes the closing bracket.
func (s *scanner) more() bool {
	s.pos++
	s.space()
	if c := s.data[s.pos]; c == '}' || c == ']' {
		s.pos++
		return false
	}
	return true
}

// end takes white space and reports whether the closing bracket follows; then
// it takes that too.
func (s *scanner) end() bool {
	s.space()
	if s.data[s.pos] == ',' {
		return false
	}
	s.pos++
	return true
}

func (s *scanner) object(depth int, member func(name, value string) error) error {
	var names nameSet
	for ok := s.more(); ok; ok = !s.end() && s.more() {
		name, isName := Unquote(s.string())
		if strict := depth <= s.strict; strict && !isName {
			return Err
		} else if strict && !names.add(name) {
			return ErrTwice
		}
		s.space()
		s.pos++ // the colon
		value, err := s.value(depth + 1)
		if err == nil && member != nil {
			err = member(name, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) array(depth int, element func(value string) error) error {
	for ok := s.more(); ok; ok = !s.end() && s.more() {
		value, err := s.value(depth + 1)
		if err == nil && element != nil {
			err = element(value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// value takes a value and looks for duplicates within it.
func (s *scanner) value(depth int) (string, error) {
	s.space()
	start := s.pos
	var err error
	switch c := s.data[s.pos]; {
	case (c == '{' || c == '[') && depth > MaxDepth && s.strict == MaxDepth:
		err = ErrDepth
	case c == '{':
		err = s.object(depth, nil)
	case c == '[':
		err = s.array(depth, nil)
	case c == '"':
		s.string()
	default:
		for s.pos < len(s.data) {
			if c := s.data[s.pos]; c <= ' ' || c == ',' || c == ']' || c == '}' {
				break
			}
			s.pos++
		}
	}
	return s.data[start:s.pos], err
}

// string takes a string with its quotation marks.
func (s *scanner) string() string {
	start := s.pos
	if n := strings.IndexByte(s.data[start+1:], '"'); strings.IndexByte(s.data[start+1:start+1+n], '\\') < 0 {
		s.pos += n + 2
		return s.data[start:s.pos]
	}
	for s.pos++; s.data[s.pos] != '"'; s.pos++ {
		if s.data[s.pos] == '\\' {
			s.pos++
		}
	}
	s.pos++
	return s.data[start:s.pos]
}

// Unquote decodes a string. It is false for any other value and for half a
// surrogate pair: encoding/json puts U+FFFD in its place, and two different
// strings, say two user IDs, would become one.
func Unquote(value string) (string, bool) {
	if value[0] != '"' {
		return "", false
	}
	text := value[1 : len(value)-1]
	if strings.IndexByte(text, '\\') < 0 {
		return text, true
	}
	decoded := unescape(text)
	if strings.ContainsRune(decoded, utf8.RuneError) {
		return "", false
	}
	return decoded, true
}

// unescape decodes the escapes of a well-formed string (RFC 8259 section 7). encoding/json
// takes five times as long for a short one, and junk has hundreds.
func unescape(text string) string {
	decoded := make([]byte, 0, len(text))
	for {
		n := strings.IndexByte(text, '\\')
		if n < 0 {
			return string(append(decoded, text...))
		}
		decoded = append(decoded, text[:n]...)
		c := text[n+1]
		text = text[n+2:]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := hex(text)
			text = text[4:]
			if utf16.IsSurrogate(r) {
				low := rune(0)
				if strings.HasPrefix(text, `\u`) {
					low = hex(text[2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					text = text[6:]
				}
			}
			decoded = utf8.AppendRune(decoded, r)
			continue
		}
		decoded = append(decoded, c)
	}
}

// hex is the value of the four digits that text begins with.
func hex(text string) rune {
	n, _ := strconv.ParseUint(text[:4], 16, 16) // they are digits
	return rune(n)
}

// nameSet holds the member names of one object: in a list while they are few, as
// in every token of Logto's, for a map costs more than all else here; in a map
// beyond that, so that an object of thousands of members doesn't cost the square.
type nameSet struct {
	list [16]string
	n    int
	all  map[string]struct{} // nil while the list has room
}

// add reports whether the name is a new one.
func (s *nameSet) add(name string) bool {
	if s.n < len(s.list) {
		if slices.Contains(s.list[:s.n], name) {
			return false
		}
		s.list[s.n] = name
		s.n++
		return true
	}
	if s.all == nil {
		s.all = make(map[string]struct{}, 2*len(s.list))
		for _, one := range s.list {
			s.all[one] = struct{}{}
		}
	}
	before := len(s.all)
	s.all[name] = struct{}{}
	return len(s.all) > before
}

// maxTime is the first second after the year 9999.
const maxTime = 253402300800

// NumericDate reads a NumericDate (RFC 7519 section 2) between 1970 and 9999.
// It is false for any other value: a string, a negative number, 1e400.
func NumericDate(value string) (time.Time, bool) {
	if value[0] < '0' || value[0] > '9' {
		return time.Time{}, false
	}
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.Unix(n, 0), n < maxTime
	}
	f, err := strconv.ParseFloat(value, 64)
	if err != nil || f >= maxTime {
		return time.Time{}, false
	}
	sec, frac := math.Modf(f)
	return time.Unix(int64(sec), int64(frac*float64(time.Second))), true
}
