-- Rows that come after CREATE INDEX: found at once, by every way in; gone when they are deleted.

\getenv srcdir PG_ABS_SRCDIR
\set compare :srcdir /sql/include/compare.sql
\set ECHO none
\i :compare
SET quantvec.probes = 30;
SET quantvec.epsilon = 6;

-- ---- an index on an empty table ----

CREATE TABLE t (id int PRIMARY KEY, note text, v vector(3)) WITH (autovacuum_enabled = off);
CREATE INDEX t_v ON t USING quantvec (v);
SELECT trained, lists, rows, dead_share FROM quantvec_index_info('t_v');
SET enable_seqscan = off;
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT id FROM t ORDER BY v <-> '[1,2,3]';
SELECT id FROM t ORDER BY v <-> '[1,2,3]';

INSERT INTO t VALUES (1, 'a', '[1,2,3]'), (2, 'b', '[4,5,6]'), (3, 'c', '[1,1,1]');
SELECT id, v <-> '[1,2,4]' AS distance FROM t ORDER BY v <-> '[1,2,4]';
-- the same in another block of slots, and another
INSERT INTO t SELECT id, 'many', v FROM pg_temp.vectors(200, 3, 101);
SELECT * FROM pg_temp.compare('t', 'v <-> %s', ARRAY(SELECT v FROM pg_temp.vectors(20, 3, 901)));

-- NULL is not in the index, and so not found through it
INSERT INTO t VALUES (4, 'null', NULL);
SELECT rows FROM quantvec_index_info('t_v');
SELECT count(*), count(v) FROM (SELECT v FROM t ORDER BY v <-> '[1,2,3]') found;
-- a wrong dimension is the column's error
INSERT INTO t VALUES (5, 'wrong', '[1,2]');

-- COPY
COPY t FROM stdin;
11	copied	[7,8,9]
12	copied	\N
13	copied	[-7,8,9]
\.
SELECT id FROM t ORDER BY v <-> '[7,8,9]' LIMIT 1;
SELECT id FROM t ORDER BY v <-> '[-7,8,9]' LIMIT 1;

-- UPDATE of the vector: the new one is found, the old one not; from NULL and to NULL
UPDATE t SET v = '[70,80,90]' WHERE id = 1;
UPDATE t SET v = '[-70,80,90]' WHERE id = 4;
UPDATE t SET v = NULL WHERE id = 13;
SELECT id, v FROM t ORDER BY v <-> '[70,80,90]' LIMIT 1;
SELECT id, v FROM t ORDER BY v <-> '[-70,80,90]' LIMIT 1;
SELECT id, v FROM t ORDER BY v <-> '[1,2,3]' LIMIT 1;
-- UPDATE of another column
UPDATE t SET note = 'changed' WHERE id = 1;
SELECT id, note FROM t ORDER BY v <-> '[70,80,90]' LIMIT 1;

-- DELETE
DELETE FROM t WHERE id = 1;
SELECT id, v FROM t ORDER BY v <-> '[70,80,90]' LIMIT 1;
SELECT * FROM pg_temp.compare('t WHERE v IS NOT NULL', 'v <-> %s', ARRAY(SELECT v FROM pg_temp.vectors(20, 3, 901)));

-- ON CONFLICT: the row that is not inserted is not found, the updated one is
INSERT INTO t VALUES (2, 'new', '[900,900,900]') ON CONFLICT DO NOTHING;
SELECT id, v <-> '[900,900,900]' < 1 AS inserted FROM t ORDER BY v <-> '[900,900,900]' LIMIT 1;
INSERT INTO t VALUES (2, 'new', '[900,900,900]') ON CONFLICT (id) DO UPDATE SET v = excluded.v, note = 'upserted';
SELECT id, note, v FROM t ORDER BY v <-> '[900,900,900]' LIMIT 1;
SELECT id, v FROM t ORDER BY v <-> '[4,5,6]' LIMIT 1;
-- twice in one statement
INSERT INTO t VALUES (901, 'x', '[901,900,900]'), (901, 'x', '[902,900,900]') ON CONFLICT (id) DO NOTHING;
SELECT id, v FROM t ORDER BY v <-> '[902,900,900]' LIMIT 1;

-- RETURNING, a writable CTE, and what is inserted by a trigger
CREATE FUNCTION mirrored() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() = 1 THEN
        INSERT INTO t VALUES (-NEW.id, 'mirrored', ARRAY(SELECT -x FROM unnest(NEW.v::real[]) x)::vector);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER mirror AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION mirrored();
