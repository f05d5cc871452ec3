-- Classes that pgvector has, and for which there are no codes yet: building an index says what to do instead.

CREATE FUNCTION quantvec_no_l1_info(internal) RETURNS internal
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION quantvec_no_l1_info(internal) IS 'tells the access method that there are no codes for <+> yet, and what to do instead';

CREATE FUNCTION quantvec_no_sparsevec_info(internal) RETURNS internal
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION quantvec_no_sparsevec_info(internal) IS 'tells the access method that there are no codes for sparsevec yet, and what to do instead';

CREATE OPERATOR CLASS vector_l1_ops
    FOR TYPE vector USING quantvec AS
    OPERATOR 1 <+> (vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_no_l1_info(internal);
COMMENT ON OPERATOR CLASS vector_l1_ops USING quantvec IS 'has no index yet: building one fails, and says what to do instead';

CREATE OPERATOR CLASS halfvec_l1_ops
    FOR TYPE halfvec USING quantvec AS
    OPERATOR 1 <+> (halfvec, halfvec) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_no_l1_info(internal);
COMMENT ON OPERATOR CLASS halfvec_l1_ops USING quantvec IS 'has no index yet: building one fails, and says what to do instead';

CREATE OPERATOR CLASS sparsevec_l2_ops
    DEFAULT FOR TYPE sparsevec USING quantvec AS
    OPERATOR 1 <-> (sparsevec, sparsevec) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_no_sparsevec_info(internal);
COMMENT ON OPERATOR CLASS sparsevec_l2_ops USING quantvec IS 'has no index yet: building one fails, and says what to do instead';

CREATE OPERATOR CLASS sparsevec_ip_ops
    FOR TYPE sparsevec USING quantvec AS
    OPERATOR 1 <#> (sparsevec, sparsevec) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_no_sparsevec_info(internal);
COMMENT ON OPERATOR CLASS sparsevec_ip_ops USING quantvec IS 'has no index yet: building one fails, and says what to do instead';

CREATE OPERATOR CLASS sparsevec_cosine_ops
    FOR TYPE sparsevec USING quantvec AS
    OPERATOR 1 <=> (sparsevec, sparsevec) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_no_sparsevec_info(internal);
COMMENT ON OPERATOR CLASS sparsevec_cosine_ops USING quantvec IS 'has no index yet: building one fails, and says what to do instead';

CREATE OPERATOR CLASS sparsevec_l1_ops
    FOR TYPE sparsevec USING quantvec AS
    OPERATOR 1 <+> (sparsevec, sparsevec) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_no_sparsevec_info(internal);
COMMENT ON OPERATOR CLASS sparsevec_l1_ops USING quantvec IS 'has no index yet: building one fails, and says what to do instead';
