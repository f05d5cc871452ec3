-- Indexes on halfvec, and on what a query makes of a vector column: a cast, a part. With all lists probed and
-- quantvec.epsilon at 6 they give what exact search gives.

\getenv srcdir PG_ABS_SRCDIR
\set compare :srcdir /sql/include/compare.sql
\set ECHO none
\i :compare

CREATE TABLE t AS SELECT id, v::halfvec(24) AS v, v::vector(24) AS f FROM pg_temp.vectors(3000, 24);
CREATE TABLE q AS SELECT v FROM pg_temp.vectors(20, 24, 50001);
INSERT INTO q SELECT v FROM t WHERE id = 10;
SET quantvec.probes = 20;
SET quantvec.epsilon = 6;

-- Builds the index and asks it all queries, for ten rows and three for every row.
CREATE FUNCTION pg_temp.judge(options text, class text, operator text, k int, OUT rows bigint, OUT wrong bigint)
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE INDEX t_v ON t USING quantvec (v %s) WITH (lists = 20, %s)', class, options);
    SELECT c.rows, c.wrong INTO rows, wrong FROM pg_temp.compare('t', format('v %s %%s::halfvec', operator),
        ARRAY(SELECT v FROM q OFFSET CASE WHEN k IS NULL THEN 18 ELSE 0 END), k) AS c;
    ASSERT (SELECT table_rows_checked = 3000 FROM quantvec_check('t_v', true));
    DROP INDEX t_v;
END
$$;
SELECT class, options, array_agg(rows ORDER BY k) AS rows, array_agg(wrong ORDER BY k) AS wrong
    FROM unnest('{bits = 1,bits = 4,bits = 8,quantizer = sq8,quantizer = sq4,quantizer = pq}'::text[]) AS options,
         (VALUES ('halfvec_l2_ops', '<->'), ('halfvec_ip_ops', '<#>'), ('halfvec_cosine_ops', '<=>')) c(class, operator),
         unnest('{10,NULL}'::int[]) AS k, pg_temp.judge(options, class, operator, k)
    GROUP BY class, options ORDER BY class, options;

-- L2 is the default class
CREATE INDEX t_v ON t USING quantvec (v);
SELECT metric, dim, trained FROM quantvec_index_info('t_v');

-- rows that come and go later; NULL, and under cosine a vector without direction, are not in the index
INSERT INTO t SELECT id + 3000, v, f FROM t WHERE id <= 300;
INSERT INTO t VALUES (7001, NULL, NULL);
DELETE FROM t WHERE id % 7 = 0;
VACUUM t;
SELECT rows, live_rows = (SELECT count(*) FROM t WHERE v IS NOT NULL) AS live
    FROM pg_temp.compare('t', 'v <-> %s::halfvec', ARRAY(SELECT v FROM q), 10), quantvec_check('t_v', true);
INSERT INTO t (v) VALUES ('[1,2]');
SELECT count(*) FROM (SELECT 1 FROM t ORDER BY v <-> '[1,2]' LIMIT 1) AS s;
DROP INDEX t_v;

-- a vector column by halves
CREATE INDEX t_cast ON t USING quantvec ((f::halfvec(24)) halfvec_cosine_ops) WITH (lists = 20);
SELECT * FROM pg_temp.compare('t', 'f::halfvec(24) <=> %s::halfvec(24)', ARRAY(SELECT v FROM q), 10);
-- the answer of the halves, ranked again by the floats
SET enable_seqscan = off;
SELECT count(*), bool_and(id = exact) FROM q, LATERAL (SELECT id FROM
        (SELECT id, f FROM t ORDER BY f::halfvec(24) <=> q.v::halfvec(24) LIMIT 20) AS near ORDER BY f <=> q.v LIMIT 1) AS a,
    LATERAL (SELECT id AS exact FROM t ORDER BY f <=> q.v, id LIMIT 1) AS b;
RESET enable_seqscan;
DROP INDEX t_cast;

-- the first dimensions of an embedding
CREATE INDEX t_part ON t USING quantvec ((subvector(f, 1, 8)::vector(8)) vector_l2_ops) WITH (lists = 20);
SELECT * FROM pg_temp.compare('t', 'subvector(f, 1, 8)::vector(8) <-> subvector(%s::vector, 1, 8)::vector(8)', ARRAY(SELECT v FROM q), 10);
DROP INDEX t_part;

-- 3,072 dimensions and more, out of line: the distance that the scan has measured is the operator's
CREATE TABLE wide (id int, v halfvec(4000));
ALTER TABLE wide ALTER v SET STORAGE EXTERNAL;
INSERT INTO wide SELECT i, array_agg(sin(i * j) ORDER BY j)::halfvec FROM generate_series(1, 60) AS i, generate_series(1, 4000) AS j GROUP BY i;
SELECT pg_relation_size(reltoastrelid) > 60 * 8000 AS out_of_line FROM pg_class WHERE oid = 'wide'::regclass;
CREATE INDEX wide_v ON wide USING quantvec (v halfvec_l2_ops);
SET enable_seqscan = off;
SELECT count(*), bool_and(known = measured) FROM (
    SELECT q.v <-> w.v AS known, (w.v::real[])::halfvec <-> (q.v::real[])::halfvec AS measured
        FROM (SELECT v FROM wide WHERE id = 7) AS q, LATERAL (SELECT v FROM wide ORDER BY wide.v <-> q.v LIMIT 10) AS w) AS d;
RESET enable_seqscan;
DROP TABLE t, q, wide;
