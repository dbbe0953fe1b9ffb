package embed

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// DefaultDimensions is the size of Hashing's vectors where none is set.
const DefaultDimensions = 384

// Hashing is the built-in offline profile. It is lexical: vectors of texts that share words, neighbouring words
// and parts of words lie close together; it knows nothing of meaning. Each feature adds to a few components chosen by its hash, with
// a sign, in proportion to its count to the power 3/4 (Weinberger et al., Feature Hashing for Large Scale Multitask Learning,
// 2009). Words of the context and of headings count several times. Vectors have length 1. The zero value has DefaultDimensions.
type Hashing struct{ Dimensions int }

var _ Profile = Hashing{}

// HashingVersion names the vectors of Hashing: it is raised whenever they change.
const HashingVersion = 1

// Embed returns one vector for each input.
func (h Hashing) Embed(ctx context.Context, inputs []string) ([]Vector, error) {
	size := h.Dimensions
	if size == 0 {
		size = DefaultDimensions
	}
	if size < 1 || size > MaxDimensions {
		return nil, &Error{Class: Invalid, Msg: fmt.Sprintf("dimensions must be between 1 and %d", MaxDimensions)}
	}
	out := make([]Vector, len(inputs))
	b := bag{slots: make([]slot, 1<<12)}
	for i, s := range inputs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b.read(s)
		out[i] = b.vector(size)
	}
	return out, nil
}

// EmbedBatch embeds all inputs; it fails only with Embed.
func (h Hashing) EmbedBatch(ctx context.Context, inputs []string) (Result, error) {
	vs, err := h.Embed(ctx, inputs)
	if err != nil {
		return Result{Vectors: make([]Vector, len(inputs))}, err
	}
	return Result{Vectors: vs}, nil
}

// EmbedQuery embeds a question like a document.
func (h Hashing) EmbedQuery(ctx context.Context, query string) (Vector, error) {
	vs, err := h.Embed(ctx, []string{query})
	if err != nil {
		return nil, err
	}
	return vs[0], nil
}

// Test embeds one sentence.
func (h Hashing) Test(ctx context.Context) (Info, error) {
	start := time.Now()
	v, err := h.EmbedQuery(ctx, "Tributary is testing this embedding profile.")
	if err != nil {
		return Info{}, err
	}
	return Info{Model: "hashing (lexical)", Dimensions: len(v), LatencyMS: time.Since(start).Milliseconds(), Normalised: true, Lexical: true}, nil
}

// Weights of the kinds of features.
const (
	wordWeight   = 1.0
	stopWeight   = 0.08 // words of which nearly every text has several
	shortWeight  = 0.6  // other words of one or two letters
	pairWeight   = 0.4  // two neighbouring words
	gramWeight   = 0.3  // four neighbouring letters of a word
	headWeight   = 5.0  // times, for words of the context and of headings
	gramSize     = 4
	longestWord  = 40 // letters; the rest of a longer word is left out
	longestIntro = 600
)

// slot holds the count of one feature.
type slot struct {
	key    uint64
	count  float32
	weight float32
	round  uint32 // the slot is empty unless this is the bag's round
}

// bag counts the features of one text after the other.
type bag struct {
	slots []slot
	used  []uint32
	round uint32
	word  [longestWord * utf8.UTFMax]byte
	prev  uint64 // hash of the word before; 0 at the start of a line or after a stop word
	times float32
}

// read replaces the features of the bag by those of s. What comes before the first blank line, if it is short, is the context.
func (b *bag) read(s string) {
	b.round++
	b.used, b.prev = b.used[:0], 0
	intro := strings.Index(s[:min(len(s), longestIntro)], "\n\n")
	for pos := 0; pos < len(s); {
		end := len(s)
		if i := strings.IndexByte(s[pos:], '\n'); i >= 0 {
			end = pos + i + 1
		}
		b.times = 1
		if pos < intro || s[pos] == '#' {
			b.times = headWeight
		}
		b.line(s[pos:end])
		pos = end
	}
}

// line adds the words of a line.
func (b *bag) line(s string) {
	for i := 0; i < len(s); {
		n := 0
		for i < len(s) {
			c := s[i]
			if c < utf8.RuneSelf {
				lower := c | 0x20
				if lower-'a' >= 26 {
					if c-'0' >= 10 {
						break
					}
					lower = c
				}
				if n < len(b.word) {
					b.word[n] = lower
					n++
				}
				i++
				continue
			}
			r, size := utf8.DecodeRuneInString(s[i:])
			if !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) {
				break
			}
			if ideographic(r) && n > 0 {
				break
			}
			if n+utf8.UTFMax <= len(b.word) {
				n += utf8.EncodeRune(b.word[n:], unicode.ToLower(r))
			}
			i += size
			if ideographic(r) {
				break
			}
		}
		if n == 0 {
			_, size := utf8.DecodeRuneInString(s[i:])
			i += size
			continue
		}
		b.add(b.word[:n])
	}
}