WITH made AS (INSERT INTO t VALUES (950, 'cte', '[0,500,0]') RETURNING id) SELECT id FROM made;
SELECT id FROM t ORDER BY v <-> '[0,-500,0]' LIMIT 1;
DROP FUNCTION mirrored CASCADE;

-- ---- transactions ----

-- rolled back: not found, and the row that comes next to its place is
BEGIN;
INSERT INTO t VALUES (801, 'mine', '[800,0,0]');
SELECT id FROM t ORDER BY v <-> '[800,0,0]' LIMIT 1;
SAVEPOINT s;
INSERT INTO t VALUES (802, 'mine', '[0,800,0]');
DELETE FROM t WHERE id = 801;
SELECT v FROM t ORDER BY v <-> '[0,800,0]' LIMIT 1;
SELECT id FROM t ORDER BY v <-> '[800,0,0]' LIMIT 1;
ROLLBACK TO s;
SELECT id FROM t ORDER BY v <-> '[0,800,0]' LIMIT 1;
SELECT id FROM t ORDER BY v <-> '[800,0,0]' LIMIT 1;
ROLLBACK;
SELECT id FROM t ORDER BY v <-> '[800,0,0]' LIMIT 1;
INSERT INTO t VALUES (803, 'stays', '[800,800,0]');
SELECT id FROM t ORDER BY v <-> '[800,800,0]' LIMIT 1;

-- a row is found once after it was updated often in one transaction
BEGIN;
INSERT INTO t VALUES (804, 'often', '[0,0,800]');
UPDATE t SET v = '[0,1,800]' WHERE id = 804;
UPDATE t SET v = '[0,2,800]' WHERE id = 804;
UPDATE t SET note = 'last' WHERE id = 804;
SELECT id, note, v FROM t ORDER BY v <-> '[0,0,800]' LIMIT 1;
COMMIT;
SELECT id, note, v FROM t ORDER BY v <-> '[0,0,800]' LIMIT 1;
SELECT count(*) FROM (SELECT id FROM t ORDER BY v <-> '[0,0,800]' OFFSET 0) found WHERE id = 804;

-- ---- VACUUM ----

SELECT * FROM pg_temp.compare('t WHERE v IS NOT NULL', 'v <-> %s', ARRAY(SELECT v FROM pg_temp.vectors(20, 3, 901)));
VACUUM t;
-- the index holds the rows of the table, and knows how many more it held
SELECT rows = (SELECT count(v) FROM t) AS same, dead_share > 0 AS "some removed" FROM quantvec_index_info('t_v');
SELECT * FROM pg_temp.compare('t WHERE v IS NOT NULL', 'v <-> %s', ARRAY(SELECT v FROM pg_temp.vectors(20, 3, 901)));
-- rows inserted after it may take the places of the table's rows that are gone
DELETE FROM t WHERE id BETWEEN 101 AND 250;
VACUUM t;
INSERT INTO t SELECT id, 'after', v FROM pg_temp.vectors(150, 3, 5001);
SELECT rows = (SELECT count(v) FROM t) AS same FROM quantvec_index_info('t_v');
SELECT * FROM pg_temp.compare('t WHERE v IS NOT NULL', 'v <-> %s', ARRAY(SELECT v FROM pg_temp.vectors(20, 3, 901)));
-- all rows gone
DELETE FROM t;
VACUUM t;
SELECT rows, dead_share FROM quantvec_index_info('t_v');
SELECT id FROM t ORDER BY v <-> '[1,2,3]';
INSERT INTO t VALUES (1, 'again', '[1,2,3]');
SELECT id FROM t ORDER BY v <-> '[1,2,3]';
DROP TABLE t;

-- ---- an index of many lists ----

-- three codes side by side; after the build as many rows come as there were, in other proportions
CREATE TABLE t (id int PRIMARY KEY, v vector(20)) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT * FROM pg_temp.vectors(3000, 20);
CREATE INDEX t_l2 ON t USING quantvec (v vector_l2_ops) WITH (lists = 30);
CREATE INDEX t_ip ON t USING quantvec (v vector_ip_ops) WITH (lists = 30, bits = 1);
CREATE INDEX t_cosine ON t USING quantvec (v vector_cosine_ops) WITH (lists = 30, quantizer = sq8);
CREATE TABLE q AS SELECT v FROM pg_temp.vectors(30, 20, 900001);
INSERT INTO t SELECT * FROM pg_temp.vectors(2000, 20, 10001);
INSERT INTO t SELECT id + 10000, v FROM pg_temp.vectors(20000, 20, 10001) WHERE id % 20 = 7;
CREATE FUNCTION pg_temp.judge()
    RETURNS TABLE (operator text, asked int, rows bigint, wrong bigint, all_rows bigint, wrong_of_all bigint)
    LANGUAGE sql AS $$
    SELECT operator, ten.asked, ten.rows, ten.wrong, every.rows, every.wrong
        FROM unnest('{<->,<#>,<=>}'::text[]) WITH ORDINALITY o(operator, n),
             pg_temp.compare('t', format('v %s %%s', operator), ARRAY(SELECT v FROM q), 10) ten,
             pg_temp.compare('t', format('v %s %%s', operator), ARRAY(SELECT v FROM q LIMIT 2)) every
        ORDER BY n
