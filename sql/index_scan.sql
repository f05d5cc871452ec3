-- One scan in all its ways: few probes and what happens after them, limits, filters, joins, cursors, prepared
-- statements; and what quantvec_last_scan() tells of it.

-- nothing has been scanned yet
SELECT * FROM quantvec_last_scan();

\getenv srcdir PG_ABS_SRCDIR
\set compare :srcdir /sql/include/compare.sql
\set ECHO none
\i :compare

CREATE TABLE t (id int PRIMARY KEY, category int, v vector(16));
INSERT INTO t SELECT id, id % 50, v FROM pg_temp.vectors(3000, 16);
CREATE TABLE q AS SELECT id, v FROM pg_temp.vectors(30, 16, 70001);
CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 40);
ANALYZE t;
SET quantvec.epsilon = 6;
SET enable_seqscan = off;
SET enable_sort = off;

-- One query: how many rows came, how many of them nearer than the row before, and what quantvec_last_scan() says.
CREATE FUNCTION pg_temp.scan(k int DEFAULT NULL, OUT rows bigint, OUT different bigint, OUT out_of_order bigint,
                             OUT lists bigint, OUT scanned bigint, OUT returned bigint, OUT late bigint,
                             OUT dropped bigint, OUT stopped text)
    LANGUAGE plpgsql AS $$
DECLARE
    query vector := (SELECT v FROM q WHERE id = 70005);
BEGIN
    SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE distance < before) INTO rows, different, out_of_order
        FROM (SELECT id, distance, lag(distance) OVER () AS before
              FROM (SELECT id, v <-> query AS distance FROM t ORDER BY v <-> query LIMIT k) s) s;
    SELECT s.lists, s.scanned, s.returned, s.late, s.dropped, s.stopped
        INTO lists, scanned, returned, late, dropped, stopped
        FROM quantvec_last_scan() s;
END
$$;

-- ---- quantvec_last_scan ----

-- all lists probed: all rows scanned, and in the end all returned
SET quantvec.probes = 40;
SELECT * FROM pg_temp.scan(10);
SELECT * FROM pg_temp.scan();
SELECT index::regclass, reranked = returned AS "each row once" FROM quantvec_last_scan();
-- few rows wanted: few are refined, fewer read from the table
SELECT rows FROM pg_temp.scan(10);
SELECT refined < 1000 AS "few refined", reranked < 200 AS "few reranked" FROM quantvec_last_scan();
-- deleted rows are in the index until VACUUM, and are not returned
BEGIN;
DELETE FROM t WHERE id <= 500;
SELECT * FROM pg_temp.scan();
ROLLBACK;
-- it remembers the last scan that came to its end, also of one that met no row
CREATE TABLE none (v vector(2));
SET client_min_messages = warning;
CREATE INDEX none_v ON none USING quantvec (v);
RESET client_min_messages;
SELECT * FROM none ORDER BY v <-> '[1,2]';
SELECT index::regclass, lists, scanned, refined, reranked, returned, dropped, revisited, stopped
    FROM quantvec_last_scan();
DROP TABLE none;

-- ---- when more rows are wanted than the probed lists gave ----

SET quantvec.probes = 3;
-- off: no more than the rows of three lists, in order
SET quantvec.iterative_scan = off;
SELECT rows < 500 AS few, rows = different AND rows = scanned AS "all of the lists", out_of_order, lists, dropped,
       stopped
    FROM pg_temp.scan();
SELECT rows, different, out_of_order, lists, returned, dropped, stopped FROM pg_temp.scan(10);
-- strict_order: on to the last list, and every row comes; those that are too late for the order come last
SET quantvec.iterative_scan = strict_order;
SELECT rows, different, out_of_order = (late > 0)::int AS "late ones last", late < 30 AS "hardly any", lists, scanned,
       returned, dropped, stopped FROM pg_temp.scan();
-- relaxed_order: every row comes, some out of order
SET quantvec.iterative_scan = relaxed_order;
SELECT rows, different, out_of_order BETWEEN 1 AND 39 AS "some, once a round at most", lists, scanned, returned,
       dropped, stopped
    FROM pg_temp.scan();
