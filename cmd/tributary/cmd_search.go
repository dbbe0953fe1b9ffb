package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/store"
	"tributary/web"
)

// searchFlags are the flags of search.
type searchFlags struct {
	as         string
	req        store.SearchRequest
	mode       string
	connection []string
	path       []string
	types      []string
	weights    map[string]string
	plan       bool
}

func searchCommand(a *app) *cobra.Command {
	var f searchFlags
	cmd := &cobra.Command{
		Use: "search QUESTION", Short: "Ask a question as somebody",
		Long: `Ask a question as somebody, and get only what that person may read.

--as names a reader, by name or id, or a principal as its source writes it:
unix:NAME is an account of this machine. --weights says what the lists of a
hybrid search count, 0 to 10 and 1 where nothing is said. --plan adds how the
answer was found, which tells of what others can see.`,
		Example: "  tributary search \"how are backups made\" --as unix:ada\n" +
			"  tributary search \"retention policy\" --as chatbot -k 3 --mode keyword --json\n" +
			"  tributary search \"error E-4711\" --as ada --weights keyword=3,vector=0.5 --plan",
	}
	cmd.Args = exactArgs("QUESTION")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		req := f.req
		req.Query, req.Mode = args[0], store.SearchMode(f.mode)
		req.Filters.Connection, req.Filters.Path, req.Filters.Type = f.connection, f.path, f.types
		if req.Weights, err = parseWeights(f.weights); err != nil {
			return err
		}
		return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
			who, err := a.identity(ctx, st, s, f.as)
			if err != nil {
				return err
			}
			log := a.logger(false)
			answer, err := web.Searcher{Store: st, Embedder: queryEmbedder{st}, EmbedTimeout: patientEmbedding, Log: log}.Search(ctx, who, req)
			if err != nil {
				return err
			}
			switch {
			case a.json && f.plan:
				return a.printJSON(web.SearchAsAnswer{SearchResponse: answer.SearchResponse, Degraded: answer.Degraded, Plan: answer.Plan})
			case a.json:
				return a.printJSON(answer.SearchResponse)
			}
			a.printAnswer(answer)
			if f.plan {
				a.printf("%s\n", planText(answer.Plan))
			}
			return nil
		})
	}
	flags := cmd.Flags()
	flags.StringVar(&f.as, "as", "", "for whom: a reader's name or id, or a principal such as unix:NAME (required)")
	flags.IntVarP(&f.req.K, "limit", "k", store.DefaultK, "how many results")
	flags.StringVar(&f.mode, "mode", string(store.Hybrid), "hybrid, vector or keyword")
	flags.StringSliceVar(&f.connection, "connection", nil, "only of these connections")
	flags.StringSliceVar(&f.path, "path", nil, "only of paths with this prefix, or that match this pattern")
	flags.StringSliceVar(&f.types, "type", nil, "only of this media type or kind")
	flags.StringVar(&f.req.Filters.UpdatedAfter, "updated-after", "", "only what changed at the source after this time (RFC 3339)")
	flags.IntVar(&f.req.Neighbours, "neighbours", 0, "how many chunks before and after each result to add (--json)")
	flags.StringSliceVar(&f.req.Include, "include", nil, "what to add: lineage, scores, embedding (--json)")
	flags.StringToStringVar(&f.weights, "weights", nil, "what the lists count: keyword=N,vector=N,heading=N")
	flags.BoolVar(&f.plan, "plan", false, "add how the answer was found")
	flags.StringVar(&f.req.Cursor, "cursor", "", "next_cursor of the answer before")
	return jsonFlag(a, cmd)
}

// parseWeights reads --weights; what is out of bounds is named by who searches.
func parseWeights(given map[string]string) (*store.Weights, error) {
	if len(given) == 0 {
		return nil, nil
	}
	var w store.Weights
	for name, text := range given {
		into, ok := map[string]**float64{"keyword": &w.Keyword, "vector": &w.Vector, "heading": &w.Heading}[name]
		if !ok {
			return nil, usagef("--weights %s: the lists are keyword, vector and heading", name)
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, usagef("--weights %s=%s: write a number from 0 to %d", name, text, store.MaxWeight)
		}
		*into = &n
	}
	return &w, nil
}

// planText is how an answer was found, in words.
func planText(p store.SearchPlan) string {
	more := ""
	if p.More {
		more = " and more"
	}
	return fmt.Sprintf("Plan: vectors %s; %d visible chunks%s met in %.1f ms; ranked in %.1f ms", p.Vector, p.Chunks, more, p.StreamMS, p.RankMS)
}

// patientEmbedding lets a local endpoint load its model first.
const patientEmbedding = time.Minute

// excerptChars is how much of a chunk a person is shown.
const excerptChars = 240

func (a *app) printAnswer(answer web.Answer) {
	if len(answer.Results) == 0 {
		a.printf("%s\n", emptyAnswer(answer))
	}
	for i, r := range answer.Results {
		place := append([]string{r.Title}, r.HeadingPath...)
		a.printf("%2d. %s\n", i+1, printable(strings.Join(slices.Compact(place), " › ")))
		a.printf("    %s\n", printable(shorten(strings.Join(strings.Fields(r.Text), " "), excerptChars)))
		at := r.URL
		if at == "" {
			at = r.Path
		}
		a.printf("    %s  [%s, chunk %s, bytes %d-%d]\n\n", printable(at), r.Connection, r.ChunkID, r.Start, r.End)
	}
	for _, note := range incompleteness(answer) {
		a.notef("note: %s\n", note)
	}
}

// emptyAnswer says in words why nothing was found, and what to do about it.
func emptyAnswer(answer web.Answer) string {
	switch answer.Hint {
	case store.HintUnlinked:
		return "Nothing found: the reader is nobody at any source. Say who it is there: tributary readers link --help"
	case store.HintNothing:
		return "Nothing found: nothing that was asked is shared with this reader. Why not, for one document: tributary explain READER DOCUMENT"
	case store.HintPending:
		return fmt.Sprintf("Nothing found yet: %d chunks that this reader may read still wait for their vectors. Ask again, or by words: --mode keyword", answer.Pending)
	default:
		return "Nothing found: of what this reader may read, nothing matches."
	}
}

// incompleteness says in words why an answer is not complete.
func incompleteness(answer web.Answer) []string {
	if answer.Complete {
		return nil
	}
	var notes []string
	if answer.Degraded {
		notes = append(notes, "answered by keywords alone, because the question could not be embedded; tributary profiles test says why")
	}
	if answer.Pending > 0 {
		notes = append(notes, fmt.Sprintf("%d chunks still wait for their vectors", answer.Pending))
	}
	if len(notes) == 0 {
		notes = append(notes, "the answer may be incomplete: permissions are stale, or a limit was hit; tributary connections list says more")
	}
	return notes
}
