package store_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"tributary/internal/oracle"
	"tributary/store"
)

// sorted is a set of names in their own order.
func sorted(names string) string {
	list := strings.Fields(names)
	for i := range list {
		for j := i; j > 0 && list[j] < list[j-1]; j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
	return strings.Join(list, " ")
}

// TestQueryLanguage: phrases, prefixes, exclusions and text without spaces.
func TestQueryLanguage(t *testing.T) {
	t.Parallel()
	s := newShelf(t,
		paper{name: "order", lang: "english", text: "The backup of the database runs at night."},
		paper{name: "reversed", lang: "english", text: "The database backup runs while nobody works."},
		paper{name: "far", lang: "english", text: "A backup needs a disk. Every night the database is migrated."},
		paper{name: "nation", lang: "english", text: "Nationalization was stopped; running costs fell."},
		paper{name: "short", lang: "simple", text: "backup job"},
		paper{name: "german", lang: "german", text: "Die Sicherungen der Datenbanken laufen in der Nacht."},
		paper{name: "zh", lang: "simple", text: "机器学习需要大量数据。用PostgreSQL数据库备份"},
		paper{name: "zh2", lang: "simple", text: "学习如何使用机器"},
		paper{name: "ja", lang: "simple", text: "サーバーの設定をPostgreSQLで管理する。猫が好き"},
		paper{name: "th", lang: "simple", text: "การสำรองข้อมูลของฐานข้อมูลทำงานทุกคืน"},
		paper{name: "ko", lang: "simple", text: "데이터베이스를 매일 밤 백업한다"},
	)
	for _, c := range []struct{ query, want string }{
		{`backups database`, "far order reversed short"},
		{`"backup of the database"`, "order"},
		{`"backups of a database"`, "order"},
		{`“backup of the database”`, "order"},
		{`"database backup"`, "reversed"},
		{`"database backup" night`, "reversed"},
		{`"the backup" "at night"`, "far order"}, // the and at are no words of English text search
		{`backup -night`, "reversed short"},
		{`backup -"database backup"`, "far order short"},
		{`backup -databases -job`, ""},
		{`migrat*`, "far"},
		{`migratio*`, "far"},
		{`Nationalizatio*`, "nation"},
		{`stopp* -costs`, ""},
		{`runnin*`, "nation order reversed"},
		{`Datenbanksystem*`, ""},
		{`datenban*`, "german"},
		{`back* -job -night -works`, ""},
		{`"机器学习"`, "zh"},
		{`机器学习`, "zh zh2"},
		{`学习PostgreSQL`, "ja zh zh2"},
		{`"用PostgreSQL数据"`, "zh"},
		{`"用 PostgreSQL 数据库"`, "zh"},
		{`"PostgreSQL数"`, "zh"},
		{`"の設"`, "ja"},
		{`猫`, "ja"},
		{`好`, "ja"},
		{`き`, "ja"},
		{`ｻｰﾊﾞｰ`, "ja"},
		{`ＰｏｓｔｇｒｅＳＱＬ`, "ja zh"},
		{`"ฐานข้อมูล"`, "th"},
		{`백업`, "ko"},
		{`PostgreSQL -猫`, "zh"},
		// What is no operator is words.
		{`"backup`, "far order reversed short"},
		{`backup "`, "far order reversed short"},
		{`"" backup`, "far order reversed short"},
		{`backup - -- -* *`, "far order reversed short"},
		{`-job`, "short"},
		{`-"backup job"`, "far order reversed short"},
		{`backup & | ! <-> :* ( )`, "far order reversed short"},
		{`backup*job`, "far order reversed short"},
		{`"of the" costs`, "nation"},
	} {
		if got := sorted(s.names(t, c.query)); got != c.want {
			t.Errorf("%s finds %q, want %q", c.query, got, c.want)
		}
	}
	if got := s.names(t, "机器学习"); got != "zh zh2" {
		t.Errorf("机器学习 finds %q; what holds it in order comes first", got)
	}
	if got := s.names(t, "数据库 备份"); !strings.HasPrefix(got, "zh") {
		t.Errorf("数据库 备份 finds %q", got)
	}
}

// TestPhrasesHoldForVectors: what the query must and must not have holds for
// every result of a hybrid search, and none of them is missing.
func TestPhrasesHoldForVectors(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	for i := range 120 {
		v := make([]float32, dimensions)
		v[0], v[1] = 1, float32(i)/100
		s.add(t, paper{name: fmt.Sprintf("p%03d", i), lang: "english", vector: v, text: []string{"red roof tiles", "roof red tiles", "blue roof"}[i%3]})
	}
	ask := func(query string, plan map[string]int) store.SearchResponse {
		return s.ask(t, store.SearchRequest{Query: query, K: store.MaxK, Vector: []float32{1, 0, 0, 0, 0, 0, 0, 0}, Profile: s.profile, Plan: plan})
	}
	for _, plan := range []map[string]int{nil, {"exact_cap": 0}, {"overfetch": 1}} {
		for query, want := range map[string]int{`"red roof"`: 40, `roof -blue`: 80, `-"roof red" blue`: 80, `roof -tiles -blue`: 0} {
			resp := ask(query, plan)
			if len(resp.Results) != want {
				t.Errorf("%s with %v: %d results, want %d", query, plan, len(resp.Results), want)
			}
			for _, r := range resp.Results {
				if query == `"red roof"` && !strings.Contains(r.Text, "red roof") || strings.Contains(query, "-blue") && strings.Contains(r.Text, "blue") {
					t.Fatalf("%s found %q", query, r.Text)
				}
			}
		}
	}
}

// TestAnyQueryIsAnswered: whatever a query is made of, it is no error.
func TestAnyQueryIsAnswered(t *testing.T) {
	t.Parallel()
	s := newShelf(t, paper{name: "a", lang: "english", text: "it's a \\ 'quoted' {q} {n} %L text"}, paper{name: "b", lang: "simple", text: "机器'学\\习"})
	who := s.rows.identity(oracle.Asker{Reader: 0, Key: -1})
	part := rapid.SampledFrom([]string{
		`"`, `-`, `*`, `'`, `\`, `:`, `&`, `|`, `!`, `(`, `)`, `<->`, `:*`, ` `, "\n", "text", "quoted", "机器", "学", "ก", "่", "%s", "%L", "$1", "{q}", "{n}", "''", `E'`,
		"😀", "\u0301", "ﬁ", "＂", "“", "x*", "-x", "a'b", "\u0001", "\u0002", "--", ";", "1e9", "-5", "http://a.b/c?d=e", "a@b.cd", "<b>",
	})
	rapid.Check(t, func(rt *rapid.T) {
		query := strings.Join(rapid.SliceOfN(rapid.OneOf(part, rapid.String()), 1, 12).Draw(rt, "query"), "")
		if !utf8.ValidString(query) || strings.ContainsRune(query, 0) || strings.TrimSpace(query) == "" {
			return
		}
		_, err := s.store.Search(t.Context(), who, store.SearchRequest{Query: query, Vector: make([]float32, dimensions), Profile: s.profile})
		if err != nil {
			rt.Fatalf("%q: %v", query, err)
		}
	})
}

// TestWeights: what each list counts, and that a list without weight is absent.
func TestWeights(t *testing.T) {
	t.Parallel()
	near, far := []float32{1, 0, 0, 0, 0, 0, 0, 0}, []float32{0, 1, 0, 0, 0, 0, 0, 0}
	s := newShelf(t,
		paper{name: "words", lang: "english", text: "roof roof roof", vector: far},
		paper{name: "vector", lang: "english", text: "tiles and a roof over much else besides", vector: near},
		paper{name: "only", lang: "english", text: "nothing of it", vector: []float32{1, 1, 0, 0, 0, 0, 0, 0}},
	)
	number := func(f float64) *float64 { return &f }
	ask := func(w *store.Weights) store.SearchResponse {
		return s.ask(t, store.SearchRequest{Query: "roof", Vector: near, Profile: s.profile, Weights: w})
	}
	for _, c := range []struct {
		name    string
		weights *store.Weights
		want    string
	}{
		{"keywords count most", &store.Weights{Keyword: number(10)}, "words vector only"},
		{"vectors count most", &store.Weights{Vector: number(10)}, "vector words only"},
		{"vectors count most, words next to nothing", &store.Weights{Keyword: number(0.001), Vector: number(10)}, "vector only words"},
		{"no vectors", &store.Weights{Vector: number(0)}, "words vector"},
		{"no keywords", &store.Weights{Keyword: number(0)}, "vector only words"},
		{"headings alone, and there are none", &store.Weights{Keyword: number(0), Vector: number(0)}, ""},
	} {
		if got := s.found(ask(c.weights)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	one := &store.Weights{Keyword: number(1), Vector: number(1), Heading: number(1)}
	if a, b := fmt.Sprint(ask(nil).Results), fmt.Sprint(ask(one).Results); a != b {
		t.Errorf("without weights %s, with 1 each %s", a, b)
	}
	// One document of two lists, both first: 2 / (60 + 1).
	if got := ask(nil).Results[0].Score; math.Abs(got-(1.0/61+1.0/62)) > 1e-12 {
		t.Errorf("score %v of the first of one list and second of the other", got)
	}
	who := s.rows.identity(oracle.Asker{Reader: 0, Key: -1})
	for field, w := range map[string]*store.Weights{
		"weights.keyword": {Keyword: number(-1)}, "weights.vector": {Vector: number(10.5)}, "weights.heading": {Heading: number(math.NaN())},
		"weights": {Keyword: number(0), Vector: number(0), Heading: number(0)},
	} {
		_, err := s.store.Search(t.Context(), who, store.SearchRequest{Query: "roof", Weights: w})
		var input *store.InputError
		if !errors.As(err, &input) || input.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for bad, problem := range map[string]string{
		`{"weights": {"other": 1}}`: `weights: "other" is not a list`, `{"weights": {"vector": "1"}}`: "weights.vector: must be a number",
		`{"weights": 1}`: "weights: must be an object", `{"weights": {"heading": 11}}`: "weights.heading: must be a number", `{"rrf_k": 0}`: "options.rrf_k: must be a whole number",
	} {
		_, err := s.db.Pool.Exec(t.Context(), `SELECT tributary.search('roof', NULL, NULL, 'hybrid', 10, '{}', $1::jsonb)`, bad)
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
