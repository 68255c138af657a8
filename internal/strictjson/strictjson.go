// Package strictjson reads the JSON of tokens and keys: exact member names, no
// member twice at any depth (RFC 7515 section 4, RFC 7519 section 4), valid UTF-8,
// bounded depth. encoding/json matches names in any case, lets the last duplicate
// win and repairs bad UTF-8, each of which lets two readers of one token see two
// different tokens. Values are handed on as they stand in the text.
package strictjson

import (
	"errors"
	"hash/maphash"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth bounds the nesting of arrays and objects.
const MaxDepth = 64

// Err is the error of all that is not as [Object], [ShallowObject] or [Array] want it.
var Err = errors.New("not one well-formed JSON object")

// Object checks that data is one JSON object and nothing more, and calls member
// for each member of it in turn. The name comes decoded, the value as it stands, and
// nothing after them has been looked at. An error from member ends the walk and is
// returned.
//
// It is one pass, whose cost hangs on the length alone: anybody may send the data. See
// Junk in bench.
func Object(data []byte, member func(name, value string) error) error {
	return object(data, MaxDepth, member)
}

// ShallowObject is [Object] that looks for no duplicates within values: in a key
// set, one bad key must not spoil the others.
func ShallowObject(data []byte, member func(name, value string) error) error {
	return object(data, maxShallow, member)
}

// maxShallow bounds the nesting for [ShallowObject].
const maxShallow = 512

func object(data []byte, most int, member func(name, value string) error) error {
	s := scanner{data: string(data), most: most}
	i, c := s.next(0)
	if c != '{' {
		return Err
	}
	i, err := s.object(i, member)
	s.names.free()
	if err == nil && s.space(i) != len(s.data) {
		return Err
	}
	return err
}

// Array calls element for each element of value, which [Object] gave. It is [Err]
// if that is no array.
func Array(value string, element func(value string) error) error {
	s := scanner{data: value, most: maxShallow}
	if value[0] != '[' {
		return Err
	}
	return s.array(0, element)
}

// scanner walks through JSON. Positions are indexes of data; a negative one tells that
// it is not well-formed.
type scanner struct {
	data   string
	most   int // depth; if it is maxShallow, duplicates are looked for at depth 1 only
	names  nameSets
	decode strings.Builder // names with escapes

	// open are the arrays and objects within a value that the scanner is in: a bit each,
	// which is set for an object. sets are those of the objects.
	open [maxShallow / 64]uint64
	sets [MaxDepth]nameSet
}

func (s *scanner) space(i int) int {
	for i < len(s.data) && (s.data[i] == ' ' || s.data[i] == '\t' || s.data[i] == '\r' || s.data[i] == '\n') {
		i++
	}
	return i
}

// next takes white space, and returns what follows; 0 at the end.
func (s *scanner) next(i int) (int, byte) {
	if i < len(s.data) && s.data[i] > ' ' {
		return i, s.data[i]
	}
	if i = s.space(i); i < len(s.data) {
		return i, s.data[i]
	}
	return i, 0
}

// object takes the object of depth 1, whose brace is at i.
func (s *scanner) object(i int, member func(name, value string) error) (int, error) {
	i, c := s.next(i + 1)
	if c == '}' {
		return i + 1, nil
	}
	s.sets[MaxDepth-1] = s.names.open() // which no value within can reach
	for {
		name, colon := s.name(i, MaxDepth-1)
		if colon < 0 {
			return -1, Err
		}
		start := s.space(colon + 1)
		if i = s.value(start); i < 0 {
			return -1, Err
		}
		if err := member(name, s.data[start:i]); err != nil {
			return -1, err
		}
		switch i, c = s.next(i); c {
		case '}':
			return i + 1, nil
		case ',':
			i, _ = s.next(i + 1)
		default:
			return -1, Err
		}
	}
}

// array takes an array, whose bracket is at i.
func (s *scanner) array(i int, element func(value string) error) error {
	i, c := s.next(i + 1)
	if c == ']' {
		return nil
	}
	for {
		start := i
		if i = s.value(start); i < 0 {
			return Err
		}
		if err := element(s.data[start:i]); err != nil {
			return err
		}
		switch i, c = s.next(i); c {
		case ']':
			return nil
		case ',':
			i, _ = s.next(i + 1)
		default:
			return Err
		}
	}
}

// name takes the name of a member, which begins at i, and returns where its colon is. It
// must be a new one of the given set; a negative one stands for none.
func (s *scanner) name(i, set int) (name string, colon int) {
	if i >= len(s.data) || s.data[i] != '"' {
		return "", -1
	}
	i++
	end, hash := 0, uint64(0)
	if rest := s.data[i:]; len(rest) >= 8 && set >= 0 {
		// Most names are short.
		w := eight(rest)
		if n := bits.TrailingZeros64(special(w)) / 8; n < 8 && rest[n] == '"' {
			end, hash = i+n+1, mix(w&(1<<(8*n)-1), 0, n)
			name = rest[:n]
		}
	}
	if end == 0 {
		var escapes bool
		if end, escapes = s.string(i); end < 0 {
			return "", -1
		}
		if set >= 0 {
			name = s.data[i : end-1]
			if escapes {
				var ok bool
				if name, ok = s.unescape(name); !ok {
					return "", -1
				}
			}
			hash = hashOf(name)
		}
	}
	if set >= 0 && !s.names.add(&s.sets[set], hash, len(s.data)) {
		return "", -1
	}
	colon, c := s.next(end)
	if c != ':' {
		return "", -1
	}
	return name, colon
}

// value takes a value that begins at i, of a member or an element at depth 1. It doesn't
// call itself: what is nested stands in open.
func (s *scanner) value(i int) int {
	d, check := s.data, s.most != maxShallow
	depth, objects := 0, 0 // that are open
	for {
		// A value begins.
		if i >= len(d) {
			return -1
		}
		switch c := d[i]; c {
		case '"':
			if i, _ = s.string(i + 1); i < 0 {
				return -1
			}
		case '[':
			if depth+2 > s.most {
				return -1
			}
			if i, c = s.next(i + 1); c != ']' {
				s.open[depth/64] &^= 1 << (depth % 64)
				depth++
				continue
			}
			i++
		case '{':
			if depth+2 > s.most {
				return -1
			}
			if i, c = s.next(i + 1); c != '}' {
				s.open[depth/64] |= 1 << (depth % 64)
				depth++
				if check {
					s.sets[objects] = s.names.open()
					objects++
				}
				if _, i = s.name(i, objects-1); i < 0 {
					return -1
				}
				i, _ = s.next(i + 1)
				continue
			}
			i++
		case 't', 'n':
			if i+4 > len(d) || d[i:i+4] != "true" && d[i:i+4] != "null" {
				return -1
			}
			i += 4
		case 'f':
			if i+5 > len(d) || d[i:i+5] != "false" {
				return -1
			}
			i += 5
		default:
			if i = s.number(i); i < 0 {
				return -1
			}
		}
		// A value has ended, and with it maybe what it is in.
		for {
			if depth == 0 {
				return i
			}
			var c byte
			i, c = s.next(i)
			isObject := s.open[(depth-1)/64]>>((depth-1)%64)&1 != 0
			if c == ',' {
				i, _ = s.next(i + 1)
				if isObject {
					if _, i = s.name(i, objects-1); i < 0 {
						return -1
					}
					i, _ = s.next(i + 1)
				}
				break
			}
			switch {
			case isObject && c == '}':
				if check {
					objects--
					s.names.close(s.sets[objects])
				}
			case isObject || c != ']':
				return -1
			}
			depth--
			i++
		}
	}
}

// number takes a number.
func (s *scanner) number(i int) int {
	d := s.data
	if d[i] == '-' {
		if i++; i == len(d) {
			return -1
		}
	}
	if d[i] == '0' {
		i++
	} else if i = digits(d, i); i < 0 {
		return -1
	}
	if i < len(d) && d[i] == '.' {
		if i = digits(d, i+1); i < 0 {
			return -1
		}
	}
	if i < len(d) && d[i]|0x20 == 'e' {
		if i++; i < len(d) && (d[i] == '+' || d[i] == '-') {
			i++
		}
		i = digits(d, i)
	}
	return i
}

// digits takes one digit or more.
func digits(d string, i int) int {
	start := i
	for i < len(d) && d[i]-'0' <= 9 {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special finds, in eight bytes at once, those that are no plain character of a string:
// the lowest bit that is set is the highest one of the first of them. Others may be
// carries.
func special(w uint64) uint64 {
	quote, slash := w^('"'*ones), w^('\\'*ones)
	return (w | (quote-ones)&^quote | (slash-ones)&^slash | (w-' '*ones)&^w) & highs
}

// string takes the rest of a string behind its first quotation mark, with the last one,
// and tells whether there are escapes in it.
func (s *scanner) string(i int) (end int, escapes bool) {
	d := s.data
	for {
		for i+8 <= len(d) {
			if special := special(eight(d[i:])); special != 0 {
				i += bits.TrailingZeros64(special) / 8
				break
			}
			i += 8
		}
		for {
			if i >= len(d) {
				return -1, false
			}
			c := d[i]
			if c == '"' {
				return i + 1, escapes
			}
			if c == '\\' {
				if i = escape(d, i); i < 0 {
					return -1, false
				}
				escapes = true
				continue
			}
			if c >= utf8.RuneSelf {
				if i = beyondASCII(d, i); i < 0 {
					return -1, false
				}
				continue
			}
			if c < ' ' {
				return -1, false
			}
			if i++; i+8 <= len(d) {
				break
			}
		}
	}
}

// escape takes an escape.
func escape(d string, i int) int {
	if i+1 >= len(d) {
		return -1
	}
	switch d[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		if i+6 <= len(d) && hex4(d[i+2:i+6]) >= 0 {
			return i + 6
		}
	}
	return -1
}

// beyondASCII takes a character of two bytes or more (RFC 3629 section 4).
func beyondASCII(d string, i int) int {
	c, rest := d[i], d[i+1:]
	switch {
	case c < 0xc2:
		return -1
	case c < 0xe0:
		if len(rest) >= 1 && rest[0]&0xc0 == 0x80 {
			return i + 2
		}
	case c < 0xf0:
		if len(rest) >= 2 && rest[0]&0xc0 == 0x80 && rest[1]&0xc0 == 0x80 && (c != 0xe0 || rest[0] >= 0xa0) && (c != 0xed || rest[0] < 0xa0) {
			return i + 3
		}
	default:
		if r, n := utf8.DecodeRuneInString(d[i:]); r != utf8.RuneError {
			return i + n
		}
	}
	return -1
}

// hex4 reads four hexadecimal digits; it is negative if they are none.
func hex4(d string) rune {
	return rune(hexDigit[d[0]])<<12 | rune(hexDigit[d[1]])<<8 | rune(hexDigit[d[2]])<<4 | rune(hexDigit[d[3]])
}

// hexDigit is the value of each digit, and -1 of all else.
var hexDigit = func() (table [256]int16) {
	for c := range table {
		n, err := strconv.ParseUint(string(rune(c)), 16, 8)
		if table[c] = int16(n); err != nil {
			table[c] = -1
		}
	}
	return
}()

// unescape decodes a name.
func (s *scanner) unescape(text string) (string, bool) {
	if s.decode.Len() == 0 {
		s.decode.Grow(len(s.data))
	}
	start := s.decode.Len()
	ok := unescape(&s.decode, text)
	return s.decode.String()[start:], ok
}

// unescape writes the text of a string without its escapes. It is false if encoding/json
// would have put U+FFFD into it, or if that stands there.
func unescape(b *strings.Builder, text string) bool {
	for text != "" {
		if text[0] != '\\' {
			n := 0
			for n < len(text) && n < 16 && text[n] != '\\' {
				n++
			}
			if n < 16 && strings.IndexByte(text[:n], 0xef) < 0 {
				for i := range n {
					b.WriteByte(text[i])
				}
				text = text[n:]
				continue
			}
			if n = strings.IndexByte(text, '\\'); n < 0 {
				n = len(text)
			}
			if strings.Contains(text[:n], string(utf8.RuneError)) {
				return false
			}
			b.WriteString(text[:n])
			text = text[n:]
			continue
		}
		c := text[1]
		if c != 'u' {
			if plain := plainEscape[c]; plain != 0 {
				c = plain
			}
			b.WriteByte(c)
			text = text[2:]
			continue
		}
		r := hex4(text[2:6])
		text = text[6:]
		if utf16.IsSurrogate(r) {
			if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
				return false
			}
			r = utf16.DecodeRune(r, hex4(text[2:6]))
			text = text[6:]
		}
		if r == utf8.RuneError {
			return false
		}
		b.WriteRune(r)
	}
	return true
}

// plainEscape is what stands for itself no more behind a backslash.
var plainEscape = [256]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

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
	var b strings.Builder
	b.Grow(len(text))
	if !unescape(&b, text) {
		return "", false
	}
	return b.String(), true
}

// nameSets hold the member names of all objects that were met, by a hash with a secret:
// two names of one object that have the same are taken for one. That is so by chance in
// one text of 10^12 at most, and nobody can make it so.
type nameSets struct {
	first [64]uint64 // a stack: of each open object the first names
	n     int
	// table has the others, with their object's number; 0 is an empty place.
	table   []uint64
	usual   *[usualTable]uint64 // the table, if it is of the pool
	objects uint32              // that have names in the table
}

// few names of an object are in the list alone, which is all for every token of Logto's;
// with more of them, an object of thousands would cost the square.
const few = 16

type nameSet struct {
	base   int32  // where its part of first begins
	object uint32 // its number, if it has names in the table
}

func (s *nameSets) open() nameSet { return nameSet{base: int32(s.n)} }

// close must be called in the reverse order of open.
func (s *nameSets) close(set nameSet) { s.n = int(set.base) }

// add reports whether the name with the hash is a new one. size is that of the whole text.
func (s *nameSets) add(set *nameSet, hash uint64, size int) bool {
	if set.object == 0 {
		first := s.first[set.base:s.n]
		if slices.Contains(first, hash) {
			return false
		}
		if len(first) < few && s.n < len(s.first) {
			s.first[s.n] = hash
			s.n++
			return true
		}
		s.objects++
		set.object = s.objects
		for _, hash := range first {
			s.place(set.object, hash, size)
		}
	}
	return s.place(set.object, hash, size)
}

var (
	seed             = maphash.MakeSeed()
	secret1, secret2 = maphash.String(seed, "1"), maphash.String(seed, "2")
)

// hashOf is that of a name. Short ones are multiplied, as maphash does where the CPU has
// no better, without its calls.
func hashOf(name string) uint64 {
	n := len(name)
	switch {
	case n > 16:
		return maphash.String(seed, name)
	case n >= 8:
		return mix(eight(name), eight(name[n-8:]), n)
	case n >= 4:
		return mix(four(name)|four(name[n-4:])<<(8*(n-4)), 0, n)
	case n > 0:
		return mix(uint64(name[0])|uint64(name[n/2])<<(8*(n/2))|uint64(name[n-1])<<(8*(n-1)), 0, n)
	}
	return mix(0, 0, 0)
}

// mix hashes a name of n bytes that a and b hold.
func mix(a, b uint64, n int) uint64 {
	high, low := bits.Mul64(a^secret1, b^secret2^uint64(n)<<56)
	return high ^ low
}

func eight(s string) uint64 { return four(s) | four(s[4:])<<32 }

func four(s string) uint64 {
	_ = s[3]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24
}

// make makes the table once for the whole text: a member has five bytes or more, so that
// a fifth of it or more stays empty.
func (s *nameSets) make(size int) {
	if size/4 < usualTable {
		s.usual = tables.Get().(*[usualTable]uint64)
		s.table = s.usual[:]
	} else {
		s.table = make([]uint64, 1<<bits.Len(uint(size/4)))
	}
}

// free must be called when the text has been read.
func (s *nameSets) free() {
	if s.usual != nil {
		clear(s.table)
		tables.Put(s.usual)
		s.usual, s.table = nil, nil
	}
}

// usualTable is for the 12 KiB that a token of 16 KiB has.
const usualTable = 4096

var tables = sync.Pool{New: func() any { return new([usualTable]uint64) }}

// place reports whether an object's hash is a new one in the table.
func (s *nameSets) place(object uint32, hash uint64, size int) bool {
	if s.table == nil {
		s.make(size)
	}
	mask := uint64(len(s.table) - 1)
	hash = (hash ^ uint64(object)*0x9e3779b97f4a7c15) | 1<<63
	for i := hash & mask; ; i = (i + 1) & mask {
		switch s.table[i] {
		case 0:
			s.table[i] = hash
			return true
		case hash:
			return false
		}
	}
}

// maxNumber bounds, in characters, a number that is read: strconv takes longer for longer
// ones.
const maxNumber = 64

// maxTime is the first second after the year 9999.
const maxTime = 253402300800

// NumericDate reads a NumericDate (RFC 7519 section 2) between 1970 and 9999.
// It is false for any other value: a string, a negative number, 1e400, a number of over
// 64 characters.
func NumericDate(value string) (time.Time, bool) {
	if value[0] < '0' || value[0] > '9' || len(value) > maxNumber {
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
