package example

import "time"

// item is one item as the API tells it.
type item struct {
	ID       string    `json:"id"`
	Revision string    `json:"revision"`
	Title    string    `json:"title"`
	Path     string    `json:"path"`
	URL      string    `json:"url"`
	Updated  time.Time `json:"updated_at"`
	Size     int64     `json:"size"`
	// Readers is nil where the API does not tell them.
	Readers []reader `json:"readers"`
}

// reader is somebody who may read an item.
type reader struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

// itemsPage is one page of items; Next is "" on the last.
type itemsPage struct {
	Items []item `json:"items"`
	Next  string `json:"next"`
}

// account is who consented.
type account struct {
	Name         string `json:"name"`
	Organisation string `json:"organisation"`
}
