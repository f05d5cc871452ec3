-- Distances of the server's own type bit.

CREATE FUNCTION hamming_distance(bit, bit) RETURNS float8
	AS 'MODULE_PATHNAME', 'quantvec_hamming_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hamming_distance(bit, bit) IS
	'number of bits that differ, of two strings of n bits each; error if they differ in n';

CREATE FUNCTION jaccard_distance(bit, bit) RETURNS float8
	AS 'MODULE_PATHNAME', 'quantvec_jaccard_distance' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION jaccard_distance(bit, bit) IS
	'Jaccard distance, 0 to 1, of two strings of n bits each: 1 - bits set in both / bits set in either; error if they differ in n';

CREATE OPERATOR <~> (
	LEFTARG = bit, RIGHTARG = bit, FUNCTION = hamming_distance,
	COMMUTATOR = <~>
);
COMMENT ON OPERATOR <~> (bit, bit) IS
	'number of bits that differ, of two strings of n bits each; error if they differ in n';

CREATE OPERATOR <%> (
	LEFTARG = bit, RIGHTARG = bit, FUNCTION = jaccard_distance,
	COMMUTATOR = <%>
);
COMMENT ON OPERATOR <%> (bit, bit) IS
	'Jaccard distance, 0 to 1, of two strings of n bits each; error if they differ in n';
