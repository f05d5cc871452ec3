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

CREATE OPERATOR CLASS vector_l2_ops
    FOR TYPE vector USING hnsw AS
    OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_vector_l2_info(internal);
COMMENT ON OPERATOR CLASS vector_l2_ops USING hnsw IS 'ORDER BY column <-> constant';

CREATE OPERATOR CLASS vector_ip_ops
    FOR TYPE vector USING hnsw AS
    OPERATOR 1 <#> (vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_vector_ip_info(internal);
COMMENT ON OPERATOR CLASS vector_ip_ops USING hnsw IS 'ORDER BY column <#> constant';

CREATE OPERATOR CLASS vector_cosine_ops
    FOR TYPE vector USING hnsw AS
    OPERATOR 1 <=> (vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_vector_cosine_info(internal);
COMMENT ON OPERATOR CLASS vector_cosine_ops USING hnsw IS 'ORDER BY column <=> constant';

CREATE OPERATOR CLASS vector_l1_ops
    FOR TYPE vector USING hnsw AS
    OPERATOR 1 <+> (vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_no_l1_info(internal);
COMMENT ON OPERATOR CLASS vector_l1_ops USING hnsw IS 'has no index yet: building one fails, and says what to do instead';

CREATE OPERATOR CLASS halfvec_l2_ops
    FOR TYPE halfvec USING hnsw AS
    OPERATOR 1 <-> (halfvec, halfvec) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_halfvec_l2_info(internal);
COMMENT ON OPERATOR CLASS halfvec_l2_ops USING hnsw IS 'ORDER BY column <-> constant';

CREATE OPERATOR CLASS halfvec_ip_ops
    FOR TYPE halfvec USING hnsw AS
    OPERATOR 1 <#> (halfvec, halfvec) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_halfvec_ip_info(internal);
COMMENT ON OPERATOR CLASS halfvec_ip_ops USING hnsw IS 'ORDER BY column <#> constant';

CREATE OPERATOR CLASS halfvec_cosine_ops
    FOR TYPE halfvec USING hnsw AS
    OPERATOR 1 <=> (halfvec, halfvec) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_halfvec_cosine_info(internal);
COMMENT ON OPERATOR CLASS halfvec_cosine_ops USING hnsw IS 'ORDER BY column <=> constant';

CREATE OPERATOR CLASS halfvec_l1_ops
    FOR TYPE halfvec USING hnsw AS
    OPERATOR 1 <+> (halfvec, halfvec) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_no_l1_info(internal);
COMMENT ON OPERATOR CLASS halfvec_l1_ops USING hnsw IS 'has no index yet: building one fails, and says what to do instead';

CREATE OPERATOR CLASS bit_hamming_ops
    FOR TYPE bit USING hnsw AS
    OPERATOR 1 <~> (bit, bit) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_bit_hamming_info(internal);
COMMENT ON OPERATOR CLASS bit_hamming_ops USING hnsw IS 'ORDER BY column <~> constant';

CREATE OPERATOR CLASS bit_jaccard_ops
    FOR TYPE bit USING hnsw AS
    OPERATOR 1 <%> (bit, bit) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_bit_jaccard_info(internal);
COMMENT ON OPERATOR CLASS bit_jaccard_ops USING hnsw IS 'ORDER BY column <%> constant: Jaccard distance';

CREATE OPERATOR CLASS sparsevec_l2_ops
    FOR TYPE sparsevec USING hnsw AS
    OPERATOR 1 <-> (sparsevec, sparsevec) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_no_sparsevec_info(internal);
COMMENT ON OPERATOR CLASS sparsevec_l2_ops USING hnsw IS 'has no index yet: building one fails, and says what to do instead';

CREATE OPERATOR CLASS sparsevec_ip_ops
    FOR TYPE sparsevec USING hnsw AS
    OPERATOR 1 <#> (sparsevec, sparsevec) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_no_sparsevec_info(internal);
COMMENT ON OPERATOR CLASS sparsevec_ip_ops USING hnsw IS 'has no index yet: building one fails, and says what to do instead';

CREATE OPERATOR CLASS sparsevec_cosine_ops
    FOR TYPE sparsevec USING hnsw AS
    OPERATOR 1 <=> (sparsevec, sparsevec) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_no_sparsevec_info(internal);
COMMENT ON OPERATOR CLASS sparsevec_cosine_ops USING hnsw IS 'has no index yet: building one fails, and says what to do instead';

CREATE OPERATOR CLASS sparsevec_l1_ops
    FOR TYPE sparsevec USING hnsw AS
    OPERATOR 1 <+> (sparsevec, sparsevec) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_no_sparsevec_info(internal);
COMMENT ON OPERATOR CLASS sparsevec_l1_ops USING hnsw IS 'has no index yet: building one fails, and says what to do instead';

CREATE OPERATOR CLASS vector_l2_ops
    DEFAULT FOR TYPE vector USING ivfflat AS
    OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_vector_l2_info(internal);
COMMENT ON OPERATOR CLASS vector_l2_ops USING ivfflat IS 'ORDER BY column <-> constant';

CREATE OPERATOR CLASS vector_ip_ops
    FOR TYPE vector USING ivfflat AS
    OPERATOR 1 <#> (vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_vector_ip_info(internal);
COMMENT ON OPERATOR CLASS vector_ip_ops USING ivfflat IS 'ORDER BY column <#> constant';

CREATE OPERATOR CLASS vector_cosine_ops
    FOR TYPE vector USING ivfflat AS
    OPERATOR 1 <=> (vector, vector) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_vector_cosine_info(internal);
COMMENT ON OPERATOR CLASS vector_cosine_ops USING ivfflat IS 'ORDER BY column <=> constant';

CREATE OPERATOR CLASS halfvec_l2_ops
    FOR TYPE halfvec USING ivfflat AS
    OPERATOR 1 <-> (halfvec, halfvec) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_halfvec_l2_info(internal);
COMMENT ON OPERATOR CLASS halfvec_l2_ops USING ivfflat IS 'ORDER BY column <-> constant';

CREATE OPERATOR CLASS halfvec_ip_ops
    FOR TYPE halfvec USING ivfflat AS
    OPERATOR 1 <#> (halfvec, halfvec) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_halfvec_ip_info(internal);
COMMENT ON OPERATOR CLASS halfvec_ip_ops USING ivfflat IS 'ORDER BY column <#> constant';

CREATE OPERATOR CLASS halfvec_cosine_ops
    FOR TYPE halfvec USING ivfflat AS
    OPERATOR 1 <=> (halfvec, halfvec) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_halfvec_cosine_info(internal);
COMMENT ON OPERATOR CLASS halfvec_cosine_ops USING ivfflat IS 'ORDER BY column <=> constant';

CREATE OPERATOR CLASS bit_hamming_ops
    FOR TYPE bit USING ivfflat AS
    OPERATOR 1 <~> (bit, bit) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_bit_hamming_info(internal);
COMMENT ON OPERATOR CLASS bit_hamming_ops USING ivfflat IS 'ORDER BY column <~> constant';
