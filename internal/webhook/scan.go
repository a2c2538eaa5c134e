package webhook

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// maxDepth is how deep a body may nest, as in encoding/json.
const maxDepth = 10_000

// A syntaxError says where a body stops being JSON. Offsets are harmless to show: the sender has the body.
type syntaxError struct {
	at   int
	what string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.what, e.at) }

// A scanner reads one JSON text from front to back, validating every byte of it and building nothing: the caller steps
// into the few objects that matter and skips the rest. It neither recurses nor allocates on skipped parts, so that
// neither deep nor long input costs more than its length.
//
// It is written by hand because it stands in the way of every acknowledgement; see BenchmarkRead for what it saves
// and FuzzRead for the standard library's opinion of it.
type scanner struct {
	b     []byte // valid UTF-8, which is checked once before, faster than string by string
	i     int
	depth int                          // of open objects and arrays, those stepped into included
	stack [(maxDepth + 64) / 64]uint64 // of those being skipped, one bit each: set for an object
}

func (s *scanner) fail(what string) error {
	if s.i >= len(s.b) {
		return &syntaxError{at: len(s.b), what: "the text ends too early"}
	}
	return &syntaxError{at: s.i, what: what}
}

// peek moves to the next byte that is not white space and returns it; 0 at the end, which no valid text has here.
func (s *scanner) peek() byte {
	b, i := s.b, s.i
	for i < len(b) {
		if c := b[i]; c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			s.i = i
			return c
		}
		i++
	}
	s.i = i
	return 0
}

// skip reads one value of any kind.
func (s *scanner) skip() error {
	switch c := s.peek(); {
	case c == '"':
		_, err := s.str()
		return err
	case c == '{' || c == '[':
		return s.skipNested()
	default:
		return s.scalar(c)
	}
}

// skipNested reads an object or array: a state machine with a stack of bits instead of recursion.
func (s *scanner) skipNested() error {
	outside := s.depth
	for {
		// A value begins here.
		switch c := s.peek(); c {
		case '"':
			if _, err := s.str(); err != nil {
				return err
			}
		case '{', '[':
			if s.depth++; s.depth > maxDepth {
				return s.fail("nested too deep")
			}
			s.i++
			object := c == '{'
			s.push(object)
			next := s.peek()
			if next == c+2 { // "}" is "{" + 2, "]" is "[" + 2: empty
				s.i++
				s.depth--
				break
			}
			if object {
				if err := s.name(); err != nil {
					return err
				}
			}
			continue
		default:
			if err := s.scalar(c); err != nil {
				return err
			}
		}
		// A value ended here.
		for {
			if s.depth == outside {
				return nil
			}
			object := s.top()
			c := s.peek()
			if c == ',' {
				s.i++
				if object {
					if err := s.name(); err != nil {
						return err
					}
				}
				break
			}
			if object && c == '}' || !object && c == ']' {
				s.i++
				s.depth--
				continue
			}
			return s.fail("want a comma or the closing bracket")
		}
	}
}

func (s *scanner) push(object bool) {
	word, bit := s.depth/64, uint64(1)<<(s.depth%64)
	if object {
		s.stack[word] |= bit
	} else {
		s.stack[word] &^= bit
	}
}

func (s *scanner) top() bool { return s.stack[s.depth/64]&(1<<(s.depth%64)) != 0 }

// name reads a member's name and the colon behind it.
func (s *scanner) name() error {
	if s.peek() != '"' {
		return s.fail("want a name in double quotes")
	}
	if _, err := s.str(); err != nil {
		return err
	}
	return s.colon()
}

func (s *scanner) colon() error {
	if s.peek() != ':' {
		return s.fail("want a colon")
	}
	s.i++
	return nil
}

const (
	ones   = 0x0101010101010101
	highs  = ones << 7
	quotes = ones * '"'
	slants = ones * '\\'
	spaces = ones * ' '
)

