-- halfvec came with pgvector 0.7, and the access method is to meet pgvector's own types and operators. The target schema
-- is searched before pgvector's, and may have others of these names.
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
		FROM unnest('{vector,halfvec}'::text[]) AS type,
		LATERAL (
			SELECT 'pg_type'::regclass, to_regtype(type)::oid
			UNION ALL
			SELECT 'pg_operator'::regclass, to_regoperator(format('%s(%s,%s)', operator, type, type))
			FROM unnest('{<->,<#>,<=>}'::text[]) AS operator
		) AS found(class, oid),
		pg_identify_object(class, found.oid, 0) AS object
		WHERE NOT EXISTS (
			SELECT FROM pg_depend AS d
			WHERE d.classid = class AND d.objid = found.oid AND d.deptype = 'e'
			      AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = pgvector.oid)
		ORDER BY other LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_object',
			MESSAGE = format('schema "%s" has what would be taken for pgvector''s', current_schema),
			DETAIL = format('It is %s.', other),
			HINT = format('Create the extension in the schema of pgvector: CREATE EXTENSION quantvec_pgvector SCHEMA %s.',
			              pgvector.schema);
	END IF;
END
$$;
