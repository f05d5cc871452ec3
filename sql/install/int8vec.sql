-- What int8vec has alone, and its casts. All are made in assignments or if asked for: one more that is made by itself
-- would leave open which operator of vectors is meant.

COMMENT ON TYPE int8vec IS
	'8-bit vector: int8vec(n) has n dimensions, 1 to 16000, each to 1/255 of the range of the value''s own elements; text form [1,2,3]';

CREATE FUNCTION vector_dims(int8vec) RETURNS integer
	AS 'MODULE_PATHNAME', 'quantvec_int8vec_dims' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_dims(int8vec) IS
	'number of dimensions';

CREATE FUNCTION l2_norm(int8vec) RETURNS float8
	AS 'MODULE_PATHNAME', 'quantvec_int8vec_norm' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION l2_norm(int8vec) IS
	'Euclidean norm';

CREATE FUNCTION vector_to_int8vec(vector, integer, boolean) RETURNS int8vec
	AS 'MODULE_PATHNAME', 'quantvec_vector_to_int8vec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION vector_to_int8vec(vector, integer, boolean) IS
	'vector to int8vec: each element to the nearest of 256 over their range';

CREATE FUNCTION int8vec_to_vector(int8vec, integer, boolean) RETURNS vector
	AS 'MODULE_PATHNAME', 'quantvec_int8vec_to_vector' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION int8vec_to_vector(int8vec, integer, boolean) IS
	'int8vec to vector';

CREATE FUNCTION halfvec_to_int8vec(halfvec, integer, boolean) RETURNS int8vec
	AS 'MODULE_PATHNAME', 'quantvec_halfvec_to_int8vec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION halfvec_to_int8vec(halfvec, integer, boolean) IS
	'halfvec to int8vec: each element to the nearest of 256 over their range';

CREATE FUNCTION int8vec_to_halfvec(int8vec, integer, boolean) RETURNS halfvec
	AS 'MODULE_PATHNAME', 'quantvec_int8vec_to_halfvec' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION int8vec_to_halfvec(int8vec, integer, boolean) IS
	'int8vec to halfvec: each element to the nearest; error beyond 65504';

CREATE FUNCTION array_to_int8vec(integer[], integer, boolean) RETURNS int8vec
	AS 'MODULE_PATHNAME', 'quantvec_int8vec_from_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION array_to_int8vec(integer[], integer, boolean) IS
	'integer array to int8vec; error if nested, empty, too long, with nulls or not finite';

CREATE FUNCTION array_to_int8vec(real[], integer, boolean) RETURNS int8vec
	AS 'MODULE_PATHNAME', 'quantvec_int8vec_from_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION array_to_int8vec(real[], integer, boolean) IS
	'real array to int8vec; error if nested, empty, too long, with nulls or not finite';

CREATE FUNCTION array_to_int8vec(double precision[], integer, boolean) RETURNS int8vec
	AS 'MODULE_PATHNAME', 'quantvec_int8vec_from_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION array_to_int8vec(double precision[], integer, boolean) IS
	'double precision array to int8vec; error if nested, empty, too long, with nulls or not finite';

CREATE FUNCTION array_to_int8vec(numeric[], integer, boolean) RETURNS int8vec
	AS 'MODULE_PATHNAME', 'quantvec_int8vec_from_array' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION array_to_int8vec(numeric[], integer, boolean) IS
	'numeric array to int8vec; error if nested, empty, too long, with nulls or not finite';

CREATE FUNCTION int8vec_to_float4(int8vec, integer, boolean) RETURNS real[]
	AS 'MODULE_PATHNAME', 'quantvec_int8vec_to_float4' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION int8vec_to_float4(int8vec, integer, boolean) IS
	'int8vec to real array';

CREATE CAST (vector AS int8vec)
	WITH FUNCTION vector_to_int8vec(vector, integer, boolean) AS ASSIGNMENT;
CREATE CAST (int8vec AS vector)
	WITH FUNCTION int8vec_to_vector(int8vec, integer, boolean) AS ASSIGNMENT;
CREATE CAST (halfvec AS int8vec)
	WITH FUNCTION halfvec_to_int8vec(halfvec, integer, boolean) AS ASSIGNMENT;
CREATE CAST (int8vec AS halfvec)
	WITH FUNCTION int8vec_to_halfvec(int8vec, integer, boolean) AS ASSIGNMENT;
CREATE CAST (int8vec AS real[])
	WITH FUNCTION int8vec_to_float4(int8vec, integer, boolean) AS ASSIGNMENT;
CREATE CAST (integer[] AS int8vec)
	WITH FUNCTION array_to_int8vec(integer[], integer, boolean) AS ASSIGNMENT;
CREATE CAST (real[] AS int8vec)
	WITH FUNCTION array_to_int8vec(real[], integer, boolean) AS ASSIGNMENT;
CREATE CAST (double precision[] AS int8vec)
	WITH FUNCTION array_to_int8vec(double precision[], integer, boolean) AS ASSIGNMENT;
CREATE CAST (numeric[] AS int8vec)
	WITH FUNCTION array_to_int8vec(numeric[], integer, boolean) AS ASSIGNMENT;
