-- What the planner chooses: the index where it is the faster way, exact search where that is. Fresh statistics, the
-- server's own costs, no setting that forces a plan.

\getenv srcdir PG_ABS_SRCDIR
\set compare :srcdir /sql/include/compare.sql
\set ECHO none
\i :compare
SET jit = off;
SET max_parallel_workers_per_gather = 0;

-- 100, 1,000, 10,000 and 100,000 rows. category: each of 0 to 999 has a thousandth of them; half: one row of two.
SET client_min_messages = warning;
CREATE TABLE t_100 (id int, category int, half boolean, v vector(64)) WITH (autovacuum_enabled = off);
INSERT INTO t_100 SELECT id, id % 1000, id % 2 = 0, v FROM pg_temp.vectors(100, 64);
CREATE INDEX t_100_v ON t_100 USING quantvec (v);
CREATE INDEX t_100_category ON t_100 (category);
CREATE TABLE t_1000 (LIKE t_100) WITH (autovacuum_enabled = off);
INSERT INTO t_1000 SELECT id, id % 1000, id % 2 = 0, v FROM pg_temp.vectors(1000, 64);
CREATE INDEX t_1000_v ON t_1000 USING quantvec (v);
CREATE INDEX t_1000_category ON t_1000 (category);
CREATE TABLE t_10000 (LIKE t_100) WITH (autovacuum_enabled = off);
INSERT INTO t_10000 SELECT id, id % 1000, id % 2 = 0, v FROM pg_temp.vectors(10000, 64);
CREATE INDEX t_10000_v ON t_10000 USING quantvec (v);
CREATE INDEX t_10000_category ON t_10000 (category);
CREATE TABLE t_100000 (id int, category int, half boolean, v vector(8)) WITH (autovacuum_enabled = off);
INSERT INTO t_100000 SELECT id, id % 1000, id % 2 = 0, v FROM pg_temp.vectors(100000, 8);
CREATE INDEX t_100000_v ON t_100000 USING quantvec (v);
CREATE INDEX t_100000_category ON t_100000 (category);
VACUUM ANALYZE t_100, t_1000, t_10000, t_100000;
RESET client_min_messages;

-- The plan of a query; its vector, written $1, is left out of what is shown.
CREATE FUNCTION pg_temp.plan(query text, dim int DEFAULT 64) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    literal text := (SELECT quote_literal(v) FROM pg_temp.vectors(1, dim));
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || replace(query, '$1', literal) LOOP
        RETURN NEXT replace(line, literal || '::vector', '$1');
    END LOOP;
END
$$;

-- 100 rows: reading them all is less than anything else
SELECT pg_temp.plan('SELECT id FROM t_100 ORDER BY v <-> $1 LIMIT 10');
-- 1,000: the index
SELECT pg_temp.plan('SELECT id FROM t_1000 ORDER BY v <-> $1 LIMIT 10');
-- 10,000 and 100,000
SELECT pg_temp.plan('SELECT id FROM t_10000 ORDER BY v <-> $1 LIMIT 10');
SELECT pg_temp.plan('SELECT id FROM t_100000 ORDER BY v <-> $1 LIMIT 10', 8);
SELECT pg_temp.plan('SELECT id FROM t_100000 ORDER BY v <-> $1 LIMIT 100', 8);
-- the whole table in order is sorted
SELECT pg_temp.plan('SELECT id FROM t_10000 ORDER BY v <-> $1');

-- half of the rows: the index finds twice as many
SELECT pg_temp.plan('SELECT id FROM t_10000 WHERE half ORDER BY v <-> $1 LIMIT 10');
SELECT pg_temp.plan('SELECT id FROM t_100000 WHERE half ORDER BY v <-> $1 LIMIT 10', 8);
-- a thousandth: the ten or hundred rows of the category are read and sorted
SELECT pg_temp.plan('SELECT id FROM t_10000 WHERE category = 7 ORDER BY v <-> $1 LIMIT 10');
SELECT pg_temp.plan('SELECT id FROM t_100000 WHERE category = 7 ORDER BY v <-> $1 LIMIT 10', 8);

-- many queries: the index for each
SELECT pg_temp.plan('SELECT n.id FROM (SELECT v FROM t_10000 WHERE category = 7) q,
                                      LATERAL (SELECT id FROM t_10000 t ORDER BY t.v <-> q.v LIMIT 10) n');
-- a third of the table in order is sorted
SELECT pg_temp.plan('SELECT id FROM t_10000 ORDER BY v <-> $1 LIMIT 3000');

DROP TABLE t_100, t_1000, t_10000, t_100000;
