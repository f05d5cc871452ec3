-- The access methods hnsw and ivfflat, which are quantvec by other names, with the operator classes that pgvector has for
-- them. Their handlers are in a library of their own, with the settings hnsw.* and ivfflat.*.

CREATE FUNCTION hnswhandler(internal) RETURNS index_am_handler
    AS 'quantvec_as_vector', 'quantvec_as_hnsw' LANGUAGE C;
COMMENT ON FUNCTION hnswhandler(internal) IS 'handler of the index access method hnsw, which is quantvec';

CREATE ACCESS METHOD hnsw TYPE INDEX HANDLER hnswhandler;
COMMENT ON ACCESS METHOD hnsw IS 'quantvec by the name that pgvector has for its graph; m and ef_construction have no effect';

CREATE FUNCTION ivfflathandler(internal) RETURNS index_am_handler
    AS 'quantvec_as_vector', 'quantvec_as_ivfflat' LANGUAGE C;
COMMENT ON FUNCTION ivfflathandler(internal) IS 'handler of the index access method ivfflat, which is quantvec';

CREATE ACCESS METHOD ivfflat TYPE INDEX HANDLER ivfflathandler;
COMMENT ON ACCESS METHOD ivfflat IS 'quantvec by the name that pgvector has for its lists; lists has no effect';

-- The classes of quantvec again, for those types and metrics that pgvector has them for; only ivfflat has a default.
DO $$
DECLARE
	class record;
BEGIN
	FOR class IN
		SELECT alias, opcname AS name, opcintype::regtype AS type, amopopr::regoperator AS operator, amproc::regprocedure AS info,
		       alias = 'ivfflat' AND opcname = 'vector_l2_ops' AS is_default, obj_description(c.oid, 'pg_opclass') AS told
		FROM pg_opclass AS c JOIN pg_am AS m ON m.oid = opcmethod
		JOIN pg_amop ON amopfamily = opcfamily JOIN pg_amproc ON amprocfamily = opcfamily,
		unnest('{hnsw,ivfflat}'::text[]) AS alias
		WHERE amname = 'quantvec' AND opcintype <> 'int8vec'::regtype
		      AND (alias = 'hnsw' OR opcname !~ 'l1|jaccard|sparsevec')
	LOOP
		EXECUTE format('CREATE OPERATOR CLASS %I %s FOR TYPE %s USING %I AS OPERATOR 1 %s FOR ORDER BY float_ops, FUNCTION 1 %s',
		               class.name, CASE WHEN class.is_default THEN 'DEFAULT' END, class.type, class.alias, class.operator, class.info);
		EXECUTE format('COMMENT ON OPERATOR CLASS %I USING %I IS %L', class.name, class.alias, class.told);
	END LOOP;
END
$$;