-- no more lists than the rows need
SELECT rows, different, lists BETWEEN 4 AND 39 AS some_lists, stopped FROM pg_temp.scan(500);
SET quantvec.iterative_scan = strict_order;
SELECT rows, different, out_of_order, lists BETWEEN 4 AND 39 AS some_lists, stopped FROM pg_temp.scan(500);
-- with all lists probed at first, nothing can come too late
SET quantvec.probes = 40;
SELECT * FROM pg_temp.scan();

-- ---- max_scan_tuples: the list that reaches it is the last ----

SET quantvec.max_scan_tuples = 200;
SELECT s.rows = scanned AS "all that was scanned", scanned BETWEEN 200 AND 199 + longest_list AS "200 and some",
       s.lists < 40 AS "not all", stopped
    FROM pg_temp.scan() s, quantvec_index_info('t_v');
SET quantvec.max_scan_tuples = 1;
SELECT rows = scanned AS "all that was scanned", lists, stopped FROM pg_temp.scan();
SET quantvec.max_scan_tuples = 0;
SELECT * FROM pg_temp.scan();
SET quantvec.max_scan_tuples = 3000;
SELECT rows, lists FROM pg_temp.scan();
-- it holds for the lists opened later too
SET quantvec.probes = 1;
SET quantvec.max_scan_tuples = 200;
SELECT rows <= scanned AS "all that was scanned", scanned BETWEEN 200 AND 3000 - 1 AS "not all", stopped
    FROM pg_temp.scan();
RESET quantvec.max_scan_tuples;
SET quantvec.probes = 40;

-- ---- rerank = off ----

-- The order is that of the estimates, so distances go up and down a little; the table is not read for it.
SET quantvec.rerank = off;
SELECT rows, different, out_of_order > 0 AS some_out_of_order, scanned, returned, dropped, stopped FROM pg_temp.scan();
SELECT reranked FROM quantvec_last_scan();
SELECT rows FROM pg_temp.scan(10);
SELECT returned, reranked FROM quantvec_last_scan();
-- the estimates are good, with more bits better: of the 20 that come first, so many are among the nearest 20, at least
CREATE FUNCTION pg_temp.fewest_hits(options text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    fewest bigint;
BEGIN
    EXECUTE format('DROP INDEX t_v; CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 40, %s)', options);
    SELECT min(hits) INTO fewest FROM q, LATERAL (
        SELECT count(*) AS hits FROM (SELECT id FROM t ORDER BY v <-> q.v LIMIT 20) s
            WHERE id IN (SELECT id FROM t ORDER BY (v <-> q.v) + 0 LIMIT 20)) s;
    RETURN fewest;
END
$$;
SELECT code, pg_temp.fewest_hits(code) >= enough AS enough
    FROM (VALUES ('bits = 1', 8), ('bits = 4', 14), ('bits = 8', 17), ('quantizer = sq8', 18)) codes(code, enough);
RESET quantvec.rerank;
DROP INDEX t_v;
CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 40);

-- ---- rerank_candidates: so many rows, the best by estimate, are reranked ----

-- the nearest 10 of the first 50 by estimate, whatever the code
CREATE FUNCTION pg_temp.judge_two_stage(options text, n int, k int, OUT queries bigint, OUT wrong bigint,
                                        OUT reranked bigint[]) LANGUAGE plpgsql AS $$
DECLARE
    query record;
    best int[];
    given float8[];
    right_ones float8[];
