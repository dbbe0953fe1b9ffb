-- The rights of the roles, whole: what is not granted here is not held.
GRANT USAGE ON SCHEMA tributary, river TO {{app}};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tributary, river TO {{app}};
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA tributary, river TO {{app}};
