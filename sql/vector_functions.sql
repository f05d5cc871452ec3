-- Functions of vectors, their operators, and the kernels that compute them.

-- of one vector

SELECT vector_dims('[1,2,3]'::vector), vector_dims(array_fill(0, ARRAY[16000])::vector);
SELECT vector_norm('[3,4]'), vector_norm('[0,1]'), vector_norm('[0,0]'), vector_norm('[-2]');
-- the squares are beyond the float range
SELECT vector_norm('[3e37,4e37]')::real, vector_norm('[3e-30,4e-30]')::real;
SELECT v, l2_normalize(v) FROM unnest('{"[3,4]","[3,0]","[0,0.1]","[-3e38]","[0,0]"}'::vector[]) v;
-- the smallest float, alone and beside one of the largest
SELECT l2_normalize('[1e-45]'::vector), l2_normalize('[1e-45,3e38]'::vector);

-- distances

SELECT l2_distance('[0,0]'::vector, '[3,4]'), '[0,0]'::vector <-> '[3,4]' AS operator,
       vector_l2_squared_distance('[0,0]', '[3,4]');
SELECT inner_product('[1,2]'::vector, '[3,4]'), '[1,2]'::vector <#> '[3,4]' AS operator,
       vector_negative_inner_product('[1,2]', '[3,4]');
SELECT l1_distance('[0,0]'::vector, '[3,-4]'), '[0,0]'::vector <+> '[3,-4]' AS operator;
SELECT cosine_distance('[1,0]'::vector, '[0,2]'), '[1,0]'::vector <=> '[0,2]' AS operator;
SELECT cosine_distance('[1,2]'::vector, '[2,4]'), cosine_distance('[1,2]'::vector, '[-2,-4]');

-- longer than one step of any kernel
SELECT l2_distance(array_fill(3, ARRAY[144])::vector, array_fill(1, ARRAY[144])::vector),
       inner_product(array_fill(3, ARRAY[144])::vector, array_fill(2, ARRAY[144])::vector),
       l1_distance(array_fill(3, ARRAY[144])::vector, array_fill(-2, ARRAY[144])::vector),
       cosine_distance(array_fill(3, ARRAY[144])::vector, array_fill(-2, ARRAY[144])::vector);

-- a zero vector has no angle
SELECT cosine_distance('[1,2]'::vector, '[0,0]'), cosine_distance('[0,0]'::vector, '[0,0]');
-- rounding never carries the cosine distance of parallel vectors below 0 or above 2
SELECT min(d) >= 0 AND max(d) < 1e-6 AS equal, min(e) > 2 - 1e-6 AND max(e) <= 2 AS opposite
    FROM (SELECT v <=> (SELECT array_agg(x * 3) FROM unnest(v::real[]) x)::vector AS d,
                 v <=> (SELECT array_agg(x * -3) FROM unnest(v::real[]) x)::vector AS e
          FROM (SELECT array_agg(sin(i * 17 + j))::vector AS v
                FROM generate_series(1, 300) i, generate_series(1, 7) j GROUP BY i) t) t;
-- the product of the squared norms is beyond the float range, they are not
SELECT cosine_distance('[1e15]'::vector, '[1e15]'), cosine_distance('[1e-15]'::vector, '[-1e-15]');
-- sums beyond the float range
SELECT l2_distance('[3e38]'::vector, '[-3e38]'), inner_product('[3e38]'::vector, '[3e38]'),
       '[3e38]'::vector <#> '[3e38]' AS negative, l1_distance('[3e38]'::vector, '[-3e38]'),
       cosine_distance('[3e38]'::vector, '[3e38]');

-- dimensions must agree
SELECT l2_distance('[1,2]'::vector, '[3]');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY sqlstate
SELECT '[1,2]'::vector <-> '[3]';
SELECT '[1,2]'::vector <#> '[3]';
SELECT '[1,2]'::vector <=> '[3]';
SELECT '[1,2]'::vector <+> '[3]';
SELECT inner_product('[1,2]'::vector, '[3]');
SELECT vector_l2_squared_distance('[1,2]'::vector, '[3]');
\set VERBOSITY default

-- null in, null out
SELECT l2_distance(NULL::vector, '[1]') IS NULL AND vector_norm(NULL) IS NULL AS "null";

-- what the planner is told
SELECT oprname, proname, oprcom = o.oid AS commutes, provolatile, proparallel, proisstrict, procost
    FROM pg_operator o JOIN pg_proc p ON p.oid = oprcode
    WHERE oprleft = 'vector'::regtype AND oprresult = 'float8'::regtype ORDER BY oprname COLLATE "C";

-- kernels: every table that this processor runs agrees with sums in double

SHOW quantvec.simd;
CREATE TABLE pairs AS
    SELECT n, array_agg(sin(n * 3 + j) ORDER BY j)::vector AS a, array_agg(cos(n * 5 - j) ORDER BY j)::vector AS b
    FROM (SELECT generate_series(1, 130) UNION ALL SELECT unnest(ARRAY[768, 1536, 16000])) AS t(n),
         generate_series(1, n) j
    GROUP BY n;
CREATE TABLE truth AS
    SELECT n, sqrt(sum((x::float8 - y) ^ 2)) AS l2, sum(x::float8 * y) AS ip, sum(abs(x::float8 - y)) AS l1,
           1 - sum(x::float8 * y) / sqrt(sum(x::float8 ^ 2) * sum(y::float8 ^ 2)) AS cosine
    FROM pairs, unnest(a::real[], b::real[]) AS t(x, y) GROUP BY n;
DO $$
DECLARE
    simd text;
    ran int := 0;
    detail text;
    wrong text;
BEGIN
    FOREACH simd IN ARRAY ARRAY['auto', 'scalar', 'avx2', 'avx512', 'avx512vbmi', 'neon'] LOOP
        BEGIN
            PERFORM set_config('quantvec.simd', simd, false);
        EXCEPTION WHEN invalid_parameter_value THEN
            GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
            IF detail <> format('This processor does not run the %s kernels.', simd) THEN
                RAISE '%: %', simd, detail;
            END IF;
            CONTINUE;
        END;
        ran := ran + 1;
        SELECT string_agg(n::text, ' ' ORDER BY n) INTO wrong FROM pairs JOIN truth USING (n)
            WHERE abs((a <-> b) - l2) > 1e-5 * l2 OR abs((a <#> b) + ip) > 1e-6 * n
               OR abs((a <+> b) - l1) > 1e-5 * l1 OR abs((a <=> b) - cosine) > 1e-5;
        IF wrong IS NOT NULL THEN
            RAISE '% is wrong for dimensions %', simd, wrong;
        END IF;
    END LOOP;
    -- auto and scalar run everywhere, and no processor runs both neon and avx2
    RAISE NOTICE 'enough tables: %, not all: %', ran >= 2, ran < 6;
END $$;
SET quantvec.simd = 'scalar';
SELECT '[1,2,3]'::vector <-> '[1,2,5]';
RESET quantvec.simd;
SET quantvec.simd = 'sse';
SET quantvec.no_such_setting = 1;

DROP TABLE pairs, truth;