// str reads a string and returns it as it stands, with its quotes. Eight bytes are looked at a time: a byte is
// interesting when it is a quote, a backslash or a control character, and of the marks that the three subtractions
// leave the lowest is always a true one.
func (s *scanner) str() ([]byte, error) {
	b, start, i := s.b, s.i, s.i+1
	for {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			q, e := w^quotes, w^slants
			if m := ((q-ones)&^q | (e-ones)&^e | (w-spaces)&^w) & highs; m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
			i += 8
		}
		for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
			i++
		}
		s.i = i
		if i >= len(b) {
			return nil, s.fail("")
		}
		switch b[i] {
		case '"':
			s.i++
			return b[start:s.i], nil
		case '\\':
			if i+1 >= len(b) {
				s.i = len(b)
				return nil, s.fail("")
			}
			switch b[i+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i += 2
			case 'u':
				for k := i + 2; k < i+6; k++ {
					if k >= len(b) || !isHex(b[k]) {
						s.i = k
						return nil, s.fail("want four hexadecimal digits")
					}
				}
				i += 6
			default:
				return nil, s.fail("unknown escape in a string")
			}
		default:
			return nil, s.fail("unescaped control character in a string")
		}
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// scalar reads a number or one of the three words; c is its first byte.
func (s *scanner) scalar(c byte) error {
	switch {
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	}
	return s.fail("want a value")
}

func (s *scanner) word(w string) error {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return s.fail("want a value")
	}
	s.i += len(w)
	return nil
}

// number reads a number. One that is beyond a float64 (1e400) is refused although the grammar allows it: every reader
// of the kept body that comes later would stumble over it, each in its own way, and GitHub sends none.
func (s *scanner) number() error {
	b, start, i := s.b, s.i, s.i
	digits := func() bool {
		from := i
		for i < len(b) && '0' <= b[i] && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if b[i] == '-' {
		i++
	}
	ok := true
	if i < len(b) && b[i] == '0' {
		i++
	} else {
		ok = digits()
	}
	plain := true
	if ok && i < len(b) && b[i] == '.' {
		i++
		ok = digits()
	}
	if ok && i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		plain = false
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		ok = digits()
	}
	s.i = i
	if !ok {
		return s.fail("want a digit")
	}
	if !plain || i-start > 300 { // up to 300 digits are below the largest float64, 1.8e308
		if _, err := strconv.ParseFloat(string(b[start:i]), 64); err != nil {
			s.i = start
			return s.fail("a number too large for anybody to read")
		}
	}
	return nil
}

// object steps into the object that begins here, or skips a value of another kind. For each member whose name is one
// of want it calls field, which must read exactly the member's value. Names match case-sensitively. A wanted name that
// occurs twice, or again in another case, is refused: two readers of such a body may see two different things, and the
// one that decides must not be the one that is deceived.
func (s *scanner) object(want []string, field func(name string) error) error {
	if s.peek() != '{' {
		return s.skip()
	}
	if s.depth++; s.depth > maxDepth {
		return s.fail("nested too deep")
	}
	s.i++
	if s.peek() == '}' {
		s.i++
		s.depth--
		return nil
	}
	var seen uint32
	for {
		if s.peek() != '"' {
			return s.fail("want a name in double quotes")
		}
		at := s.i
		raw, err := s.str()
		if err != nil {
			return err
		}
		if err := s.colon(); err != nil {
			return err
		}
		j, exact := match(want, raw)
		if j >= 0 {
			if seen&(1<<j) != 0 {
				s.i = at
				return s.fail(fmt.Sprintf("the name %q a second time", want[j]))
			}
			seen |= 1 << j
		}
		if exact {
			err = field(want[j])
		} else {
			err = s.skip()
		}
		if err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.i++
		case '}':
			s.i++
			s.depth--
			return nil
		default:
			return s.fail("want a comma or the closing bracket")
		}
	}
}

