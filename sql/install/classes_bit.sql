-- The operator classes of the server's own type bit.

CREATE FUNCTION quantvec_bit_hamming_info(internal) RETURNS internal
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION quantvec_bit_hamming_info(internal) IS 'what bit_hamming_ops is to the access method: element type, metric, distance';

CREATE OPERATOR CLASS bit_hamming_ops
    DEFAULT FOR TYPE bit USING quantvec AS
    OPERATOR 1 <~> (bit, bit) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_bit_hamming_info(internal);
COMMENT ON OPERATOR CLASS bit_hamming_ops USING quantvec IS 'ORDER BY column <~> constant: number of bits that differ';

CREATE FUNCTION quantvec_bit_jaccard_info(internal) RETURNS internal
    AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION quantvec_bit_jaccard_info(internal) IS 'what bit_jaccard_ops is to the access method: element type, metric, distance';

CREATE OPERATOR CLASS bit_jaccard_ops
    FOR TYPE bit USING quantvec AS
    OPERATOR 1 <%> (bit, bit) FOR ORDER BY float_ops,
    FUNCTION 1 quantvec_bit_jaccard_info(internal);
COMMENT ON OPERATOR CLASS bit_jaccard_ops USING quantvec IS 'ORDER BY column <%> constant: Jaccard distance';
