-- Order of vectors and the btree operator class.

-- element by element, then the shorter first
SELECT a, b, a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt, vector_cmp(a, b)
    FROM (VALUES ('[1,2,3]'::vector, '[1,2,3]'::vector), ('[1,2,3]', '[1,2,4]'), ('[1,2,3]', '[0,9,9]'),
                 ('[1,2]', '[1,2,3]'), ('[1,2,3]', '[1,2]'), ('[1,2]', '[2,3,4]'), ('[2,3]', '[1,2,3]'),
                 ('[-1]', '[1]'), ('[0]', '[-0]'), ('[1e-45]', '[0]')) AS t(a, b);
SELECT '[1,2]'::vector != '[1,2]' AS ne;

-- the order of real arrays, for any pair
CREATE TABLE v AS
    SELECT i, array_agg(round(sin(i * 7 + j * j)::numeric, 0) ORDER BY j)::vector AS val
    FROM generate_series(1, 200) i, generate_series(1, 1 + i % 4) j GROUP BY i;
SELECT count(*) AS pairs,
       count(*) FILTER (WHERE vector_cmp(a.val, b.val) <> btarraycmp(a.val::real[], b.val::real[])) AS not_as_arrays,
       count(*) FILTER (WHERE (a.val < b.val) <> (vector_cmp(a.val, b.val) < 0)
                           OR (a.val <= b.val) <> (vector_cmp(a.val, b.val) <= 0)
                           OR (a.val = b.val) <> (vector_cmp(a.val, b.val) = 0)
                           OR (a.val <> b.val) <> (vector_cmp(a.val, b.val) <> 0)
                           OR (a.val >= b.val) <> (vector_cmp(a.val, b.val) >= 0)
                           OR (a.val > b.val) <> (vector_cmp(a.val, b.val) > 0)) AS not_as_cmp
    FROM v a, v b;

-- operators
SELECT oprname, oprcom::regoperator, oprnegate::regoperator, oprrest, oprjoin, oprcanmerge, oprcanhash
    FROM pg_operator WHERE oprleft = 'vector'::regtype AND oprright = oprleft AND oprresult = 'bool'::regtype
    ORDER BY oprname COLLATE "C";
SELECT opcname, opcdefault, amvalidate(o.oid) FROM pg_opclass o JOIN pg_am a ON a.oid = opcmethod
    WHERE opcintype = 'vector'::regtype AND amname = 'btree';

-- index: the same rows, in the same order, as without it
CREATE INDEX v_val ON v (val);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT val FROM v WHERE val >= '[0,1]' ORDER BY val;
SELECT array_agg(val) = (SELECT array_agg(val ORDER BY val::real[]) FROM v WHERE val::real[] >= '{0,1}') AS same, count(*)
    FROM (SELECT val FROM v WHERE val >= '[0,1]' ORDER BY val) t;
SELECT val, count(*) FROM v WHERE val < '[-1,0]' GROUP BY val ORDER BY val DESC;
-- a key of other dimensions than any row is an ordinary key
SELECT count(*) FROM v WHERE val = '[0,1,2,3,4,5]';
INSERT INTO v VALUES (0, NULL);
SELECT i FROM v WHERE val IS NULL;
SELECT i FROM v ORDER BY val NULLS FIRST LIMIT 1;
RESET enable_seqscan;
RESET enable_bitmapscan;

DROP TABLE v;

-- unique, with NULL as usual, and keys of different dimensions side by side
CREATE TABLE u (val vector PRIMARY KEY);
INSERT INTO u VALUES ('[1,2,3]'), ('[1,2]'), ('[1]'), ('[0]');
INSERT INTO u VALUES ('[1,2]');
\echo :LAST_ERROR_SQLSTATE
INSERT INTO u VALUES ('[-0]');
INSERT INTO u VALUES ('[-0]') ON CONFLICT DO NOTHING;
SELECT * FROM u ORDER BY val DESC;
DROP TABLE u;

-- a sort of values with short headers and of values out of line
CREATE TABLE s (val vector);
INSERT INTO s SELECT ARRAY[0, (n * 7919) % 1000]::vector FROM generate_series(1, 1000) n;
INSERT INTO s SELECT (array_fill(0, ARRAY[999]) || (n * 7919) % 100)::vector FROM generate_series(1, 100) n;
SELECT count(*), count(*) FILTER (WHERE val < previous) AS out_of_order
    FROM (SELECT val, lag(val) OVER (ORDER BY val) AS previous FROM s) t;
DROP TABLE s;
