-- Vectors stored out of line: the scan reads them its own way, and the operator takes the distance of a returned
-- row from the scan that has just computed it. It must be the right one, whatever else is asked.

\getenv srcdir PG_ABS_SRCDIR
\set compare :srcdir /sql/include/compare.sql
\set ECHO none
\i :compare
SET client_min_messages = warning;

CREATE TABLE t (id int PRIMARY KEY, v vector(600), w vector(600)) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT a.id, a.v, b.v FROM pg_temp.vectors(300, 600) a JOIN pg_temp.vectors(300, 600, 5001) b
    ON b.id = a.id + 5000;
-- queries out of line, and in line
CREATE TABLE q AS SELECT id, v FROM pg_temp.vectors(10, 600, 70001);
CREATE TABLE plain (LIKE q);
ALTER TABLE plain ALTER v SET STORAGE PLAIN;
INSERT INTO plain SELECT * FROM q;
SELECT pg_relation_size(reltoastrelid) > 0 AS out_of_line FROM pg_class WHERE oid IN ('t'::regclass, 'q'::regclass);
CREATE INDEX t_v ON t USING quantvec (v);
CREATE INDEX t_w ON t USING quantvec (w vector_cosine_ops);
CREATE INDEX t_ip ON t USING quantvec (w vector_ip_ops);
ANALYZE;
SET quantvec.epsilon = 6;

SELECT * FROM pg_temp.compare('t', 'v <-> %s', ARRAY(SELECT v FROM q));
SELECT * FROM pg_temp.compare('t', 'w <=> %s', ARRAY(SELECT v FROM q), 10);
SELECT * FROM pg_temp.compare('t', 'w <#> %s', ARRAY(SELECT v FROM q), 10);

-- ---- the distance of a returned row ----

SET enable_seqscan = off;
SET enable_sort = off;
SELECT pg_temp.explain($$ SELECT t.id, t.v <-> q.v FROM q, LATERAL (SELECT id, v FROM t ORDER BY t.v <-> q.v LIMIT 5) t $$) AS plan;

-- Each row's distances by the operator beside the index's order, and computed from values that no scan has seen
-- (an array and back is not what is stored).
CREATE FUNCTION pg_temp.apart(v vector) RETURNS vector LANGUAGE sql AS $$ SELECT v::real[]::vector $$;
CREATE FUNCTION pg_temp.judge(queries text, OUT rows bigint, OUT wrong bigint, OUT wrong_turned bigint,
                              OUT wrong_query bigint, OUT wrong_column bigint, OUT wrong_function bigint)
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($q$
        SELECT count(*), count(*) FILTER (WHERE d <> pg_temp.apart(v) <-> pg_temp.apart(query)),
               count(*) FILTER (WHERE turned <> pg_temp.apart(query) <-> pg_temp.apart(v)),
               count(*) FILTER (WHERE other_query <> pg_temp.apart(v) <-> pg_temp.apart(other)),
               count(*) FILTER (WHERE other_column <> pg_temp.apart(w) <-> pg_temp.apart(query)),
               count(*) FILTER (WHERE cosine <> pg_temp.apart(v) <=> pg_temp.apart(query)
                                   OR squared <> vector_l2_squared_distance(pg_temp.apart(v), pg_temp.apart(query))
                                   OR product <> pg_temp.apart(v) <#> pg_temp.apart(query)
                                   OR l1 <> pg_temp.apart(v) <+> pg_temp.apart(query))
        FROM (SELECT q.v AS query, other.v AS other, n.*
              FROM %1$I q JOIN %1$I other ON other.id = 70001 + (q.id - 70000) %% 10,
                  LATERAL (SELECT t.v, t.w, t.v <-> q.v AS d, q.v <-> t.v AS turned, t.v <-> other.v AS other_query,
                                  t.w <-> q.v AS other_column, t.v <=> q.v AS cosine, t.v <#> q.v AS product,
                                  t.v <+> q.v AS l1, vector_l2_squared_distance(t.v, q.v) AS squared
                           FROM t ORDER BY t.v <-> q.v LIMIT 20) n) s
        $q$, queries) INTO rows, wrong, wrong_turned, wrong_query, wrong_column, wrong_function;
END
$$;
SELECT * FROM pg_temp.judge('q');
SELECT * FROM pg_temp.judge('plain');
-- cosine and inner product, each with its own function
SELECT count(*), count(*) FILTER (WHERE d <> pg_temp.apart(w) <=> pg_temp.apart(query)) AS wrong
    FROM (SELECT q.v AS query, n.* FROM plain q, LATERAL (SELECT w, w <=> q.v AS d FROM t ORDER BY w <=> q.v LIMIT 20) n) s;
