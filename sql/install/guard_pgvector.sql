-- halfvec came with pgvector 0.7, and the operator classes are to be for pgvector's own types and operators. The target
-- schema is searched before pgvector's, and may have others of these names: the row type of a table "vector", say.
DO $$
DECLARE
	pgvector record;
	other text;
BEGIN
	SELECT oid, extversion AS version, extnamespace::regnamespace AS schema INTO pgvector
		FROM pg_extension WHERE extname = 'vector';
	IF (SELECT (part[1]::int, part[2]::int) >= (0, 7) FROM regexp_match(pgvector.version, '^(\d+)\.(\d+)') AS part)
	   IS NOT TRUE THEN
		RAISE EXCEPTION USING
			ERRCODE = 'feature_not_supported',
			MESSAGE = format('quantvec_pgvector needs pgvector 0.7 or newer, and this database has %s', pgvector.version),
			HINT = 'Install a newer pgvector on the server, then: ALTER EXTENSION vector UPDATE.';
	END IF;

	SELECT object.type || ' ' || object.identity INTO other
		FROM pg_depend AS d
		LEFT JOIN pg_type AS t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
		LEFT JOIN pg_operator AS o ON d.classid = 'pg_operator'::regclass AND o.oid = d.objid,
		LATERAL (
			SELECT 'pg_type'::regclass, oid FROM pg_type
			WHERE typnamespace = current_schema::regnamespace AND typname = t.typname AND oid <> t.oid
			UNION ALL
			SELECT 'pg_operator'::regclass, oid FROM pg_operator
			WHERE oprnamespace = current_schema::regnamespace AND oid <> o.oid
			      AND (oprname, oprleft, oprright) = (o.oprname, o.oprleft, o.oprright)
		) AS found(class, oid),
		pg_identify_object(class, found.oid, 0) AS object
		WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = pgvector.oid AND d.deptype = 'e'
		ORDER BY object.type DESC, object.identity LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_object',
			MESSAGE = format('schema %I has what would be taken for pgvector''s', current_schema),
			DETAIL = format('It is %s.', other),
			HINT = format('Use the schema of pgvector: CREATE EXTENSION quantvec_pgvector SCHEMA %s.', pgvector.schema);
	END IF;
END
$$;