BEGIN
    EXECUTE format('DROP INDEX t_v; CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 40, %s)', options);
    queries := 0;
    wrong := 0;
    reranked := '{}';
    FOR query IN SELECT v FROM q LOOP
        SET quantvec.rerank = off;
        SELECT array_agg(id) INTO best FROM (SELECT id FROM t ORDER BY v <-> query.v LIMIT n) s;
        SET quantvec.rerank = on;
        PERFORM set_config('quantvec.rerank_candidates', n::text, false);
        SELECT array_agg(d) INTO given FROM (SELECT v <-> query.v AS d FROM t ORDER BY v <-> query.v LIMIT k) s;
        reranked := array_append(reranked, (SELECT s.reranked FROM quantvec_last_scan() s));
        RESET quantvec.rerank_candidates;
        SELECT array_agg(d) INTO right_ones FROM (SELECT v <-> query.v AS d FROM t WHERE id = ANY (best)
                                                 ORDER BY (v <-> query.v) + 0 LIMIT k) s;
        queries := queries + 1;
        wrong := wrong + (given <> right_ones)::int;
    END LOOP;
    SELECT array_agg(DISTINCT r) INTO reranked FROM unnest(reranked) r;
END
$$;
SELECT code, s.* FROM unnest('{bits = 1,bits = 4,bits = 8,quantizer = sq8,quantizer = sq4,quantizer = pq}'::text[]) code,
    pg_temp.judge_two_stage(code, 50, 10) s;
SELECT * FROM pg_temp.judge_two_stage('bits = 1', 10, 10);
SELECT * FROM pg_temp.judge_two_stage('quantizer = sq8', 10, 10);
-- when more are wanted, the next so many; a row waits until no estimate that is left is below its distance, so that
-- few rows are out of order
SET quantvec.rerank_candidates = 100;
SELECT rows, different, out_of_order < 60 AS "nearly in order", returned, late, dropped, stopped FROM pg_temp.scan();
SELECT reranked FROM quantvec_last_scan();
SET quantvec.iterative_scan = relaxed_order;
SELECT rows, different, out_of_order < 60 AS "nearly in order", returned, late, dropped, stopped FROM pg_temp.scan();
RESET quantvec.iterative_scan;
-- a condition that a hundredth of the rows meets: all of them come, though their distances are read fifty at a time
SET quantvec.rerank_candidates = 50;
SELECT * FROM pg_temp.compare('t WHERE id % 100 = 7', 'v <-> %s', ARRAY(SELECT v FROM q), 10);
SELECT count(*) FROM (SELECT id FROM t ORDER BY v <-> (SELECT v FROM q WHERE id = 70005) LIMIT 2000) s;
-- more than there are: exact search
SET quantvec.rerank_candidates = 5000;
SELECT rows, out_of_order, returned, dropped, stopped FROM pg_temp.scan();
SELECT * FROM pg_temp.compare('t', 'v <-> %s', ARRAY(SELECT v FROM q), 10);
SELECT reranked FROM quantvec_last_scan();
-- rows that the snapshot does not see are read in vain, and more follow
RESET quantvec.rerank_candidates;
BEGIN;
DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY v <-> (SELECT v FROM q WHERE id = 70005) LIMIT 100);
SET quantvec.rerank_candidates = 20;
SELECT s.rows, l.reranked BETWEEN 101 AND 140 AS "those and a few", l.reranked % 20 AS rest
    FROM pg_temp.scan(5) s, LATERAL (SELECT * FROM quantvec_last_scan() WHERE s.rows > 0) l;
ROLLBACK;
-- nothing is reranked for its own sake
SET quantvec.rerank = off;
SELECT rows FROM pg_temp.scan(10);
SELECT reranked FROM quantvec_last_scan();
RESET quantvec.rerank;
RESET quantvec.rerank_candidates;
DROP INDEX t_v;
CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 40);

-- ---- a condition ----

-- LIMIT 10 of a fiftieth of the rows, of a hundredth behind an OFFSET, and of none: the scan goes on until it has them
SELECT * FROM pg_temp.compare('t WHERE category = 7', 'v <-> %s', ARRAY(SELECT v FROM q), 10);
SELECT * FROM pg_temp.compare('t WHERE category = 7', 'v <-> %s', ARRAY(SELECT v FROM q));
SELECT * FROM pg_temp.compare('t WHERE id % 100 = 7', 'v <-> %s', ARRAY(SELECT v FROM q), 10, 5);
SELECT * FROM pg_temp.compare('t WHERE category = -1', 'v <-> %s', ARRAY(SELECT v FROM q), 10);
-- with few probes they are all there as well, some of them last; in whatever order when order is relaxed
SET quantvec.probes = 1;
SELECT asked, rows FROM pg_temp.compare('t WHERE category = 7', 'v <-> %s', ARRAY(SELECT v FROM q), 100);
SET quantvec.iterative_scan = relaxed_order;
SELECT asked, rows, wrong > 0 AS "some out of order"
    FROM pg_temp.compare('t WHERE category = 7', 'v <-> %s', ARRAY(SELECT v FROM q), 100);
