-- Functions and operators of sparsevec: they give what the dense vectors give.

CREATE TABLE pairs AS
    SELECT n, (SELECT array_agg(CASE WHEN (j * 7 + n) % 3 = 0 THEN ((j * 37 + n) % 101 - 50) / 8.0 ELSE 0 END ORDER BY j)
                   FROM generate_series(1, n) AS j)::vector AS a,
              (SELECT array_agg(CASE WHEN (j * 5 + n) % 4 < 2 THEN ((j * 53 + n) % 89 - 44) / 8.0 ELSE 0 END ORDER BY j)
                   FROM generate_series(1, n) AS j)::vector AS b
        FROM generate_series(1, 120) AS n;
-- a zero vector, and entries in one of the two only
INSERT INTO pairs VALUES (3, '[0,0,0]', '[1,0,2]'), (3, '[1,0,2]', '[0,0,0]'), (3, '[0,0,0]', '[0,0,0]'), (2, '[1,0]', '[0,1]');
-- exact: all sums are multiples of 1/64, far below 2^24
SELECT count(*), bool_and(s <-> t = a <-> b) AS l2, bool_and(s <#> t = a <#> b) AS ip, bool_and(s <=> t = a <=> b) AS cosine,
       bool_and(s <+> t = a <+> b) AS l1, bool_and(inner_product(s, t) = inner_product(a, b)) AS inner_product,
       bool_and(sparsevec_l2_squared_distance(s, t) = vector_l2_squared_distance(a, b)) AS squared,
       bool_and(l2_norm(s) = vector_norm(a)) AS norm, bool_and(l2_normalize(s) = l2_normalize(a)::sparsevec) AS normalized,
       bool_and(sparsevec_cmp(s, t) = vector_cmp(a, b)) AS cmp, bool_and((s < t) = (a < b) AND (s <= t) = (a <= b)
           AND (s = t) = (a = b) AND (s <> t) = (a <> b) AND (s >= t) = (a >= b) AND (s > t) = (a > b)) AS comparison
    FROM (SELECT a, b, a::sparsevec AS s, b::sparsevec AS t FROM pairs) AS p;
SELECT '{1:1}/2'::sparsevec <-> '{1:1}/3';
SELECT '{1:1}/2'::sparsevec <=> '{}/2' AS no_angle;
SELECT '{1:3e38}/1'::sparsevec <-> '{1:-3e38}/1' AS beyond_the_floats;
SELECT l2_normalize('{1:3,2:4}/9'::sparsevec), l2_normalize('{}/2'::sparsevec), l2_normalize('{1:1e-45,2:3e38}/2'::sparsevec);

-- order: as the dense vectors, then the shorter first
SELECT count(*) AS pairs, count(*) FILTER (WHERE sparsevec_cmp(a, b) <> vector_cmp(a, b)) AS different FROM
    unnest('{"[0]","[0,0]","[1]","[0,1]","[0,-1]","[-1]","[1,0,0]","[0,0,1]","[0,0,-2]","[0,0,0]","[1,-1]","[2,0,0,1]"}'::vector[]) AS a,
    unnest('{"[0]","[0,0]","[1]","[0,1]","[0,-1]","[-1]","[1,0,0]","[0,0,1]","[0,0,-2]","[0,0,0]","[1,-1]","[2,0,0,1]"}'::vector[]) AS b;
SELECT val FROM unnest('{"{2:1}/2","{1:1}/2","{}/3","{}/2","{1:-1}/2","{1:1}/1"}'::sparsevec[]) AS val ORDER BY val;
CREATE TABLE sorted AS SELECT a::sparsevec AS val FROM pairs;
CREATE INDEX ON sorted (val);
SET enable_seqscan = off;
SELECT count(*) FROM sorted WHERE val = '{1:1,3:2}/3';
RESET enable_seqscan;
SELECT count(DISTINCT val) = count(DISTINCT val::text) FROM sorted;

-- an index of this access method has no class for it
CREATE INDEX ON sorted USING quantvec (val);
DROP TABLE pairs, sorted;
