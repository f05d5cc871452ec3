-- Arithmetic, parts and aggregates of vectors.

SELECT '[1,2,3]'::vector + '[4,5,6]' AS sum, '[1,2,3]'::vector - '[4,5,6]' AS difference, '[1,2,3]'::vector * '[4,5,-6]' AS product,
       '[1,2]'::vector || '[3]' AS both;
SELECT '[3e38]'::vector + '[3e38]';
\echo :LAST_ERROR_SQLSTATE
SELECT '[-3e38]'::vector - '[3e38]';
SELECT '[1e37]'::vector * '[1e37]';
SELECT '[1e-37]'::vector * '[1e-37]';
\echo :LAST_ERROR_SQLSTATE
SELECT '[0,1e-37]'::vector * '[1e-37,0]' AS no_underflow;
SELECT '[1,2]'::vector + '[1]';
SELECT '[1,2]'::vector - '[1]';
SELECT '[1,2]'::vector * '[1]';
SELECT vector_dims(array_fill(0, ARRAY[15999])::vector || '[1]');
SELECT array_fill(0, ARRAY[16000])::vector || '[1]';
\echo :LAST_ERROR_SQLSTATE

-- parts: counted from 1, what is beyond the ends is left out, as in substring
SELECT start, count, subvector('[1,2,3,4,5]'::vector, start, count) FROM (VALUES
    (1, 5), (1, 3), (3, 2), (-1, 3), (3, 9), (-3, 9), (0, 2), (5, 1), (2147483647 - 2147483645, 2147483647),
    (-2147483645, 2147483647)) AS t(start, count);
CREATE FUNCTION answer(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE command INTO result;
    RETURN result;
EXCEPTION WHEN OTHERS THEN
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM);
END $$;
SELECT start, count, answer(format('SELECT subvector(''[1,2,3]''::vector, %s, %s)', start, count)) FROM (VALUES
    ('4', '1'), ('1', '0'), ('1', '-1'), ('0', '1'), ('-5', '3'), ('2147483647', '2147483647'),
    ('(-2147483648)', '2147483647'), ('(-2147483648)', '(-2147483648)'), ('NULL', '1')) AS t(start, count);

-- one bit a dimension
SELECT binary_quantize('[1,0,-1]'::vector), binary_quantize('[0,0.1,-0.2,-0.3,0.4,0.5,0.6,-0.7,0.8,-0.9,1]'::vector),
       length(binary_quantize(array_fill(1, ARRAY[16000])::vector));
SELECT binary_quantize(v)::text = string_agg(CASE WHEN e > 0 THEN '1' ELSE '0' END, '' ORDER BY n)
    FROM (SELECT array_agg(sin(i))::vector AS v FROM generate_series(1, 77) AS i) AS t,
         unnest(v::real[]) WITH ORDINALITY AS u(e, n) GROUP BY v;

SELECT vector_spherical_distance('[1,0]', '[0,1]'), vector_spherical_distance('[1,0]', '[1,0]'),
       vector_spherical_distance('[1,0]', '[-1,0]'), vector_spherical_distance('[2,0]', '[2,0]') AS out_of_range;

-- ---- aggregates ----

