package strictjson

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

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

// A shape is what there is to know of a type to tell which member of an object
// encoding/json takes for which field.
type shape struct {
	kind   kind
	elem   *shape            // of members and elements
	exact  map[string]*field // by name
	folded map[string]*field // the first of those with one name when folded; nil if all are tagged
}

type kind int

const (
	unknown  kind = iota // is being looked at
	plain                // has no field in it
	open                 // an interface: has none, unless it holds a pointer
	fields               // a struct
	members              // a map
	elements             // a slice or an array
	ownCode              // has an UnmarshalJSON
)

type field struct {
	name   string
	tagged bool  // the name is from the json tag
	path   []int // through embedded structs
	shape  *shape
	hidden bool // by another one of that name: neither is filled
}

// field is the one that encoding/json takes for a member of this name.
func (s *shape) field(name string) *field {
	if f := s.exact[name]; f != nil || s.folded == nil {
		return f
	}
	var short [64]byte
	return s.folded[string(appendFolded(short[:0], name))]
}

// of is the field in a struct v; the zero Value if it isn't there yet.
func (f *field) of(v reflect.Value) reflect.Value {
	for _, i := range f.path {
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if !v.IsValid() {
			break
		}
		v = v.Field(i)
	}
	return v
}

// appendFolded appends name with each letter replaced by the smallest of those that
// differ only in case.
func appendFolded(b []byte, name string) []byte {
	for _, r := range name {
		if r < utf8.RuneSelf {
			if 'a' <= r && r <= 'z' {
				r -= 'a' - 'A'
			}
			b = append(b, byte(r))
			continue
		}
		next := unicode.SimpleFold(r)
		for next > r {
			r, next = next, unicode.SimpleFold(next)
		}
		b = utf8.AppendRune(b, next)
	}
	return b
}

var shapes sync.Map // of reflect.Type to *shape

// shapeOf is the shape of what a pointer of type t points to.
func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := shaper{}.shape(t, false)
	shapes.Store(t, s)
	return s
}

// shaper holds the shapes of one type and all in it: types may contain themselves.
type shaper map[place]*shape

type place struct {
	reflect.Type
	own bool // encoding/json asks a value here for its own methods
}

var (
	unmarshaler = reflect.TypeFor[json.Unmarshaler]()
	rawMessage  = reflect.TypeFor[json.RawMessage]()
)

func (m shaper) shape(t reflect.Type, pointed bool) *shape {
	for range maxPointers {
		if t.Kind() != reflect.Pointer {
			break
		}
		t, pointed = t.Elem(), true
	}
	at := place{t, pointed || t.Name() != ""}
	if s := m[at]; s != nil {
		return s
	}
	s := &shape{}
	m[at] = s
	switch {
	case t == rawMessage:
		s.kind = plain
	case at.own && reflect.PointerTo(t).Implements(unmarshaler):
		s.kind = ownCode
	case t.Kind() == reflect.Interface:
		s.kind = open
	case t.Kind() == reflect.Struct:
		m.fields(s, t)
	case t.Kind() == reflect.Map:
		// Each member begins empty: no interface in it holds anything.
		if s.elem = m.shape(t.Elem(), false); s.elem.kind == plain || s.elem.kind == open {
			s.kind = plain
		} else {
			s.kind = members
		}
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Array:
		if s.elem = m.shape(t.Elem(), false); s.elem.kind == plain {
			s.kind = plain
		} else {
			s.kind = elements
		}
	default:
		s.kind = plain
	}
	return s
}

// fields finds the fields of a struct that encoding/json fills, by Go's rules for embedded
// structs, but that of two at one depth the one with a name in its tag wins.
func (m shaper) fields(s *shape, t reflect.Type) {
	type embedded struct {
		reflect.Type
		path []int
	}
	s.exact = map[string]*field{}
	next, times := []embedded{{Type: t}}, map[reflect.Type]int{}
	seen := map[reflect.Type]bool{}
	for len(next) > 0 {
		level, timesHere := next, times
		next, times = nil, map[reflect.Type]int{}
		for _, e := range level {
			if seen[e.Type] {
				continue
			}
			seen[e.Type] = true
			for i := range e.NumField() {
				f := e.Field(i)
				target := f.Type
				if target.Name() == "" && target.Kind() == reflect.Pointer {
					target = target.Elem()
				}
				tag := f.Tag.Get("json")
				if tag == "-" || !f.IsExported() && !(f.Anonymous && target.Kind() == reflect.Struct) {
					continue
				}
				name, _, _ := strings.Cut(tag, ",")
				if !isName(name) {
					name = ""
				}
				path := append(slices.Clone(e.path), i)
				if name == "" && f.Anonymous && target.Kind() == reflect.Struct {
					if times[target]++; times[target] == 1 {
						next = append(next, embedded{target, path})
					}
					continue
				}
				found := &field{name: name, tagged: name != "", path: path, hidden: timesHere[e.Type] > 1}
				if name == "" {
					found.name = f.Name
				}
				switch other := s.exact[found.name]; {
				case other != nil && len(other.path) < len(path), other != nil && other.tagged && !found.tagged:
				case other != nil && other.tagged == found.tagged:
					other.hidden = true
				default:
					s.exact[found.name] = found
				}
				found.shape = m.shape(f.Type, false)
			}
		}
	}
	var all []*field
	for name, f := range s.exact {
		if f.hidden {
			delete(s.exact, name)
			continue
		}
		all = append(all, f)
	}
	if s.kind = fields; len(all) == 0 {
		s.kind = plain
	}
	if !slices.ContainsFunc(all, func(f *field) bool { return !f.tagged }) {
		return
	}
	s.folded = map[string]*field{}
	slices.SortFunc(all, func(a, b *field) int { return slices.Compare(a.path, b.path) })
	for _, f := range all {
		if folded := string(appendFolded(nil, f.name)); s.folded[folded] == nil {
			s.folded[folded] = f
		}
	}
}

// isName tells whether encoding/json takes s from a tag for a name.
func isName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r)
	})
}
