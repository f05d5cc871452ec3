-- Casts between vector and arrays.

-- arrays to vector

SELECT ARRAY[1,2,3]::vector, ARRAY[1.5,2,-3]::vector, '{1,2.5,-3}'::real[]::vector,
       '{1,2.5,-3}'::double precision[]::vector, '{1,2.5,-3}'::numeric[]::vector;
-- to the nearest float
SELECT ARRAY[16777217, 2147483647]::vector, '{0.1,1e-46,3.4028235e38}'::double precision[]::vector,
       '{0.1,16777217}'::numeric[]::vector;
SELECT '{1,2,3}'::integer[]::vector(3), '{1,2,3}'::real[]::vector(3),
       '{1,2,3}'::double precision[]::vector(3), '{1,2,3}'::numeric[]::vector(3);
-- subscripts do not count; a null bitmap without a null in it is no null
SELECT '[5:7]={1,2,3}'::integer[]::vector, ('{1,2,NULL}'::real[])[1:2]::vector,
       ('{NULL,1,2}'::double precision[])[2:3]::vector, ('{1,NULL}'::numeric[])[1:1]::vector;

CREATE FUNCTION answer(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE command INTO result;
    RETURN result;
EXCEPTION WHEN OTHERS THEN
    RETURN concat_ws(' | ', SQLSTATE, left(SQLERRM, 75));
END $$;
SELECT type, input, answer(format('SELECT %L::%s[]::vector(2)', input, type)) FROM
    (VALUES ('{1,2}'), ('{1,2,3}'), ('{}'), ('{{1,2}}'), ('{1,NULL}')) AS i(input),
    (VALUES (1, 'integer'), (2, 'real'), (3, 'double precision'), (4, 'numeric')) AS t(n, type)
    ORDER BY n, input;
SELECT type, input, answer(format('SELECT %L::%s[]::vector', input, type)) FROM (VALUES
    ('real', '{1,NaN}'), ('real', '{1,Infinity}'), ('real', '{-Infinity}'),
    ('double precision', '{NaN}'), ('double precision', '{Infinity}'), ('double precision', '{4e38}'),
    ('double precision', '{-4e38}'), ('numeric', '{NaN}'), ('numeric', '{Infinity}'),
    ('numeric', '{4e38}')) AS t(type, input);

-- up to 16000 dimensions
SELECT vector_dims(array_agg(n)::vector) FROM generate_series(1, 16000) n;
SELECT array_agg(n)::vector FROM generate_series(1, 16001) n;
\echo :LAST_ERROR_SQLSTATE
SELECT array_to_vector(array_agg(n), 16001, false) FROM generate_series(1, 16001) n;
SELECT vector_dims(array_to_vector(ARRAY[1,2], -1, false));

-- arrays of other types have no cast, and the function takes none
SELECT '{1,2}'::smallint[]::vector;
CREATE FUNCTION smallint_to_vector(smallint[], integer, boolean) RETURNS vector
    AS '$libdir/quantvec', 'quantvec_vector_from_array' LANGUAGE C IMMUTABLE STRICT;
SELECT smallint_to_vector('{1,2}', -1, false);
\echo :LAST_ERROR_SQLSTATE
DROP FUNCTION smallint_to_vector;

-- vector to array

SELECT '[1,2.5,-3]'::vector::real[];
SELECT '[1,2.5,-3]'::vector::double precision[];
SELECT array_dims('[1,2,3]'::vector::real[]), ('[1,2,3]'::vector::real[])[2], '[1,2]'::vector::real[] || 3::real;
SELECT pg_column_size('[1,2,3]'::vector::real[]) = pg_column_size('{1,2,3}'::real[]) AS same_size;
SELECT v.val::real[] = a.val AS same FROM
    (SELECT array_agg(sin(n)::real ORDER BY n) AS val FROM generate_series(1, 16000) n) a,
    LATERAL (SELECT a.val::vector AS val) v;

-- vector to vector(n)

SELECT '[1,2,3]'::vector::vector(3);
SELECT '[1,2,3]'::vector::vector(2);
\echo :LAST_ERROR_SQLSTATE

-- where a cast is made without being asked for

SELECT castsource::regtype, casttarget::regtype, castfunc::regprocedure, castcontext FROM pg_cast
    WHERE 'vector'::regtype IN (castsource, casttarget)
      AND ARRAY[castsource, casttarget] <@ '{vector,int4[],float4[],float8[],numeric[]}'::regtype[]::oid[]
    ORDER BY castsource::regtype::text, casttarget::regtype::text;
CREATE TABLE t (val vector(3), arr real[]);
INSERT INTO t VALUES (ARRAY[1,2,3], '[4,5,6]'::vector);
INSERT INTO t SELECT '{1.5,2,3}'::double precision[], NULL;
INSERT INTO t VALUES (ARRAY[1,2], NULL);
SELECT * FROM t;
CREATE FUNCTION total(real[]) RETURNS real LANGUAGE sql AS 'SELECT sum(x) FROM unnest($1) x';
SELECT total('[1,2,3.5]'::vector);
SELECT vector_norm(ARRAY[3,4]);
SELECT vector_norm(ARRAY[3,4]::vector);
SELECT val <-> ARRAY[1,2,3] FROM t;
-- arrays still compare as arrays
SELECT ARRAY[1,2,3] = ARRAY[1,2,3], ARRAY[1.5] < ARRAY[2.5], '{1}'::real[] <> '{2}'::real[];

DROP TABLE t;
DROP FUNCTION answer, total;
