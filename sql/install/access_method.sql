-- The access method.

CREATE FUNCTION quantvec_handler(internal) RETURNS index_am_handler
    AS 'MODULE_PATHNAME' LANGUAGE C;
COMMENT ON FUNCTION quantvec_handler(internal) IS 'handler of the index access method quantvec';

CREATE ACCESS METHOD quantvec TYPE INDEX HANDLER quantvec_handler;
COMMENT ON ACCESS METHOD quantvec IS 'index of quantized vectors: scans codes, reranks with the exact vectors of the table';