SELECT avg(v), sum(v) FROM unnest('{"[1,2,3]",NULL,"[3,5,7]"}'::vector[]) AS v;
SELECT avg(v), sum(v) FROM unnest('{}'::vector[]) AS v;
SELECT avg(v), sum(v) FROM unnest('{NULL}'::vector[]) AS v;
SELECT avg(v), sum(v) FROM unnest('{"[-0,-0]","[-0,0]"}'::vector[]) AS v;
SELECT avg(v) FROM unnest('{"[1,2]","[3]"}'::vector[]) AS v;
SELECT sum(v) FROM unnest('{"[1,2]","[3]"}'::vector[]) AS v;
SELECT sum(v) FROM unnest('{"[3e38]","[3e38]"}'::vector[]) AS v;
-- the average is taken in double
SELECT avg(v) FROM unnest('{"[3e38]","[3e38]","[3e38]"}'::vector[]) AS v;
-- groups, windows and DISTINCT have states of their own
SELECT g, avg(v), sum(v) FROM (SELECT i % 3 AS g, ARRAY[i, 2 * i]::vector AS v FROM generate_series(1, 9) AS i) AS t GROUP BY g ORDER BY g;
SELECT i, avg(v) OVER (ORDER BY i), avg(v) OVER () FROM (SELECT i, ARRAY[i, -i]::vector AS v FROM generate_series(1, 4) AS i) AS t;
SELECT avg(DISTINCT v) FROM unnest('{"[1]","[1]","[4]"}'::vector[]) AS v;
SELECT avg(v), avg(v) FILTER (WHERE v > '[2]'), sum(v) FROM unnest('{"[1]","[2]","[6]"}'::vector[]) AS v;

-- in parallel as alone: exact, since all sums are
CREATE TABLE many AS SELECT i, ARRAY[i % 100, -i % 7, 0.5]::vector AS v FROM generate_series(1, 20000) AS i;
CREATE FUNCTION in_parallel(command text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN ' || command LOOP
        IF line ~ 'Partial Aggregate' THEN RETURN true; END IF;
    END LOOP;
    RETURN false;
END $$;
CREATE TABLE alone AS SELECT avg(v), sum(v) FROM many;
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 2;
SELECT in_parallel('SELECT avg(v), sum(v) FROM many');
SELECT many.* = alone.* FROM (SELECT avg(v), sum(v) FROM many) AS many, alone;
SELECT avg(v), sum(v) FROM many WHERE i < 0;
COMMIT;
SELECT avg = ARRAY[49.5, (SELECT avg(-i % 7) FROM many), 0.5]::vector FROM alone;

-- Anybody may call the functions of an aggregate, with any array.
SELECT call, answer('SELECT ' || call) FROM unnest(ARRAY[
    'vector_accum(''{0}'', ''[1,2]'')', 'vector_accum(''{1,3,4}'', ''[1,2]'')', 'vector_accum(''{0,1}'', ''[1,2]'')',
    'vector_accum(''{}'', ''[1,2]'')', 'vector_accum(''{{0,1},{1,2}}'', ''[1,2]'')', 'vector_accum(''{NULL,1}'', ''[1]'')',
    'vector_accum(''{1,1.7e308}'', ''[3e38]'')', 'vector_accum(''{1,Infinity}'', ''[1]'')',
    'vector_combine(''{0}'', ''{0}'')', 'vector_combine(''{0}'', ''{2,3}'')', 'vector_combine(''{2,3}'', ''{0}'')',
    'vector_combine(''{1,2}'', ''{1,4}'')', 'vector_combine(''{1,2}'', ''{1,4,5}'')', 'vector_combine(''{}'', ''{0}'')',
    'vector_combine(''{0}'', ''{NULL}'')', 'vector_combine(''{0}'', array_fill(1::float8, ARRAY[16002]))',
    'vector_avg(''{0,1}'')', 'vector_avg(''{2,1,4}'')', 'vector_avg(''{1}'')', 'vector_avg(''{1,NaN}'')',
    'vector_avg(''{NaN,1}'')', 'vector_avg(''{1,1e300}'')', 'vector_avg(''{}'')', 'vector_avg(array_fill(1::float8, ARRAY[16002]))',
    'halfvec_accum(''{}'', ''[1]'')', 'halfvec_avg(''{1,70000}'')', 'halfvec_avg(''{2,7,8}'')']) AS t(call);
-- and is left with his own array
DO $$
DECLARE
    mine double precision[] := '{1,2,3}';
    other double precision[];
BEGIN
    other := vector_accum(mine, '[10,10]');
    other := vector_combine(mine, '{1,1,1}');
    ASSERT mine = '{1,2,3}';
END $$;
DROP TABLE many, alone;
DROP FUNCTION answer, in_parallel;