// match finds a member's name among those wanted, whatever its case; exact tells whether the case is right too.
func match(want []string, quoted []byte) (j int, exact bool) {
	name := quoted[1 : len(quoted)-1]
	for _, c := range name {
		if c == '\\' { // rare: "\u0061ction" is a way to write "action"
			name = []byte(unquote(quoted, 64))
			break
		}
	}
	for j, w := range want {
		if len(w) != len(name) {
			continue
		}
		if string(name) == w {
			return j, true
		}
		k := 0
		for k < len(w) && (name[k] == w[k] || 'A' <= name[k] && name[k] <= 'Z' && name[k]|0x20 == w[k]) {
			k++
		}
		if k == len(w) {
			return j, false
		}
	}
	return -1, false
}

// array steps into the array that begins here, or skips a value of another kind. element must read exactly one value.
func (s *scanner) array(element func() error) error {
	if s.peek() != '[' {
		return s.skip()
	}
	if s.depth++; s.depth > maxDepth {
		return s.fail("nested too deep")
	}
	s.i++
	if s.peek() == ']' {
		s.i++
		s.depth--
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		switch s.peek() {
		case ',':
			s.i++
		case ']':
			s.i++
			s.depth--
			return nil
		default:
			return s.fail("want a comma or the closing bracket")
		}
	}
}

// text reads a string into dst; a value of another kind, or a text longer than limit bytes, leaves dst as it is.
func (s *scanner) text(dst *string, limit int) error {
	if s.peek() != '"' {
		return s.skip()
	}
	raw, err := s.str()
	if err != nil {
		return err
	}
	if t := unquote(raw, limit); t != "" {
		*dst = t
	}
	return nil
}

// unquote decodes a validated string. It returns "" for one that is longer than limit bytes: nothing that routes is,
// and half a name is another name. NUL is left out, since PostgreSQL's text can't hold it.
func unquote(quoted []byte, limit int) string {
	if len(quoted) > 6*limit+2 { // "\u0061" is the longest way to write one byte
		return ""
	}
	raw := quoted[1 : len(quoted)-1]
	plain := true
	for _, c := range raw {
		if c == '\\' {
			plain = false
			break
		}
	}
	if plain {
		if len(raw) > limit {
			return ""
		}
		return string(raw)
	}
	var t string
	if err := json.Unmarshal(quoted, &t); err != nil || len(t) > limit {
		return "" // unreachable for the error: str has validated it
	}
	return dropNUL(t)
}

func dropNUL(t string) string {
	for i := 0; i < len(t); i++ {
		if t[i] == 0 {
			out := make([]byte, 0, len(t))
			for k := 0; k < len(t); k++ {
				if t[k] != 0 {
					out = append(out, t[k])
				}
			}
			return string(out)
		}
	}
	return t
}

// integer reads a whole number into dst; any other value, and one beyond 64 bits, leaves dst as it is.
func (s *scanner) integer(dst *int64) error {
	c := s.peek()
	start := s.i
	if err := s.skip(); err != nil {
		return err
	}
	if c == '-' || '0' <= c && c <= '9' {
		if n, err := strconv.ParseInt(string(s.b[start:s.i]), 10, 64); err == nil {
			*dst = n
		}
	}
	return nil
}

// truth reads a boolean into dst; any other value leaves dst as it is.
func (s *scanner) truth(dst *bool) error {
	c := s.peek()
	if err := s.skip(); err != nil {
		return err
	}
	if c == 't' || c == 'f' {
		*dst = c == 't'
	}
	return nil
}

// end refuses whatever follows the one value.
func (s *scanner) end() error {
	if s.peek() != 0 || s.i < len(s.b) {
		return s.fail("more text behind the object")
	}
	return nil
}

// begin refuses text that is not UTF-8 from its first byte to its last, and anything but an object, such as a byte order
// mark.
func (s *scanner) begin() error {
	if !utf8.Valid(s.b) {
		for i := 0; i < len(s.b); {
			r, n := utf8.DecodeRune(s.b[i:])
			if r == utf8.RuneError && n == 1 {
				return &syntaxError{at: i, what: "not UTF-8"}
			}
			i += n
		}
	}
	if s.peek() != '{' {
		return s.fail("want an object")
	}
	return nil
}
