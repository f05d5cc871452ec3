-- Functions, operators and aggregates of halfvec.

-- Distances are those of the same numbers as vector, bit for bit, at every length that a kernel tells apart.
CREATE FUNCTION numbers(n int, seed int) RETURNS halfvec LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(((i * seed * 37) % 1001 - 500) / 64.0 ORDER BY i)::halfvec FROM generate_series(1, n) AS i $$;
CREATE TABLE pairs AS
    SELECT n, numbers(n, 1) AS a, numbers(n, 7) AS b FROM generate_series(1, 130) AS n
    UNION ALL SELECT n, numbers(n, 1), numbers(n, 7) FROM unnest('{384,768,1536,16000}'::int[]) AS n;
SELECT count(*), bool_and(a <-> b = a::vector <-> b::vector) AS l2, bool_and(a <#> b = a::vector <#> b::vector) AS ip,
       bool_and(a <=> b = a::vector <=> b::vector) AS cosine, bool_and(a <+> b = a::vector <+> b::vector) AS l1,
       bool_and(inner_product(a, b) = -(a <#> b)) AS inner_product,
       bool_and(halfvec_l2_squared_distance(a, b) = vector_l2_squared_distance(a::vector, b::vector)) AS squared,
       bool_and(l2_norm(a) = vector_norm(a::vector)) AS norm, bool_and(vector_dims(a) = n) AS dims
    FROM pairs;
SELECT '[0,0]'::halfvec <-> '[3,4]' AS l2, '[1,2]'::halfvec <#> '[3,4]' AS ip, '[1,0]'::halfvec <=> '[0,2]' AS cosine,
       '[0,0]'::halfvec <+> '[3,-4]' AS l1, halfvec_spherical_distance('[1,0]', '[0,1]') AS spherical;
SELECT '[1,2]'::halfvec <-> '[1,2,3]';
SELECT '[1,2]'::halfvec <=> '[0,0]' AS no_angle;

-- The sum, difference and product is what the float's is, to the nearest half.
SELECT count(*), bool_and(a + b = (a::vector + b::vector)::halfvec) AS sum,
       bool_and(a - b = (a::vector - b::vector)::halfvec) AS difference,
       bool_and(a * b = (a::vector * b::vector)::halfvec) AS product,
       bool_and(l2_normalize(a) = l2_normalize(a::vector)::halfvec) AS normalized,
       bool_and(binary_quantize(a) = binary_quantize(a::vector)) AS quantized,
       bool_and(subvector(a, 2, 3) = subvector(a::vector, 2, 3)::halfvec) AS part
    FROM pairs WHERE n > 1;
SELECT '[1,2]'::halfvec || '[3]', '[65000]'::halfvec + '[504]', l2_normalize('[0,0]'::halfvec), l2_normalize('[6e-8]'::halfvec);
SELECT '[65504]'::halfvec + '[16]';
SELECT '[65504]'::halfvec - '[-100]';
SELECT '[1e-4]'::halfvec * '[1e-4]';
SELECT '[300]'::halfvec * '[-300]';
SELECT '[1,2]'::halfvec + '[1]';
SELECT vector_dims(numbers(15999, 1) || '[1]');
SELECT numbers(16000, 1) || '[1]';
SELECT subvector('[1,2]'::halfvec, 3, 1);

-- order: element by element, then the shorter first; -0 equals 0
SELECT val FROM unnest('{"[2]","[1,2]","[-1]","[1]","[1,-2]","[0]"}'::halfvec[]) AS val ORDER BY val;
SELECT '[0]'::halfvec = '[-0]', '[1]'::halfvec < '[1,0]', '[1]'::halfvec <> '[1]', '[2]'::halfvec >= '[1,5]',
       halfvec_cmp('[1]', '[2]'), '[1]'::halfvec <= '[1]', '[3]'::halfvec > '[2]';
CREATE TABLE sorted AS SELECT numbers(3, n) AS val FROM generate_series(1, 2000) AS n;
CREATE INDEX ON sorted (val);
SET enable_seqscan = off;
SELECT count(*) FROM sorted WHERE val = numbers(3, 77);
RESET enable_seqscan;
SELECT count(DISTINCT val), count(DISTINCT val::text) FROM sorted;

-- aggregates: exact sums here, since all numbers are multiples of 1/64
SELECT avg(val) = ('[' || avg((val::real[])[1]) || ',' || avg((val::real[])[2]) || ',' || avg((val::real[])[3]) || ']')::halfvec
    FROM sorted;
SELECT sum(val), avg(val) FROM unnest('{"[1,2]",NULL,"[3,-4]"}'::halfvec[]) AS val;
SELECT sum(val), avg(val) FROM sorted WHERE false;
SELECT avg(val) FROM unnest('{"[1,2]","[3]"}'::halfvec[]) AS val;
SELECT sum(val) FROM unnest('{"[65504]","[65504]"}'::halfvec[]) AS val;
-- the sum of an average may be beyond the range of halves
SELECT avg(val) FROM unnest('{"[65504]","[65504]","[65504]"}'::halfvec[]) AS val;
DROP TABLE pairs, sorted;
DROP FUNCTION numbers;
