package visibility

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"tributary/internal/oracle"
)

// consumer is an index of somebody else's that follows the feed, and decides by
// what the feed says alone.
type consumer struct {
	r      *rig
	secret string
	cursor string
	docs   map[uuid.UUID]consumed
	sets   map[int64]consumedSet
}

type consumed struct {
	connection uuid.UUID
	acl        int64
}

type consumedSet struct {
	allOf [][]int64
	deny  []int64
}

type feedNames []struct {
	ID int64 `json:"id"`
}

func (n feedNames) ids() []int64 {
	var out []int64
	for _, x := range n {
		out = append(out, x.ID)
	}
	return out
}

func newConsumer(r *rig) *consumer {
	return &consumer{r: r, secret: r.keys[r.feedKey].secret, docs: map[uuid.UUID]consumed{}, sets: map[int64]consumedSet{}}
}

// get asks with the consumer's key; what does not exist leaves into as it is.
func (c *consumer) get(path string, into any) error {
	req, err := http.NewRequestWithContext(c.r.tb.Context(), http.MethodGet, c.r.server.URL+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.secret)
	resp, err := c.r.server.Client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode == http.StatusNotFound {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %d %s", path, resp.StatusCode, raw)
	}
	return json.Unmarshal(raw, into)
}

// follow applies everything that the feed has to say.
func (c *consumer) follow() error {
	if _, err := c.r.store.TellStale(c.r.tb.Context()); err != nil {
		return err
	}
	if _, err := c.r.store.SequenceFeed(c.r.tb.Context()); err != nil {
		return err
	}
	for more := true; more; {
		var page struct {
			Events []struct {
				Event      string      `json:"event"`
				Connection uuid.UUID   `json:"connection_id"`
				Document   uuid.UUID   `json:"document_id"`
				ACL        int64       `json:"acl"`
				AllOf      []feedNames `json:"all_of"`
				Deny       feedNames   `json:"deny"`
			} `json:"events"`
			Cursor string `json:"cursor"`
			More   bool   `json:"more"`
		}
		if err := c.get("/v1/feed?limit=50&cursor="+c.cursor, &page); err != nil {
			return err
		}
		for _, e := range page.Events {
			switch e.Event {
			case "document.upsert":
				c.docs[e.Document] = consumed{e.Connection, e.ACL}
			case "document.acl":
				c.docs[e.Document] = consumed{c.docs[e.Document].connection, e.ACL}
			case "document.delete":
				delete(c.docs, e.Document)
			case "acl.upsert":
				s := consumedSet{deny: e.Deny.ids()}
				for _, clause := range e.AllOf {
					s.allOf = append(s.allOf, clause.ids())
				}
				c.sets[e.ACL] = s
			}
		}
		c.cursor, more = page.Cursor, page.More
	}
	return nil
}

// compare decides about every document for a reader, and compares with the oracle.
func (c *consumer) compare(reader int, total *tally) error {
	var answer struct {
		Connections []struct {
			Connection struct {
				ID    uuid.UUID `json:"id"`
				Stale bool      `json:"stale"`
			} `json:"connection"`
			Principals []int64 `json:"principals"`
		} `json:"connections"`
	}
	if err := c.get("/v1/readers/"+c.r.readers[reader].String()+"/principals", &answer); err != nil {
		return err
	}
	holds := map[uuid.UUID][]int64{}
	for _, x := range answer.Connections {
		if !x.Connection.Stale {
			holds[x.Connection.ID] = x.Principals
		}
	}
	// a only counts: what is compared is what the consumer decides.
	a := &asking{r: c.r, against: make([][]string, len(c.r.docs)), total: total}
	view := c.r.w.For(oracle.Asker{Reader: reader, Key: -1})
	for d, x := range c.r.docs {
		a.against[d] = view.Against(d)
		stored, ok := c.docs[x.id]
		got := ok && c.sets[stored.acl].matches(holds[stored.connection])
		if want := len(a.against[d]) == 0; got != want {
			return differs("document %d visible %t for reader %d %v; who follows the feed says %t", d, want, reader, a.against[d], got)
		}
		// Both routes together decide once.
		a.note("GET /v1/feed with /v1/readers/:id/principals", d)
	}
	return nil
}

func (s consumedSet) matches(holds []int64) bool {
	anyOf := func(list []int64) bool {
		return slices.ContainsFunc(list, func(p int64) bool { return slices.Contains(holds, p) })
	}
	return len(s.allOf) > 0 && !anyOf(s.deny) && !slices.ContainsFunc(s.allOf, func(clause []int64) bool { return !anyOf(clause) })
}