// ideographic reports whether r is of a script that puts no blanks between words: each letter counts as a word.
func ideographic(r rune) bool {
	return r >= 0x2E80 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai)
}

// add counts a word, the pair it forms with the word before it, and its parts.
func (b *bag) add(word []byte) {
	if stopWord(string(word)) {
		b.count(hash(word, 1), stopWeight)
		return
	}
	stem := stem(word)
	h := hash(stem, 1)
	weight := float32(wordWeight)
	if len(word) <= 2 {
		weight = shortWeight
	}
	b.count(h, weight)
	if b.prev != 0 {
		b.count(mix(b.prev*3+h), pairWeight)
	}
	b.prev = h
	if len(stem) <= gramSize {
		return
	}
	for i := 0; i+gramSize <= len(stem); i++ {
		b.count(hash(stem[i:i+gramSize], 2), gramWeight)
	}
}

// count adds an occurrence of a feature.
func (b *bag) count(key uint64, weight float32) {
	mask := uint64(len(b.slots) - 1) //nolint:gosec // a length is never negative
	for i := key & mask; ; i = (i + 1) & mask {
		s := &b.slots[i]
		if s.round != b.round {
			*s = slot{key: key, count: b.times, weight: weight, round: b.round}
			b.used = append(b.used, uint32(i)) //nolint:gosec // an index of slots
			if len(b.used)*2 > len(b.slots) {
				b.grow()
			}
			return
		}
		if s.key == key {
			s.count += b.times
			return
		}
	}
}

func (b *bag) grow() {
	old, used := b.slots, b.used
	b.slots, b.used = make([]slot, 2*len(old)), make([]uint32, 0, 2*len(old))
	mask := uint64(len(b.slots) - 1) //nolint:gosec // a length is never negative
	for _, n := range used {
		i := old[n].key & mask
		for b.slots[i].round == b.round {
			i = (i + 1) & mask
		}
		b.slots[i] = old[n]
		b.used = append(b.used, uint32(i)) //nolint:gosec // an index of slots
	}
}

// spread is how many components a feature adds to.
const spread = 3

// vector sums the features.
func (b *bag) vector(size int) Vector {
	v := make(Vector, size)
	for _, n := range b.used {
		s := b.slots[n]
		root := math.Sqrt(float64(s.count))
		x := s.weight * float32(root*math.Sqrt(root))
		h := mix(s.key)
		for range spread {
			i := uint64(uint32(h)) * uint64(size) >> 32 //nolint:gosec // size is positive
			if h>>63 == 0 {
				v[i] += x
			} else {
				v[i] -= x
			}
			h = mix(h)
		}
	}
	if n := length(v); n > 0 {
		scale(v, 1/n)
	} else {
		v[0] = 1 // cosine distance from zero is not a number
	}
	return v
}

// stem removes the plural and the commonest verb endings of English.
func stem(w []byte) []byte {
	n := len(w)
	switch {
	case n > 4 && string(w[n-3:]) == "ies":
		w[n-3] = 'y'
		return w[:n-2]
	case n > 4 && (string(w[n-4:]) == "sses" || string(w[n-3:]) == "xes"):
		return w[:n-2]
	case n > 3 && w[n-1] == 's' && w[n-2] != 's' && w[n-2] != 'u' && w[n-2] != 'i':
		return w[:n-1]
	case n > 5 && string(w[n-3:]) == "ing":
		return w[:n-3]
	case n > 4 && string(w[n-2:]) == "ed":
		return w[:n-2]
	}
	return w
}

func stopWord(w string) bool {
	switch w {
	case "a", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "do", "does", "for", "from", "had", "has", "have", "how",
		"if", "in", "into", "is", "it", "its", "may", "no", "not", "of", "on", "one", "or", "our", "out", "s", "so", "such", "t", "than", "that", "the", "their", "then",
		"there", "these", "they", "this", "to", "was", "we", "were", "what", "when", "where", "which", "while", "who", "will", "with", "would", "you", "your",
		"der", "die", "das", "und", "le", "la", "les", "de", "et", "el", "los", "y":
		return true
	}
	return false
}

// hash mixes the bytes of s with a seed.
func hash(s []byte, seed uint64) uint64 {
	h := seed*0x9E3779B97F4A7C15 ^ uint64(len(s))
	for len(s) >= 8 {
		h = mix(h ^ (uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56))
		s = s[8:]
	}
	var tail uint64
	for _, c := range s {
		tail = tail<<8 | uint64(c)
	}
	return mix(h ^ tail)
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
