package settings

import "strconv"

// checkKeyLimits reads what API keys may do.
func checkKeyLimits(raw map[string]given, s *Settings) error {
	const most = 1_000_000
	s.KeyPerMinute, s.KeyReadersPerMinute = defaultKeyPerMinute, defaultKeyReaders
	for name, to := range map[string]*int{keyPerMinuteName: &s.KeyPerMinute, keyReadersName: &s.KeyReadersPerMinute} {
		g := raw[name]
		if !g.set {
			continue
		}
		n, err := strconv.Atoi(g.value)
		if err != nil || n < 1 || n > most {
			return &Error{Setting: g.from, Problem: strconv.Quote(g.value) + " is not a number that it can be", Remedy: "write 1 to 1000000"}
		}
		*to = n
	}
	return nil
}
