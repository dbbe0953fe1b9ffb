package settings

// Nearest returns the name of known that is closest to name, or "" when none
// is close enough to be what was meant.
func Nearest(name string, known []string) string {
	best, bestDistance := "", 1+max(2, len(name)/3)
	for _, k := range known {
		if d := distance(name, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// distance is the Levenshtein distance of a and b in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		previous := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			current := min(row[j+1]+1, row[j]+1, previous+cost)
			previous, row[j+1] = row[j+1], current
		}
	}
	return row[len(b)]
}
