package strictjson

import (
	"encoding/json"
	"reflect"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"
)

// A shape is what there is to know of a type to tell which member of an object
// encoding/json takes for which field.
type shape struct {
	kind   kind
	elem   *shape            // of members and elements
	exact  map[string]*field // by name
	folded map[string]*field // the first of those with one name when folded; nil if all are tagged and there is no rest
	rest   *field            // gets what no other field is for; its shape is that of one member
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

// member is what the map that is the field in a struct v has by this name already; the zero
// Value if there is none.
func (f *field) member(v reflect.Value, name string) reflect.Value {
	m := f.of(v)
	if m.Kind() == reflect.Pointer {
		m = m.Elem()
	}
	if m.Kind() != reflect.Map || m.IsNil() {
		return reflect.Value{}
	}
	return m.MapIndex(reflect.ValueOf(name).Convert(m.Type().Key()))
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

var rawMessage = reflect.TypeFor[json.RawMessage]()

func (m shaper) shape(t reflect.Type, pointed bool) *shape {
	for range maxPointers {
		if t.Kind() != reflect.Pointer {
			break
		}
		t, pointed = t.Elem(), true
	}
	at := place{t, pointed || t.Name() != "" || asksUnnamed}
	if s := m[at]; s != nil {
		return s
	}
	s := &shape{}
	m[at] = s
	switch {
	case t == rawMessage:
		s.kind = plain
	case at.own && slices.ContainsFunc(unmarshalers, reflect.PointerTo(t).Implements):
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
	var rests []*field
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
				name := tagName(tag)
				path := append(slices.Clone(e.path), i)
				embeds := name == "" && tagEmbeds(tag)
				if name == "" && (f.Anonymous || embeds) && target.Kind() == reflect.Struct {
					if times[target]++; times[target] == 1 {
						next = append(next, embedded{target, path})
					}
					continue
				}
				if embeds {
					if elem, ok := restOf(target); ok {
						rests = append(rests, &field{path: path, shape: m.shape(elem, false)})
						continue
					}
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
	if len(rests) > 0 { // of two at one depth encoding/json fills none
		s.rest = rests[0]
	}
	if s.kind = fields; len(all) == 0 && s.rest == nil {
		s.kind = plain
	}
	if s.rest == nil && !slices.ContainsFunc(all, func(f *field) bool { return !f.tagged }) {
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
