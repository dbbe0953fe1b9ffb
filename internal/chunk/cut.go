package chunk

import (
	"slices"
	"sort"
)

// limits are the sizes of Config, in units of cost.
type limits struct {
	most    int // a chunk's text costs at most this much
	least   int // a cut leaves at least this much on either side, where the text allows it
	reach   int // an anchor is the best place this far in both directions
	fine    int // longer units are broken at words
	context int // a chunk's context costs at most this much
}

func limitsOf(cfg Config) limits {
	context := cfg.MaxTokens / 6
	most := (cfg.MaxTokens - context) * token
	least := min(cfg.TargetTokens*2/5*token, most/3)
	return limits{most: most, least: least, reach: 2 * most, fine: most / 4, context: context * token}
}

// maxDepth bounds the halving of a text whose hashes were chosen to defeat it.
const maxDepth = 48

// cutter chooses among the spots of one section.
type cutter struct {
	limits
	spots  []spot
	total  int // cost of the section
	edges  []int
	stack  []open
	chosen []int // indexes into spots, ascending
}

// open is a spot for which no smaller key was seen on its right yet.
type open struct {
	spot int
	left int // cost at the nearest smaller key on its left
}

// cut fills chosen. A section is first cut at its anchors, which depend only on the text within reach of them, and each
// part that is still too long at the best spot inside it, again and again. Both steps choose by the same keys, so a
// place that loses its rank as an anchor is nearly always still a cut: an edit changes the chunks around it and no others.
func (c *cutter) cut() {
	c.chosen = c.chosen[:0]
	c.anchors()
	lo, at := 0, 0
	for _, e := range c.edges {
		c.divide(lo, e, at, c.spots[e].at, 0)
		c.chosen = append(c.chosen, e)
		lo, at = e+1, c.spots[e].at
	}
	c.divide(lo, len(c.spots), at, c.total, 0)
}

// anchors fills edges with the spots that have the smallest key within reach. Of equal keys, which only repeated text
// has, it takes the first, and then the first that leaves a good piece after the one before.
func (c *cutter) anchors() {
	c.edges, c.stack = c.edges[:0], c.stack[:0]
	lo, hi := c.between(0, len(c.spots), c.least, c.total-c.least)
	for i := lo; i < hi; i++ {
		s := c.spots[i]
		c.pop(s)
		left := s.at - c.reach // where the nearest smaller key on the left is
		if n := len(c.stack); n > 0 {
			if top := c.stack[n-1]; c.spots[top.spot].key == s.key {
				left = top.left
			} else {
				left = c.spots[top.spot].at
			}
		}
		c.stack = append(c.stack, open{spot: i, left: left})
	}
	c.pop(spot{at: c.total + c.reach})
	slices.Sort(c.edges)
	kept, next := c.edges[:0], 0
	for _, e := range c.edges {
		if c.spots[e].at >= next {
			kept = append(kept, e)
			next = c.spots[e].at + 2*c.least
		}
	}
	c.edges = kept
}

// pop settles the spots on the stack that have a larger key than s, the next spot.
func (c *cutter) pop(s spot) {
	n := len(c.stack)
	for ; n > 0 && c.spots[c.stack[n-1].spot].key > s.key; n-- {
		top := c.stack[n-1]
		at := c.spots[top.spot].at
		if at-top.left >= c.reach && s.at-at >= c.reach {
			c.edges = append(c.edges, top.spot)
		}
	}
	c.stack = c.stack[:n]
}

// divide chooses among spots[lo:hi], which lie between the costs from and to, until every part fits.
func (c *cutter) divide(lo, hi, from, to, depth int) {
	size := to - from
	if size <= c.most || lo >= hi {
		return
	}
	best := c.best(lo, hi, from, to, depth)
	c.divide(lo, best, from, c.spots[best].at, depth+1)
	c.chosen = append(c.chosen, best)
	c.divide(best+1, hi, c.spots[best].at, to, depth+1)
}

// best returns the spot of spots[lo:hi] with the smallest key that is not too near to the costs from and to; of equal keys the
// first that leaves a good piece before it, so that repeated text is cut alike everywhere. Where every spot is too near, it returns the one nearest to the middle.
func (c *cutter) best(lo, hi, from, to, depth int) int {
	a, b := c.between(lo, hi, from+c.least, to-c.least)
	if a >= b || depth > maxDepth {
		middle := (from + to) / 2
		i := lo + sort.Search(hi-lo, func(i int) bool { return c.spots[lo+i].at >= middle })
		if i == hi || i > lo && middle-c.spots[i-1].at < c.spots[i].at-middle {
			i--
		}
		return i
	}
	best := a
	for i := a + 1; i < b; i++ {
		s, t := c.spots[i], c.spots[best]
		if s.key < t.key || s.key == t.key && t.at < from+2*c.least {
			best = i
		}
	}
	return best
}

// between returns the part of spots[lo:hi] that lies between two costs, both included.
func (c *cutter) between(lo, hi, first, last int) (a, b int) {
	a = lo + sort.Search(hi-lo, func(i int) bool { return c.spots[lo+i].at >= first })
	b = a + sort.Search(hi-a, func(i int) bool { return c.spots[a+i].at > last })
	return a, b
}
