-- Rows are kept: whatever a condition throws away, however many rows are asked for, and by whatever way they are fetched,
-- a scan with default settings returns all rows that there are, and those that are near.

\getenv srcdir PG_ABS_SRCDIR
\set compare :srcdir /sql/include/compare.sql
\set ECHO none
\i :compare

CREATE FUNCTION pg_temp.random_vector(i int) RETURNS vector LANGUAGE sql AS $$
    SELECT array_agg((hashint4(i * 17 + j)::bigint + 2147483648) / 4294967296.0)::real[]::vector
        FROM generate_series(1, 32) j
$$;
-- Uniform vectors, the hardest: the nearest ten of a query lie in many lists. 4,000 users of five rows; 64 topics, which
-- are regions of the space.
CREATE TABLE r (id int PRIMARY KEY, meta jsonb, topic int, v vector(32));
INSERT INTO r SELECT i, jsonb_build_object('user', 'u' || i % 4000), 0, pg_temp.random_vector(i)
    FROM generate_series(1, 20000) i;
CREATE TEMP TABLE topics AS SELECT id AS topic, v FROM r WHERE id <= 64;
UPDATE r SET topic = (SELECT topic FROM topics t ORDER BY (t.v <-> r.v) + 0 LIMIT 1);
CREATE TABLE q AS SELECT i AS id, pg_temp.random_vector(i) AS v FROM generate_series(30001, 30020) i;
VACUUM FULL r;
CREATE INDEX r_v ON r USING quantvec (v);
VACUUM ANALYZE r;
SELECT lists FROM quantvec_index_info('r_v');

-- How many rows 20 queries get by the index, how many they should, in what share these are the nearest ones, and
-- whether a row came twice. `condition` may use q.id, `skip` is an OFFSET.
CREATE FUNCTION pg_temp.judge(condition text, k int, skip int DEFAULT 0, operator text DEFAULT '<->',
                              OUT wanted bigint, OUT rows bigint, OUT twice bigint, OUT recall float8)
    LANGUAGE plpgsql SET enable_bitmapscan = off AS $$
DECLARE
    query record;
    statement text;
    exact float8[];
    found float8[];
    ids int[];
BEGIN
    wanted := 0;
    rows := 0;
    twice := 0;
    recall := 0;
    FOR query IN SELECT * FROM q ORDER BY id LOOP
        statement := format('SELECT array_agg(d), array_agg(id) FROM (SELECT v %1$s %2$L AS d, id FROM r WHERE %3$s '
                            'ORDER BY v %1$s %2$L LIMIT %4$s OFFSET %5$s) s',
                            operator, query.v, replace(condition, 'q.id', query.id::text), k, skip);
        SET LOCAL enable_seqscan = on;
        SET LOCAL enable_sort = on;
        SET LOCAL enable_indexscan = off;
        EXECUTE statement INTO exact, ids;
        SET LOCAL enable_seqscan = off;
        SET LOCAL enable_sort = off;
        SET LOCAL enable_indexscan = on;
        EXECUTE statement INTO found, ids;
        wanted := wanted + coalesce(cardinality(exact), 0);
        rows := rows + coalesce(cardinality(found), 0);
        twice := twice + coalesce(cardinality(ids), 0) - (SELECT count(DISTINCT i) FROM unnest(ids) i);
        recall := recall + coalesce((SELECT least(1, avg((d <= exact[cardinality(exact)] + 1e-12)::int)
                                                      * cardinality(found) / cardinality(exact))
                                         FROM unnest(found) d), 1) / 20;
    END LOOP;
END
$$;

-- the nearest ten of all rows, with default probes; then with conditions: a user, evenly spread rows, one row, a topic
-- wherever it lies, none
SELECT recall BETWEEN 0.9 AND 1 AS good, wanted, rows, twice FROM pg_temp.judge('true', 10);
SELECT condition, k, recall >= 0.9 AS good, wanted, rows, twice
    FROM (VALUES ('meta->>''user'' = ''u'' || q.id % 4000', 3), ('meta->>''user'' = ''u'' || q.id % 4000', 10),
                 ('id % 2 = 0', 10), ('id % 16 = 3', 10), ('id % 256 = 3', 10), ('id % 2000 = 3', 100),
                 ('id = q.id % 20000', 1), ('id IN (5, 77, 1234, 19999, 8)', 5),
                 ('topic = 1 + q.id % 64', 10), ('topic = 1 + q.id % 64', 100), ('topic = -1', 10)) c(condition, k),
         pg_temp.judge(condition, k);
