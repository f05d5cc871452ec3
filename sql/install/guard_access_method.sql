-- A database has one access method of a name: whose is it?
DO $$
DECLARE
	owner record;
BEGIN
	SELECT extname, extversion INTO owner
		FROM pg_am AS a JOIN pg_depend AS d ON d.classid = 'pg_am'::regclass AND d.objid = a.oid AND d.deptype = 'e'
		JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
		WHERE amname = 'quantvec';
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_object',
			MESSAGE = 'this database has an access method named "quantvec" already',
			DETAIL = format('It is of extension %I, version %s.', owner.extname, owner.extversion),
			HINT = CASE owner.extname
				WHEN 'vector' THEN 'This extension is quantvec under the name vector: alone it has types and indexes.'
				WHEN 'quantvec_pgvector' THEN 'Nothing is missing: USING quantvec indexes the types of pgvector.'
				ELSE 'Nothing is missing: USING quantvec indexes its own types. '
				     'To index those of pgvector, drop it, then: CREATE EXTENSION quantvec_pgvector CASCADE.' END;
	END IF;
END
$$;
