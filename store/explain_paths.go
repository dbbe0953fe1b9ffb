package store

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/jackc/pgx/v5"
)

func explainedRun(raw []byte) (*ExplainedRun, error) {
	if raw == nil {
		return nil, nil
	}
	r := &ExplainedRun{}
	return r, json.Unmarshal(raw, r)
}

// climb finds what the reader holds in the document's connection, whatever
// state that is in, and over whom: first what the reader is, then level by
// level the groups.
func (x *explainer) climb(ctx context.Context) error {
	x.held, x.out.Links = map[int64]step{}, []ExplainedLink{}
	if k := x.out.Key; k != nil {
		k.Allows = x.keyAll || slices.Contains(x.keyConns, x.out.Connection.ID)
	}
	rows, err := x.tx.Query(ctx, `
		SELECT p.id, p.kind, p.external_id, p.name, l.how, true
		FROM reader_principal l JOIN principal p ON p.id = l.principal_id WHERE l.reader_id = $1 AND p.realm_id = $2
		UNION ALL
		SELECT p.id, p.kind, p.external_id, p.name, 'key', true FROM principal p WHERE p.id = $3 AND p.realm_id = $2 AND $1 = '00000000-0000-0000-0000-000000000000'
		UNION ALL
		SELECT p.id, p.kind, p.external_id, p.name, p.kind, false FROM principal p
		WHERE p.realm_id = $2 AND $1 <> '00000000-0000-0000-0000-000000000000'
			AND (p.kind = 'public' OR p.kind = 'anyone' AND $4 AND EXISTS (
				SELECT FROM reader_principal l JOIN principal u ON u.id = l.principal_id WHERE l.reader_id = $1 AND u.realm_id = $2 AND u.kind = 'user'))
		ORDER BY 6 DESC, 1`, x.who.reader, x.realm, x.keyPrincipal, x.out.Connection.Source == "push")
	if err != nil {
		return err
	}
	var level []int64
	var l ExplainedLink
	var linked bool
	_, err = pgx.ForEachRow(rows, []any{&l.id, &l.Kind, &l.ID, &l.Name, &l.How, &linked}, func() error {
		if _, ok := x.held[l.id]; !ok {
			x.held[l.id] = step{how: l.How}
			level = append(level, l.id)
		}
		if linked {
			x.out.Links = append(x.out.Links, l)
		}
		return nil
	})
	for err == nil && len(level) > 0 {
		level, err = x.groupsOf(ctx, level)
	}
	return err
}

// groupsOf adds the groups that hold one of members, and returns the new ones.
func (x *explainer) groupsOf(ctx context.Context, members []int64) ([]int64, error) {
	rows, err := x.tx.Query(ctx, `
		SELECT g.id, min(m.member_id) FROM membership m JOIN principal g ON g.id = m.group_id AND g.realm_id = $2
		WHERE m.connection_id = $1 AND m.member_id = ANY ($3) GROUP BY g.id ORDER BY g.id`, x.out.Connection.ID, x.realm, members)
	if err != nil {
		return nil, err
	}
	var found []int64
	var group, member int64
	_, err = pgx.ForEachRow(rows, []any{&group, &member}, func() error {
		if _, ok := x.held[group]; !ok {
			x.held[group] = step{from: member}
			found = append(found, group)
		}
		return nil
	})
	return found, err
}

// clauses compares the ACL with what is held. Of the entries of a clause only
// those held, the nearest first, and the first few by name are read.
func (x *explainer) clauses(ctx context.Context) error {
	held := make([]int64, 0, len(x.held))
	for id := range x.held {
		held = append(held, id)
	}
	x.out.Clauses, x.out.Denials = []ExplainedClause{}, []ExplainedPath{}
	rows, err := x.tx.Query(ctx, `
		SELECT e.clause, array_agg(e.principal_id ORDER BY e.principal_id) FROM acl_entry e
		WHERE e.set_id = $1 AND e.principal_id = ANY ($2) GROUP BY e.clause`, x.set, held)
	if err != nil {
		return err
	}
	matched := map[int][]int64{}
	var n int
	var ids []int64
	if _, err := pgx.ForEachRow(rows, []any{&n, &ids}, func() error {
		matched[n] = slices.Clone(ids)
		return nil
	}); err != nil {
		return err
	}
	for _, id := range matched[0][:min(len(matched[0]), explainNames)] {
		p, err := x.path(ctx, id)
		if err != nil {
			return err
		}
		x.out.Denials = append(x.out.Denials, *p)
	}
	if x.out.Clauses, err = namesOf(ctx, x.tx, x.set, x.mask); err != nil {
		return err
	}
	for i := range x.out.Clauses {
		c := &x.out.Clauses[i]
		if c.Met = len(matched[c.Number]) > 0; !c.Met {
			continue
		}
		if c.Path, err = x.path(ctx, matched[c.Number][0]); err != nil {
			return err
		}
	}
	return nil
}

// path leads from what the ACL names down to what the reader is.
func (x *explainer) path(ctx context.Context, id int64) (*ExplainedPath, error) {
	ids := []int64{id}
	for x.held[id].from != 0 {
		id = x.held[id].from
		ids = append(ids, id)
	}
	rows, err := x.tx.Query(ctx, `
		SELECT p.id, p.kind, p.external_id, p.name FROM unnest($1::bigint[]) WITH ORDINALITY u (id, n) JOIN principal p ON p.id = u.id ORDER BY u.n`, ids)
	if err != nil {
		return nil, err
	}
	steps, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p ExplainedPrincipal, err error) {
		return p, row.Scan(&p.id, &p.Kind, &p.ID, &p.Name)
	})
	return &ExplainedPath{Steps: steps, How: x.held[id].how}, err
}

// namesOf are the clauses of an ACL set, each with its first names.
func namesOf(ctx context.Context, tx pgx.Tx, set, mask int64) ([]ExplainedClause, error) {
	list := []ExplainedClause{}
	for n := 1; n < 63; n++ {
		if mask > 0 && mask&(1<<n) != 0 {
			list = append(list, ExplainedClause{Number: n, Names: []ExplainedPrincipal{}})
		}
	}
	rows, err := tx.Query(ctx, `
		SELECT * FROM (
			SELECT e.clause, p.id, p.kind, p.external_id, p.name, count(*) OVER (PARTITION BY e.clause) AS entries,
				row_number() OVER (PARTITION BY e.clause ORDER BY p.kind = 'user', p.kind, p.external_id) AS place
			FROM acl_entry e JOIN principal p ON p.id = e.principal_id WHERE e.set_id = $1 AND e.clause > 0) x
		WHERE place <= $2 ORDER BY clause, place`, set, explainNames)
	if err != nil {
		return nil, err
	}
	var n, count, place int
	var p ExplainedPrincipal
	_, err = pgx.ForEachRow(rows, []any{&n, &p.id, &p.Kind, &p.ID, &p.Name, &count, &place}, func() error {
		for i := range list {
			if list[i].Number == n {
				list[i].Names, list[i].Count = append(list[i].Names, p), count
			}
		}
		return nil
	})
	return list, err
}
