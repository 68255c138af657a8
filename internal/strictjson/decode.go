package strictjson

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/seed-70fe37f4/logto/internal/quote"
)

// Decode stores text, which [Object] has found well-formed, in what v points to, as
// [json.Unmarshal] does, but takes no member for a field of another name:
//
//   - A field that has a name in its json tag is filled by the member of exactly that name.
//   - A field without one is filled by the member that has its name in any case. Two such
//     members in one object are an error: nobody can say which is meant.
//   - Among the members of text itself, one whose name is in reserved, but for its case, is
//     none of the second kind. If v has an UnmarshalJSON of its own, it is an error, for
//     what encoding/json makes of it in there can't be seen.
//
// v gets a copy of text: what its types do with the bytes that they are given changes
// nothing for others.
func Decode(text string, v any, reserved []string) error {
	d := decoder{scanner: scanner{data: text}, reserved: reserved}
	place := reflect.ValueOf(v)
	if text == "" || place.Kind() != reflect.Pointer || place.IsNil() {
		return json.Unmarshal([]byte(text), v) // which refuses it
	}
	d.out = make([]byte, 0, len(text))
	d.space()
	if err := d.value(shapeOf(place.Type()), place, true); err != nil {
		return err
	}
	return json.Unmarshal(d.out, v)
}

// decoder copies a text for encoding/json, and leaves out of each object for a struct
// what fills no field of it. That encoding/json then has less to read makes up for most
// of the walk.
type decoder struct {
	scanner
	reserved []string
	out      []byte
}

// value copies one value, which is for a place of shape s. v is the place if it exists
// already, else the zero Value: in one that exists an interface may hold a pointer, and
// encoding/json follows it.
func (d *decoder) value(s *shape, v reflect.Value, top bool) error {
	for range maxPointers {
		if v.Kind() == reflect.Interface {
			if v = v.Elem(); v.Kind() != reflect.Pointer || v.IsNil() {
				break
			}
			s = shapeOf(v.Type())
		}
		if v.Kind() != reflect.Pointer {
			break
		}
		v = v.Elem()
	}
	start := d.pos
	switch c := d.data[d.pos]; {
	case c == '{' && s.kind == fields:
		return d.fields(s, v, top)
	case c == '{' && s.kind == members:
		return d.members(s)
	case c == '[' && s.kind == elements:
		return d.elements(s, v)
	case c == '{' && s.kind == ownCode && top:
		if err := d.imitations(); err != nil {
			return err
		}
	default:
		d.skip()
	}
	d.out = append(d.out, d.data[start:d.pos]...)
	return nil
}

// maxPointers is how many pointers are followed to one value: some go in a circle.
const maxPointers = 100

// name takes the name of a member, as it stands, and goes to its value.
func (d *decoder) name() string {
	name := d.string()
	d.space()
	d.pos++ // the colon
	d.space()
	return name
}

// between writes what stands between two members or elements.
func (d *decoder) between() {
	if last := d.out[len(d.out)-1]; last != '{' && last != '[' {
		d.out = append(d.out, ',')
	}
}

// fields copies of an object what is for a field of a struct.
func (d *decoder) fields(s *shape, v reflect.Value, top bool) error {
	var few [8]*field
	filled := few[:0] // of those without a name in their tag
	d.out = append(d.out, '{')
	for ok := d.more(); ok; ok = !d.end() && d.more() {
		quoted := d.name()
		name, _ := Unquote(quoted)
		f := s.field(name)
		switch {
		case f == nil && s.rest != nil:
			d.between()
			d.out = append(append(d.out, quoted...), ':')
			if err := d.value(s.rest.shape, s.rest.member(v, name), false); err != nil {
				return err
			}
			continue
		case f == nil, f.tagged && name != f.name, !f.tagged && top && d.imitates(name):
			d.skip()
			continue
		case !f.tagged && slices.Contains(filled, f):
			return fmt.Errorf("two members differ only in case, and a field without a json tag is for both: %s", quote.String(name))
		case !f.tagged:
			filled = append(filled, f)
		}
		d.between()
		d.out = append(append(d.out, quoted...), ':')
		if err := d.value(f.shape, f.of(v), false); err != nil {
			return err
		}
	}
	d.out = append(d.out, '}')
	return nil
}

// members copies an object that is for a map.
func (d *decoder) members(s *shape) error {
	d.out = append(d.out, '{')
	for ok := d.more(); ok; ok = !d.end() && d.more() {
		d.between()
		d.out = append(append(d.out, d.name()...), ':')
		if err := d.value(s.elem, reflect.Value{}, false); err != nil {
			return err
		}
	}
	d.out = append(d.out, '}')
	return nil
}

// elements copies an array.
func (d *decoder) elements(s *shape, v reflect.Value) error {
	if v.Kind() == reflect.Slice {
		v = v.Slice(0, v.Cap()) // encoding/json takes up what was left there
	}
	d.out = append(d.out, '[')
	for i, ok := 0, d.more(); ok; i, ok = i+1, !d.end() && d.more() {
		var element reflect.Value
		if v.IsValid() && i < v.Len() {
			element = v.Index(i)
		}
		d.between()
		if err := d.value(s.elem, element, false); err != nil {
			return err
		}
	}
	d.out = append(d.out, ']')
	return nil
}

// imitations goes over an object that is for code of the user's.
func (d *decoder) imitations() error {
	for ok := d.more(); ok; ok = !d.end() && d.more() {
		if name, _ := Unquote(d.name()); d.imitates(name) {
			return fmt.Errorf("%s differs only in case from a registered claim, and the UnmarshalJSON that would get both may mix them up", quote.String(name))
		}
		d.skip()
	}
	return nil
}

// imitates reports whether a name is a reserved one, but for its case.
func (d *decoder) imitates(name string) bool {
	return !slices.Contains(d.reserved, name) &&
		slices.ContainsFunc(d.reserved, func(r string) bool { return strings.EqualFold(r, name) })
}

// skip goes over a value without a look into it.
func (d *decoder) skip() {
	for depth := 0; ; {
		switch d.data[d.pos] {
		case '"':
			d.string()
		case '{', '[':
			depth++
			d.pos++
		case '}', ']':
			depth--
			d.pos++
		case ',', ':', ' ', '\t', '\r', '\n':
			d.pos++
		default:
			for literal[d.data[d.pos]] {
				d.pos++
			}
		}
		if depth == 0 {
			return
		}
	}
}

// literal are the characters of numbers, true, false and null.
var literal = func() (table [256]bool) {
	for _, c := range []byte("0123456789+-.Eaeflnrstu") {
		table[c] = true
	}
	return
}()
