-- Two types of that name would make every unqualified "vector" depend on the search path. The row type of a table does
-- so too, but takes no dimensions: it is in the way in its own schema only.
DO $$
DECLARE
	taken record;
BEGIN
	SELECT (pg_identify_object(CASE typrelid WHEN 0 THEN 'pg_type'::regclass ELSE 'pg_class'::regclass END,
	                           CASE typrelid WHEN 0 THEN t.oid ELSE typrelid END, 0)).*,
	       ' of extension ' || quote_ident(extname) AS owner, typtype, extname
		INTO taken
		FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = typnamespace
		LEFT JOIN pg_depend AS d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
		LEFT JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
		WHERE typname = 'vector' AND (typtype = 'b' OR nspname = current_schema)
		ORDER BY typtype <> 'b' LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_object',
			MESSAGE = 'this database has a type named "vector" already',
			DETAIL = format('It is %s%s %s%s.', CASE taken.typtype WHEN 'c' THEN 'the row type of ' END,
			                taken.type, taken.identity, taken.owner),
			HINT = CASE
				WHEN taken.typtype <> 'b' THEN 'Give quantvec another schema: CREATE EXTENSION quantvec SCHEMA ...'
				WHEN taken.extname = 'vector' THEN 'To index the types of pgvector: CREATE EXTENSION quantvec_pgvector.'
				ELSE 'Install quantvec in a database that has none.' END;
	END IF;
END
$$;