-- half of the rows, all of them, and rows behind an OFFSET
SELECT k, skip, recall >= 0.9 AS good, wanted, rows, twice
    FROM (VALUES (100, 0), (1000, 0), (10000, 0), (20000, 0), (30000, 0), (10, 500), (100, 15000)) c(k, skip),
         pg_temp.judge('true', k, skip);
-- as far as a distance: the last rows within it are not nearer than what the scan has to look at behind them
SELECT recall >= 0.9 AS good, rows > 0.95 * wanted AS "nearly all", twice
    FROM pg_temp.judge('v <-> (SELECT v FROM q q2 WHERE id = q.id) < 2.0', 1000);
-- few probes: the rows are all there, and a condition does not cost more recall than the first ten have lost
SET quantvec.probes = 3;
SELECT a.recall < 0.9 AS "few are found", b.recall > a.recall - 0.05 AS good, b.wanted, b.rows, c.rows AS of_all
    FROM pg_temp.judge('true', 10) a, pg_temp.judge('id % 100 = 7', 10) b, pg_temp.judge('true', 20000) c;
RESET quantvec.probes;
-- rows are reranked fifty at a time, or as their codes say
SET quantvec.rerank_candidates = 50;
SELECT recall >= 0.9 AS good, wanted, rows, twice FROM pg_temp.judge('id % 100 = 7', 10);
SELECT rows, twice FROM pg_temp.judge('true', 5000);
RESET quantvec.rerank_candidates;
SET quantvec.rerank = off;
SELECT recall > 0.5 AS good, wanted, rows, twice FROM pg_temp.judge('id % 100 = 7', 10);
SELECT rows, twice FROM pg_temp.judge('true', 20000);
RESET quantvec.rerank;
-- max_scan_tuples: no more lists are opened; the rows of those that are open all come, and why it stopped is told
SET quantvec.max_scan_tuples = 5000;
SELECT rows < wanted AS fewer, rows > 20 * 5000 AS "those that were scanned", twice, (quantvec_last_scan()).stopped
    FROM pg_temp.judge('true', 20000);
RESET quantvec.max_scan_tuples;

-- a cursor that is read to its end, in steps; the first rows of it are those of a query
SELECT v AS query FROM q WHERE id = 30001 \gset
SET enable_seqscan = off;
SET enable_sort = off;
BEGIN;
DECLARE c CURSOR FOR SELECT id, v <-> :'query' AS d FROM r ORDER BY v <-> :'query';
MOVE 20 IN c;
MOVE 2000 IN c;
MOVE ALL IN c;
CLOSE c;
COMMIT;
SELECT returned FROM quantvec_last_scan();
-- the order may break once, before the late rows; there are hardly any
CREATE TEMP TABLE ordered AS
    SELECT row_number() OVER () AS n, d FROM (SELECT v <-> :'query' AS d FROM r ORDER BY v <-> :'query') s;
SELECT returned, late < 20 AS "hardly any late", dropped FROM quantvec_last_scan();
SELECT count(*) AS rows, count(*) FILTER (WHERE d < before) <= 1 AS "one break at most"
    FROM (SELECT d, lag(d) OVER (ORDER BY n) AS before FROM ordered) s;

-- what relies on the order, or makes its own
SELECT count(*), count(DISTINCT id), max(rank) FROM
    (SELECT id, rank() OVER (ORDER BY v <-> :'query') AS rank FROM r) s;
SELECT count(*) - (SELECT count(DISTINCT (v <-> :'query') + 0) FROM r) BETWEEN 0 AND 20 AS "but for late ones"
    FROM (SELECT DISTINCT ON (v <-> :'query') id FROM r ORDER BY v <-> :'query') s;
SELECT count(*) FROM (SELECT id FROM r ORDER BY v <-> :'query', id) s;
CREATE TABLE parts (LIKE r) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (8000);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (8000) TO (30000);
INSERT INTO parts SELECT * FROM r;
CREATE INDEX ON parts USING quantvec (v);
ANALYZE parts;
SELECT line FROM pg_temp.explain(format('SELECT id FROM parts ORDER BY v <-> %L', :'query')) line WHERE line ~ 'Merge';
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM parts ORDER BY v <-> :'query' OFFSET 0) s;
SELECT count(*) FROM (SELECT id FROM parts WHERE topic = 5 ORDER BY v <-> :'query' LIMIT 100) s;
SELECT count(*) FROM r WHERE topic = 5;
DROP TABLE parts;

