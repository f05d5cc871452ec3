-- There is one access method of a name in a database.
DO $$
DECLARE
	taken record;
BEGIN
	SELECT amname, extname INTO taken FROM pg_am AS a
		LEFT JOIN pg_depend AS d ON d.classid = 'pg_am'::regclass AND d.objid = a.oid AND d.deptype = 'e'
		LEFT JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
		WHERE amname IN ('quantvec', 'hnsw', 'ivfflat') LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_object',
			MESSAGE = format('this database has an access method named %I already', taken.amname),
			DETAIL = CASE WHEN taken.extname IS NOT NULL THEN format('It is of extension %I.', taken.extname) END,
			HINT = 'Extension vector is whole by itself. Create it in a database without the other.';
	END IF;
END
$$;
