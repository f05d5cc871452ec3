-- There is one access method of a name in a database, and pgvector has type halfvec from 0.7 on.
DO $$
DECLARE
	version text := (SELECT extversion FROM pg_extension WHERE extname = 'vector');
	owner text := (SELECT extname FROM pg_am AS a
		JOIN pg_depend AS d ON d.classid = 'pg_am'::regclass AND d.objid = a.oid AND d.deptype = 'e'
		JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
		WHERE amname = 'quantvec');
BEGIN
	IF owner IS NOT NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_object',
			MESSAGE = 'this database has an access method named "quantvec" already',
			DETAIL = format('It is of extension %I, version %s.', owner,
			                (SELECT extversion FROM pg_extension WHERE extname = owner)),
			HINT = CASE owner WHEN 'vector' THEN 'Extension vector is quantvec by another name here, and whole.'
			       ELSE format('Extension %I has types and indexes. For pgvector''s own types, drop it first.', owner) END;
	ELSIF NOT coalesce((SELECT (part[1]::int, part[2]::int) >= (0, 7) FROM regexp_match(version, '^(\d+)\.(\d+)') AS part), false) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'feature_not_supported',
			MESSAGE = format('quantvec_pgvector needs pgvector 0.7 or newer, not %s', version),
			HINT = 'Install a newer pgvector, and then: ALTER EXTENSION vector UPDATE.';
	END IF;
END
$$;
