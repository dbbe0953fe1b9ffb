package store

import (
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// check refuses a batch that cannot be stored, before anything is written. Its
// *InputError names the item.
func (b *Batch) check() error {
	written := make(map[string]bool, len(b.Documents)+len(b.Touched)+len(b.Deleted))
	once := func(id string) error {
		if err := checkID(id); err != nil {
			return err
		}
		if written[id] {
			return badItem(id, "stands twice among the documents, touched and deleted items of a batch")
		}
		written[id] = true
		return nil
	}
	for i := range b.Documents {
		d := &b.Documents[i]
		if err := once(d.ExternalID); err != nil {
			return err
		}
		if err := d.check(); err != nil {
			return err
		}
	}
	for i := range b.Touched {
		if err := once(b.Touched[i].ExternalID); err != nil {
			return err
		}
		if err := b.Touched[i].checkFields(); err != nil {
			return err
		}
	}
	for _, id := range b.Deleted {
		if err := once(id); err != nil {
			return err
		}
	}
	return b.checkRest()
}

// checkRest checks what may name an item that is written as well.
func (b *Batch) checkRest() error {
	seen := make(map[string]bool, len(b.ACLs))
	for _, a := range b.ACLs {
		if err := checkID(a.ExternalID); err != nil {
			return err
		}
		if seen[a.ExternalID] {
			return badItem(a.ExternalID, "has two ACLs in a batch")
		}
		seen[a.ExternalID] = true
	}
	for _, id := range b.Refused {
		if err := checkID(id); err != nil {
			return err
		}
	}
	for _, s := range b.Skips {
		if err := checkTexts(s.Ref.ID, s.Path, s.Reason); err != nil {
			return err
		}
	}
	for _, q := range b.Quarantine {
		if err := checkTexts(q.ExternalID, q.Path, q.SourceRevision, q.Reason); err != nil {
			return err
		}
	}
	if slices.Contains(b.Seen, uuid.Nil) {
		return badItem("", "is seen without the id of a document")
	}
	return b.Page.check()
}

func (p *PageEnd) check() error {
	if p == nil {
		return nil
	}
	for _, c := range p.Containers {
		if !UsableID(c.ID) || len(c.Parent) > MaxID || !storableText(c.Parent) {
			return &InputError{Field: "batch", Problem: fmt.Sprintf("container %.200q in %.200q must be named in UTF-8 without NUL", c.ID, c.Parent)}
		}
	}
	for _, c := range p.Blocked {
		if !storableText(c.ID) || !storableText(c.Prefix) {
			return &InputError{Field: "batch", Problem: fmt.Sprintf("blocked container %.200q must be named in UTF-8 without NUL", c.ID+c.Prefix)}
		}
	}
	return nil
}

func (d *DocumentWrite) check() error {
	if err := d.checkFields(); err != nil {
		return err
	}
	if err := checkTexts(d.ExternalID, d.Text, d.Extractor, d.Chunker, d.Language, d.MediaType); err != nil {
		return err
	}
	seen := make(map[[32]byte]bool, len(d.Chunks))
	for i := range d.Chunks {
		c := &d.Chunks[i]
		if seen[c.Identity] {
			return badItem(d.ExternalID, fmt.Sprintf("has two chunks of one identity, chunk %d is the second", i))
		}
		seen[c.Identity] = true
		if c.Start < 0 || c.End < c.Start || c.End > len(d.Text) || d.Text[c.Start:c.End] != c.Text {
			return badItem(d.ExternalID, fmt.Sprintf("has a chunk %d that is not the text between its offsets %d and %d", i, c.Start, c.End))
		}
		if err := checkTexts(d.ExternalID, c.HeadingPath...); err != nil {
			return err
		}
		if err := checkTexts(d.ExternalID, c.Context); err != nil {
			return err
		}
	}
	return nil
}

func (d *DocumentWrite) checkFields() error {
	err := checkTexts(d.ExternalID, d.SourceRevision, d.Title, d.URL, d.Path, d.Container, d.Kind, d.Author)
	for k, v := range d.Metadata {
		if err == nil {
			err = checkTexts(d.ExternalID, k, v)
		}
	}
	return err
}

func checkID(id string) error {
	if !UsableID(id) {
		return badItem(id, fmt.Sprintf("must have an id of 1 to %d bytes of UTF-8 without NUL", MaxID))
	}
	return nil
}

// checkTexts checks the fields of an item.
func checkTexts(id string, fields ...string) error {
	if err := checkID(id); err != nil {
		return err
	}
	for _, s := range fields {
		if !storableText(s) {
			return badItem(id, fmt.Sprintf("has a field that is not UTF-8 without NUL: %.80q", s))
		}
	}
	return nil
}

func badItem(id, problem string) error {
	return &InputError{Field: "batch", Problem: fmt.Sprintf("item %.200q %s", id, problem)}
}
