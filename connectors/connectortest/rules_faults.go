package connectortest

import (
	"slices"
	"strings"

	"tributary/connectors"
)

func faultRules() []Rule {
	return []Rule{
		{ID: "container-blocked", Says: "A container that cannot be listed is reported in Blocked; what lies beside it is listed.", run: containerBlocked},
		{ID: "item-alone", Says: "A body that fails costs its own item and no other.", run: itemAlone},
	}
}

// blockedContainer is the container that has another inside.
const blockedContainer = "a"

func containerBlocked(p *probe) {
	p.corpus()
	whole := p.snapshot(p.open())
	before, above := p.modelOf(whole), placesOf(whole)
	judged := 0
	for _, kind := range []FaultKind{Forbidden, NotFound, Gone} {
		if !p.supported(p.fix.Site.Fail(Fault{On: OnContainer, Kind: kind, Name: blockedContainer}), "close a container") {
			continue
		}
		judged++
		w := p.read(p.open().Snapshot(p.ctx, nil), nil, nil)
		p.whole("with one container closed by "+string(kind), w)
		p.fix.Site.Mend()
		p.judgeBlocked(kind, before, above, w)
	}
	p.judged(judged, "close a container")
}

func (p *probe) judgeBlocked(kind FaultKind, before model, above map[string]string, w walk) {
	var blocked []connectors.Container
	for _, page := range w.pages {
		blocked = append(blocked, page.Blocked...)
	}
	listed := revisionsOf(w)
	missing := 0
	for id, it := range p.truth() {
		if _, ok := listed[id]; ok {
			continue
		}
		if !strings.HasPrefix(it.Name, blockedContainer+"/") {
			p.fail("%s on container %q: %q lies beside it and is missing", kind, blockedContainer, id)
			continue
		}
		missing++
		covered := slices.ContainsFunc(blocked, func(b connectors.Container) bool { return covers(b, id, before[id], above) })
		if !covered {
			p.fail("%s on container %q: %q is missing and in no blocked container %+v", kind, blockedContainer, id, blocked)
		}
	}
	if missing == 0 {
		p.fail("the harness: %s on container %q hides nothing", kind, blockedContainer)
	}
}

// placesOf returns what the containers of a listing lie in.
func placesOf(w walk) map[string]string {
	above := map[string]string{}
	for _, page := range w.pages {
		for _, c := range page.Containers {
			above[c.ID] = c.Parent
		}
	}
	return above
}

func covers(b connectors.Container, id string, d stored, above map[string]string) bool {
	for c, n := d.container, 0; c != "" && n <= len(above); c, n = above[c], n+1 {
		if b.ID == c {
			return true
		}
	}
	return b.Prefix != "" && (strings.HasPrefix(id, b.Prefix) || strings.HasPrefix(d.path, b.Prefix))
}

func itemAlone(p *probe) {
	items := p.corpus()
	target := items[len(items)/2]
	p.want(p.fix.Site.Fail(Fault{On: OnBody, Kind: Forbidden, Name: target.Name}), "refuse a body")
	w := p.read(p.open().Snapshot(p.ctx, nil), nil, nil)
	p.whole("with one body refused", w)
	if !w.complete() {
		p.fail("one refused body, and the listing is not complete")
	}
	listed := map[string]bool{}
	for _, page := range w.pages {
		for _, s := range page.Skipped {
			listed[s.Ref.ID] = true
		}
		for _, c := range page.Changes {
			listed[c.Ref.ID] = true
			if c.Ref.ID == target.ID {
				continue
			}
			if _, err := p.body(p.ctx, c); err != nil {
				p.fail("%q is well and fails: %v", c.Ref.ID, err)
			}
		}
	}
	for id := range p.truth() {
		if !listed[id] {
			p.fail("%q is missing: an item that was listed and refused counts as seen", id)
		}
	}
}
