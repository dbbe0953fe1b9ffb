package password

import (
	"crypto/rand"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"tributary/internal/secret"
)

// Bounds of the length of a password in characters.
const (
	MinLength = 12
	MaxLength = 128
)

// maxBytes bounds what is looked at at all.
const maxBytes = MaxLength * utf8.UTFMax * 2

// minEffective is how many characters must remain when names, ordinary words,
// sequences and repetitions are taken out.
const minEffective = 7

// minDistinct is how many different characters a password must have.
const minDistinct = 5

// PolicyError says why a password is refused, without the password.
type PolicyError struct{ Problem string }

// Error returns the reason, which names the remedy.
func (e *PolicyError) Error() string { return "password: " + e.Problem }

// Check returns a *PolicyError for a password that is too short, too long or
// easily guessed by somebody who knows the account's name. There are no rules
// on the kinds of characters (OWASP ASVS 5.0, 6.2.5).
func Check(account string, p secret.Text) error {
	if len(p.Reveal()) > maxBytes {
		return refusef("may have %d characters at most", MaxLength)
	}
	text := normal(p)
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return refusef("must be text without control characters")
	}
	n := utf8.RuneCountInString(text)
	if n < MinLength {
		return refusef("must have %d characters at least; a few words that do not belong together are easy to remember", MinLength)
	}
	if n > MaxLength {
		return refusef("may have %d characters at most", MaxLength)
	}
	folded := strings.ToLower(text)
	rest := folded
	for _, word := range append([]string{strings.ToLower(account)}, ordinaryWords()...) {
		if utf8.RuneCountInString(word) >= 3 {
			rest = strings.ReplaceAll(rest, word, "\x00")
		}
	}
	if effective(rest) < minEffective && effective(folded) >= minEffective {
		return refusef("is little more than the account's name, the product's name or an ordinary word; choose one that has nothing to do with them")
	}
	if effective(folded) < minEffective || distinct(folded) < minDistinct {
		return refusef("is mostly a sequence or a repetition; choose one that cannot be continued by guessing")
	}
	return nil
}

func refusef(format string, args ...any) error {
	return &PolicyError{Problem: fmt.Sprintf(format, args...)}
}

// ordinaryWords are what most guessed passwords of more than twelve characters
// are built from.
func ordinaryWords() []string {
	return []string{
		"tributary", "administrator", "password", "passw0rd", "p@ssw0rd", "p@ssword", "passwort", "kennwort", "motdepasse", "contrase\u00f1a", "wachtwoord",
		"letmein", "welcome", "changeme", "iloveyou", "default", "secret", "admin", "login", "master", "football", "baseball", "sunshine", "princess", "monkey", "dragon",
	}
}

// effective counts the characters of s that do not just continue what went
// before: another of the same, a step up or down, the next key of the keyboard,
// or the whole once more.
func effective(s string) int {
	r := []rune(unit(s))
	n := 0
	for i := range r {
		if r[i] == 0 {
			continue
		}
		if i > 0 && follows(r[i-1], r[i]) {
			continue
		}
		n++
	}
	return n
}

// unit returns the shortest text whose repetition is s, the last time perhaps
// not to its end.
func unit(s string) string {
	r := []rune(s)
	for p := 1; p <= len(r)/2; p++ {
		same := true
		for i := p; i < len(r) && same; i++ {
			same = r[i] == r[i-p]
		}
		if same {
			return string(r[:p])
		}
	}
	return s
}

func follows(a, b rune) bool {
	if d := b - a; d >= -1 && d <= 1 {
		return true
	}
	for _, row := range []string{"qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "1234567890", "!@#$%^&*()"} {
		i, j := strings.IndexRune(row, a), strings.IndexRune(row, b)
		if i >= 0 && j >= 0 && (j-i == 1 || i-j == 1) {
			return true
		}
	}
	return false
}

func distinct(s string) int {
	seen := map[rune]bool{}
	for _, r := range s {
		seen[r] = true
	}
	return len(seen)
}

// Generate returns a random password of 130 bits or more, for somebody to type
// once.
func Generate() secret.Text {
	text := strings.ToLower(rand.Text())
	var groups []string
	for len(text) > 5 {
		groups = append(groups, text[:5])
		text = text[5:]
	}
	return secret.New(strings.Join(append(groups, text), "-"))
}
