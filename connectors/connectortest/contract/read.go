package contract

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"tributary/connectors/connectortest/internal/route"
)

// read returns the operations of a description. Each file is read once in a
// process.
func read(path string) (*route.Table[operation], error) {
	once, _ := files.LoadOrStore(path, sync.OnceValues(func() (*route.Table[operation], error) { return parse(path) }))
	get, ok := once.(func() (*route.Table[operation], error))
	if !ok {
		return nil, fmt.Errorf("reading %s: a %T is kept for it", path, once)
	}
	return get()
}

var files sync.Map //nolint:gochecknoglobals // a cache of files that never change: parsing one takes a second

func parse(path string) (*route.Table[operation], error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a description: %w", err)
	}
	var table *route.Table[operation]
	if strings.HasSuffix(path, ".discovery.json") {
		table, err = discovery(data)
	} else {
		table, err = openAPI(data)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return table, nil
}

// Operations returns the operations of a description: "GET /repos/{owner}" by
// the name that violations have.
func Operations(path string) (map[string]string, error) {
	table, err := read(path)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for template, op := range table.All() {
		all[op.name()] = template
	}
	return all, nil
}
