package web

import (
	"bytes"
	"encoding/json"
	"strings"

	"tributary/store"
	"tributary/web/pages"
)

// searchCopies are programs that ask the same by the API. The key is theirs to
// have: none stands in them.
func searchCopies(publicURL string, req store.SearchRequest) []pages.Copy {
	body := copyBody(req)
	address := strings.TrimSuffix(publicURL, "/") + "/v1/search"
	return []pages.Copy{
		{ID: "curl", Name: "curl", Text: "curl --fail-with-body '" + address + "' \\\n" +
			"  -H \"Authorization: Bearer $TRIBUTARY_KEY\" \\\n" +
			"  -H 'Content-Type: application/json' \\\n" +
			"  --data '" + strings.ReplaceAll(body, "'", `'\''`) + "'\n"},
		{ID: "python", Name: "Python", Text: "import json, os, urllib.request\n\n" +
			"question = " + body + "\n" +
			"request = urllib.request.Request(\n" +
			"    " + quoted(address) + ",\n" +
			"    data=json.dumps(question).encode(),\n" +
			"    headers={\"Authorization\": \"Bearer \" + os.environ[\"TRIBUTARY_KEY\"], \"Content-Type\": \"application/json\"},\n" +
			")\n" +
			"with urllib.request.urlopen(request) as answer:\n" +
			"    for result in json.load(answer)[\"results\"]:\n" +
			"        print(result[\"score\"], result[\"title\"], result[\"url\"], result[\"text\"], sep=\"\\n\")\n"},
		{ID: "typescript", Name: "TypeScript", Text: "const answer = await fetch(" + quoted(address) + ", {\n" +
			"  method: \"POST\",\n" +
			"  headers: { Authorization: `Bearer ${process.env.TRIBUTARY_KEY}`, \"Content-Type\": \"application/json\" },\n" +
			"  body: JSON.stringify(" + body + "),\n" +
			"});\n" +
			"if (!answer.ok) throw new Error(await answer.text());\n" +
			"const { results } = await answer.json();\n" +
			"for (const r of results) console.log(r.score, r.title, r.url, r.text);\n"},
	}
}

// copyBody is the body of a search with what is not the default.
func copyBody(req store.SearchRequest) string {
	var filters *store.Filters
	if f := req.Filters; len(f.Connection)+len(f.Source)+len(f.Type)+len(f.Path)+len(f.UpdatedAfter) > 0 {
		filters = &f
	}
	return marshalled(struct {
		Query   string           `json:"query"`
		Mode    store.SearchMode `json:"mode"`
		K       int              `json:"k,omitempty"`
		Filters *store.Filters   `json:"filters,omitempty"`
	}{req.Query, req.Mode, req.K, filters})
}

func quoted(text string) string { return marshalled(text) }

// marshalled is v as JSON, which is a value of Python and of TypeScript too:
// there is no boolean and no null in it.
func marshalled(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}