$$;
SELECT * FROM pg_temp.judge();
-- in one of the lists where a query for it looks first: a tight list goes before a slightly nearer one
SET quantvec.probes = 3;
SELECT count(*), count(*) FILTER (WHERE nearest.v <> t.v) AS not_found
    FROM (SELECT * FROM t WHERE id > 10000 AND id % 10 < 3) t,
         LATERAL (SELECT n.v FROM t n ORDER BY n.v <-> t.v LIMIT 1) nearest;
-- a copy of a row goes where the build put the row, into the nearest list of all: with one list probed a query finds
-- both or neither
CREATE TABLE copies (id int, v vector(20));
INSERT INTO copies SELECT * FROM pg_temp.vectors(3000, 20);
CREATE INDEX copies_v ON copies USING quantvec (v) WITH (lists = 30);
INSERT INTO copies SELECT id + 10000, v FROM copies WHERE id % 3 = 0;
SET quantvec.probes = 1;
SELECT count(*), count(*) FILTER (WHERE found = 2) > 900 AS "mostly found", count(*) FILTER (WHERE found = 1) AS parted
    FROM (SELECT (SELECT count(*)
                  FROM (SELECT n.v FROM copies n ORDER BY n.v <-> c.v LIMIT 2) near WHERE near.v = c.v) AS found
          FROM copies c WHERE id > 10000) s;
DROP TABLE copies;
SET quantvec.probes = 30;
-- deleted, vacuumed, and filled again
DELETE FROM t WHERE id % 3 = 0;
SELECT * FROM pg_temp.judge();
VACUUM t;
SELECT * FROM pg_temp.judge();
INSERT INTO t SELECT * FROM pg_temp.vectors(1500, 20, 50001);
UPDATE t SET v = ARRAY(SELECT x + 0.01 FROM unnest(v::real[]) x)::vector WHERE id % 5 = 0;
SELECT * FROM pg_temp.judge();
-- the three indexes at once, by two processes
SET min_parallel_index_scan_size = 0;
VACUUM (PARALLEL 2) t;
RESET min_parallel_index_scan_size;
SELECT * FROM pg_temp.judge();
-- (lists that would not get fewer pages stay as they are; without new chains more than a third of the slots would be dead)
SELECT index::regclass, lists, rows, rows = (SELECT count(*) FROM t) AS same,
       dead_share < CASE index WHEN 't_ip' THEN 0.25 ELSE 0.2 END AS "written anew"
    FROM unnest('{t_l2,t_ip,t_cosine}'::text[]) index, quantvec_index_info(index::regclass);
DROP TABLE t, q;

-- ---- what is said of an index that is not trained ----

-- nothing of an empty table, nor of its partitions; nothing when it is built again
CREATE TABLE told (id int, v vector(3));
CREATE INDEX told_v ON told USING quantvec (v);
INSERT INTO told VALUES (1, '[1,2,3]'), (2, NULL);
REINDEX INDEX told_v;
CREATE TEMPORARY TABLE told_temp (id int, v vector(3)) ON COMMIT DELETE ROWS;
CREATE INDEX ON told_temp USING quantvec (v);
-- once a transaction otherwise
BEGIN;
CREATE TABLE told_once (id int, v vector(3));
INSERT INTO told_once VALUES (1, '[1,2,3]');
CREATE INDEX told_once_v ON told_once USING quantvec (v);
ALTER TABLE told_once ALTER v TYPE vector(4) USING '[1,2,3,4]';
TRUNCATE told_once;
COMMIT;
CREATE TABLE told_parts (id int, v vector(3)) PARTITION BY LIST (id);
CREATE TABLE told_1 PARTITION OF told_parts FOR VALUES IN (1);
CREATE TABLE told_2 PARTITION OF told_parts FOR VALUES IN (2);
CREATE TABLE told_3 PARTITION OF told_parts FOR VALUES IN (3);
INSERT INTO told_parts VALUES (2, '[1,2,3]'), (3, '[1,2,3]');
CREATE INDEX ON told_parts USING quantvec (v);
DROP TABLE told, told_temp, told_once, told_parts;