RESET quantvec.iterative_scan;
SET quantvec.probes = 40;

-- rows within a distance, nearest first: for each query as far as its nearest row, its sixth and its thirtieth
CREATE FUNCTION pg_temp.within(query vector, radius float8, OUT given float8[], OUT exact float8[]) LANGUAGE sql AS $$
    SELECT ARRAY(SELECT v <-> query FROM t WHERE v <-> query < radius ORDER BY v <-> query LIMIT 10),
           ARRAY(SELECT v <-> query FROM t WHERE v <-> query < radius ORDER BY (v <-> query) + 0 LIMIT 10)
$$;
CREATE FUNCTION pg_temp.judge_range(code text, OUT asked bigint, OUT rows bigint, OUT wrong bigint)
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP INDEX t_v; CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 40, %s)', code);
    SELECT count(*), sum(cardinality(given)), count(*) FILTER (WHERE given IS DISTINCT FROM exact)
        INTO asked, rows, wrong
        FROM (SELECT w.*
              FROM q, LATERAL (SELECT v <-> q.v AS radius, row_number() OVER (ORDER BY (v <-> q.v) + 0) AS n FROM t) r,
                   pg_temp.within(q.v, radius) w
              WHERE n IN (1, 6, 30)) s;
END
$$;
SELECT code, s.* FROM unnest('{bits = 1,bits = 4,quantizer = sq8,quantizer = sq4,quantizer = pq}'::text[]) code,
    pg_temp.judge_range(code) s;
DROP INDEX t_v;
CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 40);

-- ---- joins: one scan, many queries ----

-- each query's rows through one nested loop are those of exact search
SELECT pg_temp.explain($$ SELECT q.id, n.id FROM q, LATERAL (SELECT id FROM t ORDER BY t.v <-> q.v LIMIT 5) n $$) AS plan;
CREATE FUNCTION pg_temp.judge_join(k int) RETURNS TABLE (queries bigint, rows numeric, wrong bigint) LANGUAGE sql AS $$
    SELECT count(*), sum(cardinality(joined)), count(*) FILTER (WHERE joined <> exact)
        FROM (SELECT q.id, array_agg(n.distance) AS joined
              FROM q, LATERAL (SELECT t.v <-> q.v AS distance FROM t ORDER BY t.v <-> q.v LIMIT k) n GROUP BY q.id) a
        JOIN (SELECT q.id, array_agg(n.distance) AS exact
              FROM q, LATERAL (SELECT t.v <-> q.v AS distance FROM t ORDER BY (t.v <-> q.v) + 0 LIMIT k) n
              GROUP BY q.id) b
        USING (id)
$$;
SELECT * FROM pg_temp.judge_join(1);
SELECT * FROM pg_temp.judge_join(50);
SELECT * FROM pg_temp.judge_join(NULL);
-- limits that differ from one query to the next, no row at all among them, and NULL for most of the queries
SELECT count(*), count(*) FILTER (WHERE n IS DISTINCT FROM (ARRAY[3, 0, 700, 1, 40])[1 + id % 5]) AS wrong
    FROM (SELECT id, (SELECT count(*) FROM (SELECT FROM t ORDER BY t.v <-> q.v
                                            LIMIT (ARRAY[3, 0, 700, 1, 40])[1 + q.id % 5]) s) AS n
          FROM (SELECT id, CASE WHEN id % 4 = 0 THEN v END AS v FROM q) q) s;
