-- The one predicate of visibility. Everything that reads content goes through
-- visible_documents or visible_stream, and both through acl_match.

-- acl_match decides one ACL set for the connection numbered n in held:
-- visible iff the bits of the entries held equal need_mask and that is not 0.
-- A denial (clause 0) sets every bit and so equals no mask. first is the
-- smallest principal held in clause 1. It always gives one row and is inlined
-- into the query that calls it.
CREATE OR REPLACE FUNCTION tributary.acl_match(set_id bigint, n bigint, held bigint[])
RETURNS TABLE (visible boolean, first bigint)
LANGUAGE sql STABLE ROWS 1
AS $$
  SELECT bit_or(CASE e.clause WHEN 0 THEN -1::bigint ELSE 1::bigint << e.clause END)
           = (SELECT s.need_mask FROM tributary.acl_set s WHERE s.id = $1 AND s.need_mask > 0),
         min(e.principal_id) FILTER (WHERE e.clause = 1)
  FROM tributary.acl_entry e
  WHERE e.set_id = $1 AND (e.principal_id << 16 | $2) = ANY ($3)
$$;

-- visible_documents is the predicate asked document by document: right where
-- candidates are known (by id, or from an index scan).
CREATE OR REPLACE FUNCTION tributary.visible_documents(conns uuid[], held bigint[])
RETURNS SETOF tributary.document
LANGUAGE sql STABLE ROWS 1000
AS $$
  SELECT d.*
  FROM tributary.document d
  CROSS JOIN LATERAL (SELECT array_position($1, d.connection_id)::bigint AS n OFFSET 0) c
  CROSS JOIN LATERAL tributary.acl_match(d.acl_set_id, c.n, $2) a
  WHERE d.hidden_reason IS NULL AND c.n IS NOT NULL AND a.visible
$$;

-- visible_stream is the same set of documents, found from what is held: every
-- visible set has a held principal in clause 1. Its cost grows with what is
-- visible and not with what is stored, and a caller can stop it at any row.
-- OFFSET keeps every plan at deciding a set before its documents are read.
CREATE OR REPLACE FUNCTION tributary.visible_stream(conns uuid[], held bigint[])
RETURNS SETOF tributary.document
LANGUAGE sql STABLE ROWS 1000
AS $$
  SELECT d.*
  FROM (
    SELECT e.set_id, h.code & 65535 AS n
    FROM unnest($2) h (code)
    JOIN tributary.acl_entry e ON e.principal_id = h.code >> 16 AND e.clause = 1
    CROSS JOIN LATERAL tributary.acl_match(e.set_id, h.code & 65535, $2) a
    WHERE a.visible AND a.first = e.principal_id OFFSET 0
  ) x
  JOIN tributary.document d ON d.acl_set_id = x.set_id AND d.connection_id = ($1)[x.n]
  WHERE d.hidden_reason IS NULL
$$;

-- filter_matches decides the filters that speak of one document. A NULL
-- filter matches everything; it is inlined.
CREATE OR REPLACE FUNCTION tributary.filter_matches(
  kind text, media_type text, path text, updated timestamptz, metadata jsonb,
  types text[], paths text[], updated_after timestamptz, contains jsonb)
RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
  SELECT ($6 IS NULL OR $1 = ANY ($6) OR $2 = ANY ($6))
     AND ($7 IS NULL OR $3 ~ ANY ($7))
     AND ($8 IS NULL OR $4 > $8)
     AND ($9 IS NULL OR $5 @> $9)
$$;