-- LIMIT is known to the scan of its own statement only: that of one which was merely explained does not count
BEGIN;
PREPARE nearest (int) AS SELECT id FROM r WHERE id % 100 = 7 ORDER BY v <-> (SELECT v FROM q WHERE id = 30002) LIMIT $1;
SET LOCAL plan_cache_mode = force_generic_plan;
SELECT count(*) FROM (SELECT id FROM r ORDER BY v <-> :'query' LIMIT 1) s;
EXPLAIN (COSTS OFF) SELECT id FROM r ORDER BY v <-> '[1]'::vector LIMIT 20000;
CREATE TEMP TABLE prepared AS EXECUTE nearest(10);
SELECT count(*) FROM prepared;
COMMIT;
DEALLOCATE nearest;

-- a query that is a row, of which there are thousands: nothing is nearer than the copies
INSERT INTO r SELECT 100000 + i, '{}', -2, (SELECT v FROM r WHERE id = 7) FROM generate_series(1, 3000) i;
SELECT count(*), max(d) FROM (SELECT v <-> (SELECT v FROM r WHERE id = 7) AS d FROM r
                              ORDER BY v <-> (SELECT v FROM r WHERE id = 7) LIMIT 3001) s;
SELECT count(*) FROM (SELECT id FROM r WHERE topic <> -2 ORDER BY v <-> (SELECT v FROM r WHERE id = 7) LIMIT 500) s;
DELETE FROM r WHERE id > 100000;

-- no order: NULL as a query. Every row, in any order
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM r ORDER BY v <-> NULL::vector OFFSET 0) s;

-- a table that has shrunk: lists that are empty, and rows in few of them
DELETE FROM r WHERE id > 20;
VACUUM r;
SELECT count(*) FROM (SELECT id FROM r ORDER BY v <-> :'query' LIMIT 10) s;
SELECT count(*) FROM (SELECT id FROM r ORDER BY v <-> :'query') s;
DROP TABLE r;

-- inner product: distances are negative, and lengths differ
RESET enable_seqscan;
RESET enable_sort;
CREATE TABLE r (id int, v vector(32));
INSERT INTO r SELECT i, (SELECT array_agg(e * (1 + i % 9) ORDER BY n)::real[]::vector
                             FROM unnest(pg_temp.random_vector(i)::real[]) WITH ORDINALITY u(e, n))
    FROM generate_series(1, 10000) i;
CREATE INDEX r_v ON r USING quantvec (v vector_ip_ops);
ANALYZE r;
SELECT condition, k, recall >= 0.9 AS good, wanted, rows, twice
    FROM (VALUES ('true', 10), ('id % 100 = 3', 10), ('id % 9 = 0', 10), ('id % 9 = 8', 500),
                 ('true', 10000)) c(condition, k),
         pg_temp.judge(condition, k, 0, '<#>');
DROP TABLE r, q;

-- distances that are no numbers, or too large for one, come last; and no list is left out for them
SET enable_seqscan = off;
SET enable_sort = off;
CREATE TABLE huge (id int, v vector(2));
INSERT INTO huge SELECT i, format('[%s,%s]', CASE WHEN i % 10 = 0 THEN '3e38' ELSE (i % 100)::text END, i / 100)::vector
    FROM generate_series(1, 2000) i;
CREATE INDEX huge_v ON huge USING quantvec (v) WITH (lists = 20, probes = 1);
SELECT count(*), count(*) FILTER (WHERE d = 'infinity'), count(DISTINCT id)
    FROM (SELECT id, v <-> '[-3e38,3]' AS d FROM huge ORDER BY v <-> '[-3e38,3]' OFFSET 0) s;
SELECT count(*), max(d) < 'infinity' AS finite FROM (SELECT v <-> '[1,3]' AS d FROM huge WHERE id % 10 <> 0
                                                      ORDER BY v <-> '[1,3]' LIMIT 1800) s;
DROP TABLE huge;