-- two scans of one index take turns
CREATE VIEW ranked AS
    SELECT id, row_number() OVER () AS n
        FROM (SELECT id FROM t ORDER BY v <-> (SELECT v FROM q WHERE id = 70001) LIMIT 200) nearest;
SELECT count(*), count(*) FILTER (WHERE a.id = b.id) AS same FROM ranked a JOIN ranked b USING (n);
DROP VIEW ranked;
-- in an UPDATE and with row locks
BEGIN;
SELECT id FROM t ORDER BY v <-> (SELECT v FROM t WHERE id = 17) LIMIT 1 FOR UPDATE;
WITH nearest AS (SELECT id FROM t ORDER BY v <-> (SELECT v FROM t WHERE id = 17) LIMIT 5)
    UPDATE t SET category = -1 FROM nearest WHERE t.id = nearest.id;
SELECT count(*), bool_or(id = 17) AS itself FROM t WHERE category = -1;
ROLLBACK;

-- ---- prepared statements ----

SET plan_cache_mode = force_generic_plan;
PREPARE nearest (vector, int) AS SELECT id, v <-> $1 AS distance FROM t ORDER BY v <-> $1 LIMIT $2;
SELECT pg_temp.explain($$ EXECUTE nearest ('[1]', 3) $$) AS plan;
-- the same statement for one query after the other, against exact search
CREATE FUNCTION pg_temp.judge_prepared(k int, OUT queries bigint, OUT rows bigint, OUT wrong bigint)
    LANGUAGE plpgsql AS $$
DECLARE
    query record;
    distances float8[];
    exact float8[];
    row record;
BEGIN
    queries := 0;
    rows := 0;
    wrong := 0;
    FOR query IN SELECT v FROM q LOOP
        distances := '{}';
        FOR row IN EXECUTE format('EXECUTE nearest (%L, %L)', query.v, k) LOOP
            distances := distances || row.distance;
        END LOOP;
        SELECT array_agg(d) INTO exact FROM (SELECT v <-> query.v AS d FROM t ORDER BY (v <-> query.v) + 0 LIMIT k) s;
        queries := queries + 1;
        rows := rows + cardinality(distances);
        wrong := wrong + (distances <> exact)::int;
    END LOOP;
END
$$;
SELECT * FROM pg_temp.judge_prepared(10);
SELECT * FROM pg_temp.judge_prepared(1000);
-- settings hold when it is executed, not when it was prepared
SET quantvec.probes = 3;
SELECT count(*) FROM (SELECT) s, pg_temp.judge_prepared(1);
SELECT lists FROM quantvec_last_scan();
SET quantvec.probes = 40;
-- a query of another dimension; and a plan without the index when it is gone
EXECUTE nearest ('[1,2]', 3);
BEGIN;
DROP INDEX t_v;
SELECT pg_temp.explain($$ EXECUTE nearest ('[1]', 3) $$) AS plan;
ROLLBACK;
DEALLOCATE nearest;
RESET plan_cache_mode;

-- ---- a cursor, in steps ----

SELECT v AS query FROM q WHERE id = 70003 \gset
CREATE FUNCTION pg_temp.steps(query vector, steps int[], OUT rows int, OUT right_rows boolean, OUT stopped text)
    LANGUAGE plpgsql AS $$
DECLARE
    c CURSOR FOR SELECT v <-> query AS distance FROM t ORDER BY v <-> query;
    distances float8[] := '{}';
    exact float8[] := ARRAY(SELECT v <-> query FROM t ORDER BY (v <-> query) + 0);
    row record;
    step int;
BEGIN
    OPEN c;
    FOREACH step IN ARRAY steps LOOP
        FOR i IN 1..step LOOP
            FETCH c INTO row;
            EXIT WHEN NOT FOUND;
            distances := distances || row.distance;
        END LOOP;
        -- another scan of the index in between
        PERFORM id FROM t ORDER BY v <-> '[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]' LIMIT 2;
    END LOOP;
    CLOSE c;
    rows := cardinality(distances);
    right_rows := distances = exact[:rows];
    stopped := (quantvec_last_scan()).stopped;
