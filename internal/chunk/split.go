package chunk

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// splitter carries the state of one call of Split.
type splitter struct {
	text   string
	pages  []Page
	limits limits
	scan   scanner
	cut    cutter
	out    []Chunk
	at     int // bytes whose code points are counted
	points int // code points before at
	page   int // index of the first page that starts after the last chunk's start
}

// section appends the chunks of one section.
func (s *splitter) section(sec section) {
	context := s.pathContext(sec.path)
	start, end := sec.start(), sec.end()
	if end-start < s.limits.most/4 && cost(s.text[start:end]) <= s.limits.most {
		s.emit(start, end, sec.path, context, nil)
		return
	}
	s.scan.text, s.scan.fine = s.text, s.limits.fine
	s.scan.scan(sec)
	s.cut.limits, s.cut.spots, s.cut.total = s.limits, s.scan.spots, s.scan.at
	s.cut.cut()
	regions := s.scan.regions
	for _, i := range s.cut.chosen {
		pos := s.scan.spots[i].pos
		regions = s.emit(start, pos, sec.path, context, regions)
		start = pos
	}
	s.emit(start, end, sec.path, context, regions)
}

// emit appends the chunk between two bytes, unless there is nothing to see. It returns the regions that later chunks may start in.
func (s *splitter) emit(start, end int, path []string, context string, regions []region) []region {
	body := strings.TrimRightFunc(s.text[start:end], unicode.IsSpace)
	lead := len(body) - len(strings.TrimLeftFunc(body, unicode.IsSpace))
	if lead == len(body) {
		return regions
	}
	if i := strings.LastIndexByte(body[:lead], '\n'); i >= 0 {
		start, body = start+i+1, body[i+1:]
	}
	s.points += utf8.RuneCountInString(s.text[s.at:start])
	first := s.points
	s.at = start + len(body)
	s.points += utf8.RuneCountInString(body)
	for len(regions) > 0 && regions[0].to <= start {
		regions = regions[1:]
	}
	context = s.addPage(context, start)
	if len(regions) > 0 && start >= regions[0].from {
		context = s.join(context, regions[0].label)
	}
	s.out = append(s.out, Chunk{
		Text: body, Context: context, Start: start, End: s.at, StartCP: first, EndCP: s.points,
		Tokens: EstimateTokens(Input(context, body)), HeadingPath: path,
	})
	return regions
}

// pathContext joins the headings, leaving out the outermost where they take more than half the room.
func (s *splitter) pathContext(path []string) string {
	room := s.limits.context / 2
	for len(path) > 0 {
		joined := strings.Join(path, " > ")
		if cost(joined) <= room {
			return joined
		}
		if len(path) == 1 {
			return fit(joined, room)
		}
		path = path[1:]
	}
	return ""
}

// addPage adds the page on which a chunk starts to the context of its headings.
func (s *splitter) addPage(context string, start int) string {
	for s.page < len(s.pages) && s.pages[s.page].Start <= start {
		s.page++
	}
	if s.page == 0 {
		return context
	}
	return s.join(context, "p. "+strconv.Itoa(s.pages[s.page-1].Number))
}

// join adds a line to the context as far as there is room.
func (s *splitter) join(context, label string) string {
	label = fit(label, s.limits.context-4*token-cost(context))
	switch {
	case label == "":
		return context
	case context == "":
		return label
	}
	return context + "\n" + label
}

// fit shortens s until it costs at most room.
func fit(s string, room int) string {
	for s != "" && cost(s) > room {
		s = strings.TrimSpace(truncate(s, min(len(s)*3/4, max(room, 0)*16/token)))
	}
	return s
}
