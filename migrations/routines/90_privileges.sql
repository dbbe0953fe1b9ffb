-- The rights of the roles, whole: what is not granted here is not held.

REVOKE ALL ON SCHEMA tributary, river FROM PUBLIC, {{app}}, {{reader}}, {{search_definer}};
REVOKE ALL ON ALL TABLES IN SCHEMA tributary FROM PUBLIC, {{app}}, {{reader}}, {{search_definer}};
REVOKE ALL ON ALL TABLES IN SCHEMA river FROM PUBLIC, {{app}}, {{reader}}, {{search_definer}};
REVOKE ALL ON ALL SEQUENCES IN SCHEMA tributary, river FROM PUBLIC, {{app}}, {{reader}}, {{search_definer}};

-- The service: rows, but no DDL. Bookkeeping of migrations and the settings
-- are for it to read: the name of the login that may set an identity is among
-- them.
GRANT USAGE ON SCHEMA tributary, river TO {{app}};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tributary TO {{app}};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA river TO {{app}};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA tributary, river TO {{app}};
REVOKE INSERT, UPDATE, DELETE ON setting, goose_version, migration_sum FROM {{app}};
-- SECURITY: of an event the service writes what it says, and neither its number nor its time.
REVOKE INSERT, UPDATE, DELETE ON audit_event FROM {{app}};
GRANT INSERT (actor_kind, actor, authenticated, ip, action, target_kind, target, outcome, detail) ON audit_event TO {{app}};
REVOKE ALL ON SEQUENCE audit_event_id_seq FROM {{app}};
-- SECURITY: of reads the service writes records, and forgets them by functions only. When SQL logins read, it learns from
-- numbers that it does not give.
REVOKE INSERT, UPDATE, DELETE ON read_event FROM {{app}};
GRANT INSERT (at, reader_id, key_id, actor, tool, documents, permissions_as_of, query, lost) ON read_event TO {{app}};
REVOKE ALL ON SEQUENCE read_event_id_seq FROM {{app}};
REVOKE USAGE ON SEQUENCE sql_read_call FROM {{app}};
REVOKE INSERT ON sql_read FROM {{app}};

-- The owner of the query path: reads what it decides on, adds to the record of
-- reads, and nothing else. Secrets of keys are not among the columns.
GRANT USAGE ON SCHEMA tributary TO {{search_definer}};
GRANT SELECT ON setting, realm, principal, connection, schedule, sync_run, acl_set, acl_entry, membership,
  document, revision, chunk, embedding_profile, embed_todo, reader, reader_principal, sql_login,
  outbox, feed_head TO {{search_definer}};
GRANT SELECT (id, reader_id, principal_id, all_connections, connections, expires_at, revoked_at, rights, mode) ON api_key TO {{search_definer}};
GRANT INSERT (reader_id, actor, tool, documents, permissions_as_of) ON read_event TO {{search_definer}};
GRANT INSERT ON sql_read TO {{search_definer}};
GRANT USAGE ON SEQUENCE sql_read_call TO {{search_definer}};

-- SQL readers: the query functions.
GRANT USAGE ON SCHEMA tributary TO {{reader}};

-- Functions of the query path belong to search_definer; the internal ones are
-- for it alone, the entrances for app and reader too, those of the feed for app.
-- Everything else is app's.
DO $$
DECLARE
  f record;
  entrances constant text[] := ARRAY['current_reader', 'search', 'document', 'document_text', 'document_chunks', 'neighbours',
    'chunk', 'section', 'lineage', 'embeddings', 'visible_count', 'visible_list', 'visible_export'];
  feed constant text[] := ARRAY['feed_status', 'feed_changes', 'feed_list', 'feed_documents', 'feed_chunks', 'feed_vectors', 'feed_sets',
    'feed_members', 'feed_pairs', 'feed_principals'];
  internals constant text[] := ARRAY['session_identity', 'session_seeds', 'search_closure', 'search_scope', 'acl_match', 'visible_documents',
    'visible_stream', 'filter_matches', 'bad_input', 'filter_strings', 'path_regex', 'search_filters', 'search_options', 'search_option',
    'search_stream', 'search_allows', 'search_vector_exact', 'search_vector_allowed', 'search_vector_near', 'search_languages', 'search_parse',
    'search_phrase', 'search_lexeme', 'search_prefix', 'search_forms', 'search_terms', 'search_case', 'search_slots', 'search_join',
    'search_pick', 'search_keep', 'search_seen', 'search_breadth', 'search_ranked',
    'likeness', 'search_keyword', 'search_vector', 'search_weights', 'search_fuse', 'search_run', 'search_pending',
    'search_freshness', 'search_check', 'search_state', 'search_plan', 'readable', 'under_heading', 'visible_page', 'feed_scope',
    'by_service', 'note_read', 'write_read'];
  t record;
BEGIN
  GRANT CREATE ON SCHEMA tributary TO {{search_definer}};
  FOR f IN SELECT p.oid::regprocedure AS signature, p.proname AS name FROM pg_proc p
    WHERE p.pronamespace = 'tributary'::regnamespace LOOP
    EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC, {{app}}, {{reader}}, {{search_definer}}', f.signature);
    IF f.name = ANY (entrances || feed || internals) THEN
      EXECUTE format('ALTER ROUTINE %s OWNER TO {{search_definer}}', f.signature);
      EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO {{search_definer}}', f.signature);
      IF f.name = ANY (entrances) THEN
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO {{app}}, {{reader}}', f.signature);
      ELSIF f.name = ANY (feed) THEN
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO {{app}}', f.signature);
      END IF;
    ELSE
      EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO {{app}}', f.signature);
    END IF;
  END LOOP;
  REVOKE CREATE ON SCHEMA tributary FROM {{search_definer}};
  GRANT EXECUTE ON FUNCTION tributary.clock() TO {{search_definer}};
  GRANT EXECUTE ON FUNCTION tributary.search_words(text, boolean) TO {{search_definer}};
  -- Vector tables are made at run time, by create_vector_table.
  FOR t IN SELECT format('tributary.%I', 'vec_' || p.id) AS name FROM embedding_profile p
    WHERE to_regclass(format('tributary.%I', 'vec_' || p.id)) IS NOT NULL LOOP
    EXECUTE format('GRANT SELECT ON %s TO {{search_definer}}', t.name);
  END LOOP;
END
$$;