SELECT count(*), count(*) FILTER (WHERE d <> pg_temp.apart(w) <#> pg_temp.apart(query)) AS wrong
    FROM (SELECT q.v AS query, n.* FROM plain q, LATERAL (SELECT w, w <#> q.v AS d FROM t ORDER BY w <#> q.v LIMIT 20) n) s;
-- two scans take turns: each row's distance is its own scan's
SELECT count(*), count(*) FILTER (WHERE a.d <> pg_temp.apart(a.v) <-> pg_temp.apart(query)
                                     OR b.d <> pg_temp.apart(b.v) <-> pg_temp.apart(other)) AS wrong
    FROM (SELECT v AS query FROM plain WHERE id = 70001) q1, (SELECT v AS other FROM plain WHERE id = 70002) q2,
        LATERAL (SELECT v, v <-> query AS d FROM t ORDER BY v <-> query LIMIT 7) a,
        LATERAL (SELECT v, v <-> other AS d FROM t ORDER BY v <-> other LIMIT 5) b;

-- ---- rows that change under a cursor ----

CREATE FUNCTION pg_temp.steps(OUT rows int, OUT wrong int) LANGUAGE plpgsql AS $$
DECLARE
    query vector := (SELECT v FROM plain WHERE id = 70003);
    c CURSOR FOR SELECT id, v, v <-> query AS d FROM t ORDER BY v <-> query LIMIT 30;
    row record;
    now_stored float8;
BEGIN
    rows := 0;
    wrong := 0;
    OPEN c;
    LOOP
        FETCH c INTO row;
        EXIT WHEN NOT FOUND;
        rows := rows + 1;
        -- another value in its place, while the scan rests on the row
        UPDATE t SET v = l2_normalize(v) WHERE id = row.id;
        SELECT t.v <-> query INTO now_stored FROM t WHERE id = row.id;
        wrong := wrong + (row.d <> pg_temp.apart(row.v) <-> query)::int
            + (now_stored <> pg_temp.apart(l2_normalize(row.v)) <-> query)::int;
    END LOOP;
    CLOSE c;
END
$$;
BEGIN;
SELECT * FROM pg_temp.steps();
ROLLBACK;
-- an error in the middle of a scan: nothing is remembered of it
DO $$
DECLARE
    query vector := (SELECT v FROM plain WHERE id = 70004);
BEGIN
    PERFORM 1 / (v <-> query > 1000)::int FROM t ORDER BY v <-> query LIMIT 5;
EXCEPTION WHEN division_by_zero THEN
    RAISE INFO 'wrong: %', (SELECT count(*) FROM t WHERE v <-> query <> pg_temp.apart(v) <-> query);
END
$$;

-- ---- and it is taken ----

-- A row that the scan has reranked is not read from TOAST again: the rows of ten reranked ones, with their distances,
-- touch hardly more buffers than ten rows that only the executor reads.
CREATE FUNCTION pg_temp.buffers() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE $q$ EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT id, v <-> (SELECT v FROM plain WHERE id = 70005) FROM t
        ORDER BY v <-> (SELECT v FROM plain WHERE id = 70005) LIMIT 10 $q$ INTO plan;
    RETURN (plan->0->'Plan'->>'Shared Hit Blocks')::int + (plan->0->'Plan'->>'Shared Read Blocks')::int;
END
$$;
SET quantvec.rerank = off;
SELECT pg_temp.buffers() AS warm \gset
SELECT pg_temp.buffers() AS by_executor \gset
RESET quantvec.rerank;
SET quantvec.rerank_candidates = 10;
SELECT pg_temp.buffers() AS warm \gset
SELECT :by_executor > 30 AS "from TOAST", pg_temp.buffers() - :by_executor BETWEEN 0 AND 20 AS "once only";
RESET quantvec.rerank_candidates;

-- ---- other storage ----

-- compressed out of line: the server's way
ALTER TABLE t ALTER v SET STORAGE EXTENDED;
UPDATE t SET v = ('[' || repeat(id % 7 || ',', 598) || id || ',' || id % 5 || ']')::vector WHERE id % 2 = 0;
SELECT * FROM pg_temp.compare('t', 'v <-> %s', ARRAY(SELECT v FROM plain), 20);
SELECT * FROM pg_temp.judge('plain');
-- in line
ALTER TABLE t ALTER v SET STORAGE PLAIN;
ALTER TABLE t ALTER w SET STORAGE EXTERNAL;
UPDATE t SET v = l2_normalize(v) WHERE id % 3 = 0;
SELECT * FROM pg_temp.compare('t', 'v <-> %s', ARRAY(SELECT v FROM plain), 20);
SELECT * FROM pg_temp.judge('q');
-- temporary
CREATE TEMPORARY TABLE here AS SELECT id, w AS v FROM t;
CREATE INDEX ON here USING quantvec (v);
SELECT * FROM pg_temp.compare('here', 'v <-> %s', ARRAY(SELECT v FROM plain), 20);

DROP TABLE t, q, plain, here;