END
$$;
SELECT * FROM pg_temp.steps(:'query', '{1,10,100,1000}');
SELECT * FROM pg_temp.steps(:'query', '{5,4000,1}');
-- settings count when the first row is asked for: what changes while the cursor is open is for the next one
BEGIN;
SET LOCAL quantvec.probes = 1;
SET LOCAL quantvec.iterative_scan = off;
DECLARE c CURSOR FOR SELECT id FROM t ORDER BY v <-> '[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]';
MOVE FORWARD 1 IN c;
SET LOCAL quantvec.iterative_scan = relaxed_order;
SET LOCAL quantvec.probes = 40;
SET LOCAL quantvec.rerank = off;
MOVE FORWARD 10 IN c;
SET LOCAL quantvec.rerank_candidates = 3;
SET LOCAL quantvec.max_scan_tuples = 1;
MOVE FORWARD ALL IN c;
CLOSE c;
SELECT lists, returned = scanned AND reranked = scanned AS "all of the list", stopped FROM quantvec_last_scan();
COMMIT;

-- ---- instruction sets ----

-- the same rows by the plainest kernels and by the best that the processor has: whichever built the index
CREATE FUNCTION pg_temp.nearest() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(ids, ' ' ORDER BY id)
        FROM (SELECT q.id, string_agg(n.id::text, ',') AS ids
              FROM q, LATERAL (SELECT id FROM t ORDER BY t.v <-> q.v LIMIT 20) n GROUP BY q.id) s
$$;
CREATE FUNCTION pg_temp.by_kernels(code text) RETURNS TABLE (built text, read text, ids text) LANGUAGE plpgsql AS $$
BEGIN
    FOREACH built IN ARRAY '{scalar,auto}'::text[] LOOP
        PERFORM set_config('quantvec.simd', built, true);
        EXECUTE format('DROP INDEX t_v; CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 40, %s)', code);
        FOREACH read IN ARRAY '{scalar,auto}'::text[] LOOP
            PERFORM set_config('quantvec.simd', read, true);
            EXECUTE 'SELECT pg_temp.nearest()' INTO ids;
            RETURN NEXT;
        END LOOP;
    END LOOP;
END
$$;
SELECT code, count(*), count(DISTINCT ids) AS answers, min(cardinality(regexp_split_to_array(ids, '[ ,]'))) AS ids
    FROM unnest('{bits = 1,bits = 4,bits = 8,quantizer = sq8}'::text[]) code, pg_temp.by_kernels(code)
    GROUP BY code ORDER BY code;

DROP TABLE t, q;

-- ---- bounds that fail, without rerank ----

-- a refined estimate may fall below the bound that was kept of the first bits; no row is lost for that
CREATE TABLE u (id int, v vector(64));
SELECT setseed(0.25);
INSERT INTO u SELECT i, (SELECT array_agg(random() - 0.5) FROM generate_series(1, 64 + 0 * i))::vector
    FROM generate_series(1, 4000) i;
CREATE INDEX u_v ON u USING quantvec (v) WITH (lists = 1, bits = 4);
SET quantvec.rerank = off;
SET quantvec.epsilon = 1.5;
SELECT count(*) FROM (SELECT id FROM u ORDER BY v <-> (SELECT v FROM u WHERE id = 1) LIMIT 4000) s;
SELECT late, dropped FROM quantvec_last_scan();
-- with rerank neither, be the bounds wrong for every third row: such a row comes at once, a little late
RESET quantvec.rerank;
SET quantvec.epsilon = 1;
SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE d < before) > 0 AS "some late"
    FROM (SELECT id, d, lag(d) OVER () AS before
          FROM (SELECT id, v <-> (SELECT v FROM u WHERE id = 1) AS d FROM u
                ORDER BY v <-> (SELECT v FROM u WHERE id = 1) LIMIT 4000) s) s;
SELECT late, dropped FROM quantvec_last_scan();
RESET quantvec.epsilon;
DROP TABLE u;
