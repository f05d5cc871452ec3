-- Kinds of tables and indexes, and what is done to them over their lives: the index follows.

\getenv srcdir PG_ABS_SRCDIR
\set compare :srcdir /sql/include/compare.sql
\set ECHO none
\i :compare
SET quantvec.probes = 10;
SET quantvec.epsilon = 6;
-- index_insert.sql shows what is said of an index with little data
SET client_min_messages = warning;
CREATE TABLE q AS SELECT v FROM pg_temp.vectors(20, 8, 70001);
CREATE FUNCTION pg_temp.judge(source text, k int DEFAULT NULL, OUT asked int, OUT rows bigint, OUT wrong bigint)
    LANGUAGE sql AS $$ SELECT * FROM pg_temp.compare(source, 'v <-> %s', ARRAY(SELECT v FROM q), k) $$;

-- ---- unlogged, and back ----

CREATE UNLOGGED TABLE t (id int PRIMARY KEY, category int, v vector(8)) WITH (autovacuum_enabled = off);
CREATE INDEX t_v ON t USING quantvec (v);
INSERT INTO t SELECT id, id % 10, v FROM pg_temp.vectors(100, 8);
SELECT * FROM pg_temp.judge('t');
SELECT trained, lists, rows FROM quantvec_index_info('t_v');
-- a fork for the server to start again from
SELECT pg_relation_size('t_v', 'init') > 0 AS init_fork;
ALTER TABLE t SET LOGGED;
SELECT pg_relation_size('t_v', 'init') > 0 AS init_fork;
SELECT * FROM pg_temp.judge('t');
ALTER TABLE t SET UNLOGGED;
INSERT INTO t SELECT id, id % 10, v FROM pg_temp.vectors(100, 8, 101);
SELECT * FROM pg_temp.judge('t');
ALTER TABLE t SET LOGGED;
DROP INDEX t_v;

-- ---- build, rebuild, and the ways around a lock ----

CREATE INDEX CONCURRENTLY t_v ON t USING quantvec (v) WITH (lists = 10, bits = 1);
SELECT indisvalid, indisready FROM pg_index WHERE indexrelid = 't_v'::regclass;
SELECT * FROM pg_temp.judge('t');
INSERT INTO t SELECT id, id % 10, v FROM pg_temp.vectors(1000, 8, 201);
DELETE FROM t WHERE id % 7 = 0;
UPDATE t SET v = (SELECT v FROM t WHERE id = 1) WHERE id = 2;
SELECT lists, rows, longest_list > 100 AS long FROM quantvec_index_info('t_v');
REINDEX INDEX t_v;
-- (rows that somebody's older snapshot may still see are indexed)
SELECT lists, rows >= (SELECT count(*) FROM t) AS enough, dead_share FROM quantvec_index_info('t_v');
SELECT * FROM pg_temp.judge('t');
DELETE FROM t WHERE id % 7 = 1;
INSERT INTO t SELECT id, id % 10, v FROM pg_temp.vectors(100, 8, 2001);
REINDEX INDEX CONCURRENTLY t_v;
SELECT lists, rows >= (SELECT count(*) FROM t) AS enough, dead_share FROM quantvec_index_info('t_v');
SELECT * FROM pg_temp.judge('t');
REINDEX TABLE CONCURRENTLY t;
SELECT lists, rows >= (SELECT count(*) FROM t) AS enough, dead_share FROM quantvec_index_info('t_v');
SELECT * FROM pg_temp.judge('t');

-- VACUUM FULL builds anew: no dead slots (rows that an older snapshot may still see are kept, and indexed)
DELETE FROM t WHERE id % 3 = 0;
VACUUM FULL t;
SELECT rows >= (SELECT count(*) FROM t) AS enough, dead_share FROM quantvec_index_info('t_v');
SELECT * FROM pg_temp.judge('t');
-- CLUSTER by this index is not possible; by another the rows move, and are found where they are
CLUSTER t USING t_v;
CLUSTER t USING t_pkey;
SELECT rows >= (SELECT count(*) FROM t) AS enough, dead_share FROM quantvec_index_info('t_v');
SELECT * FROM pg_temp.judge('t');
-- a table that is written anew because a column changes; another dimension needs other rows
ALTER TABLE t ALTER category TYPE bigint;
SELECT * FROM pg_temp.judge('t');
ALTER TABLE t ALTER v TYPE vector(9);
-- TRUNCATE, and rolled back
BEGIN;
TRUNCATE t;
INSERT INTO t SELECT id, id % 10, v FROM pg_temp.vectors(30, 8, 3001);
SELECT * FROM pg_temp.judge('t');
ROLLBACK;
SELECT * FROM pg_temp.judge('t');
TRUNCATE t;
SELECT lists, rows FROM quantvec_index_info('t_v');
INSERT INTO t SELECT id, id % 10, v FROM pg_temp.vectors(30, 8, 3001);
SELECT * FROM pg_temp.judge('t');
-- created and filled in one transaction
BEGIN;
CREATE TABLE fresh (v vector(8));
CREATE INDEX fresh_v ON fresh USING quantvec (v) WITH (lists = 4);
INSERT INTO fresh SELECT v FROM pg_temp.vectors(50, 8);
SELECT * FROM pg_temp.judge('fresh');
REINDEX TABLE fresh;
SELECT * FROM pg_temp.judge('fresh');
ROLLBACK;
-- renamed, moved, dropped
ALTER INDEX t_v RENAME TO t_w;
SELECT lists, rows FROM quantvec_index_info('t_w');
CREATE SCHEMA elsewhere;
ALTER TABLE t SET SCHEMA elsewhere;
SELECT * FROM pg_temp.judge('elsewhere.t');
DROP SCHEMA elsewhere CASCADE;

-- ---- temporary ----

CREATE TEMPORARY TABLE t (id int PRIMARY KEY, v vector(8)) ON COMMIT DELETE ROWS;
CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 10);
BEGIN;
INSERT INTO t SELECT * FROM pg_temp.vectors(300, 8);
SELECT * FROM pg_temp.judge('t');
COMMIT;
SELECT rows FROM quantvec_index_info('t_v');
DROP TABLE t;
CREATE TEMPORARY TABLE t (id int PRIMARY KEY, v vector(8));
INSERT INTO t SELECT * FROM pg_temp.vectors(300, 8);
CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 10);
INSERT INTO t SELECT * FROM pg_temp.vectors(300, 8, 301);
DELETE FROM t WHERE id % 4 = 0;
SELECT * FROM pg_temp.judge('t');
VACUUM t;
SELECT lists, rows FROM quantvec_index_info('t_v');
SELECT * FROM pg_temp.judge('t');
DROP TABLE t;

-- ---- partial ----

CREATE TABLE t (id int PRIMARY KEY, category int, v vector(8)) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT id, id % 10, v FROM pg_temp.vectors(1000, 8);
CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 5) WHERE category = 3;
SELECT rows FROM quantvec_index_info('t_v');
SELECT * FROM pg_temp.judge('t WHERE category = 3');
SELECT * FROM pg_temp.judge('t WHERE category = 3 AND id > 500');
-- rows enter and leave it
UPDATE t SET category = 3 WHERE id % 10 = 4;
UPDATE t SET category = 5 WHERE id % 20 = 3;
INSERT INTO t SELECT id, id % 5, v FROM pg_temp.vectors(100, 8, 2001);
SELECT * FROM pg_temp.judge('t WHERE category = 3');
VACUUM t;
SELECT rows = (SELECT count(*) FROM t WHERE category = 3) AS same FROM quantvec_index_info('t_v');
SELECT * FROM pg_temp.judge('t WHERE category = 3');
-- another condition is not its
SET enable_seqscan = off;
SELECT pg_temp.explain($$ SELECT id FROM t WHERE category = 4 ORDER BY v <-> '[1,2,3,4,5,6,7,8]' LIMIT 3 $$) AS plan;
RESET enable_seqscan;
DROP TABLE t;

-- ---- expressions ----

-- a column of any dimension, one index for each
CREATE TABLE t (id int PRIMARY KEY, dim int, v vector) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT id, 3, v FROM pg_temp.vectors(200, 3);
INSERT INTO t SELECT id, 8, v FROM pg_temp.vectors(200, 8, 201);
CREATE INDEX t_3 ON t USING quantvec ((v::vector(3))) WITH (lists = 5) WHERE dim = 3;
CREATE INDEX t_8 ON t USING quantvec ((v::vector(8)) vector_cosine_ops) WITH (lists = 5, quantizer = sq8) WHERE dim = 8;
INSERT INTO t SELECT id, 3, v FROM pg_temp.vectors(50, 3, 401);
INSERT INTO t SELECT id, 8, v FROM pg_temp.vectors(50, 8, 451);
SELECT index, rows, dim FROM unnest('{t_3,t_8}'::text[]) index, quantvec_index_info(index::regclass);
SELECT * FROM pg_temp.compare('t WHERE dim = 3', 'v::vector(3) <-> %s',
                              ARRAY(SELECT v FROM pg_temp.vectors(20, 3, 7001)));
SELECT * FROM pg_temp.compare('t WHERE dim = 8', 'v::vector(8) <=> %s', ARRAY(SELECT v FROM q));
DROP TABLE t;
-- a computed one
CREATE TABLE t (id int PRIMARY KEY, a real[], v vector(8)) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT id, v::real[], v FROM pg_temp.vectors(300, 8);
CREATE INDEX t_unit ON t USING quantvec ((l2_normalize(v)::vector(8)) vector_ip_ops) WITH (lists = 5);
CREATE INDEX t_array ON t USING quantvec ((a::vector(8))) WITH (lists = 5, bits = 2);
INSERT INTO t SELECT id, v::real[], v FROM pg_temp.vectors(300, 8, 301);
DELETE FROM t WHERE id % 5 = 0;
VACUUM t;
SELECT * FROM pg_temp.compare('t', 'l2_normalize(v)::vector(8) <#> %s', ARRAY(SELECT v FROM q));
SELECT * FROM pg_temp.compare('t', 'a::vector(8) <-> %s', ARRAY(SELECT v FROM q));
REINDEX TABLE t;
SELECT * FROM pg_temp.compare('t', 'l2_normalize(v)::vector(8) <#> %s', ARRAY(SELECT v FROM q));
SELECT * FROM pg_temp.compare('t', 'a::vector(8) <-> %s', ARRAY(SELECT v FROM q));
DROP TABLE t;

-- ---- partitioned ----

CREATE TABLE t (id int, category int, v vector(8)) PARTITION BY LIST (category);
CREATE TABLE t_0 PARTITION OF t FOR VALUES IN (0);
CREATE TABLE t_1 PARTITION OF t FOR VALUES IN (1);
INSERT INTO t SELECT id, id % 2, v FROM pg_temp.vectors(400, 8);
CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 5);
CREATE TABLE t_2 PARTITION OF t FOR VALUES IN (2);
CREATE TABLE t_other (category int, id int, v vector(8));
INSERT INTO t_other SELECT id % 2 + 3, id, v FROM pg_temp.vectors(200, 8, 401);
ALTER TABLE t ATTACH PARTITION t_other DEFAULT;
INSERT INTO t SELECT id, id % 5, v FROM pg_temp.vectors(500, 8, 601);
-- each partition has its index, made with the options of the whole
SELECT i.inhrelid::regclass AS index, lists, rows
    FROM pg_inherits i, quantvec_index_info(i.inhrelid::regclass) WHERE inhparent = 't_v'::regclass
    ORDER BY 1::text COLLATE "C";
-- the order is kept over all of them, and one of them can be asked alone
SELECT * FROM pg_temp.judge('t');
SELECT * FROM pg_temp.judge('t', 10);
SELECT * FROM pg_temp.judge('t WHERE category = 1', 10);
SET enable_seqscan = off;
SET enable_sort = off;
SELECT pg_temp.explain($$ SELECT id FROM t ORDER BY v <-> '[1,2,3,4,5,6,7,8]' LIMIT 3 $$) AS plan;
UPDATE t SET category = 1 WHERE category = 0 AND id < 100;
ALTER TABLE t DETACH PARTITION t_0;
SELECT * FROM pg_temp.judge('t');
SELECT * FROM pg_temp.judge('t_0');
RESET enable_seqscan;
RESET enable_sort;
DROP TABLE t, t_0;

-- ---- rows that move under the index ----

-- An update of a column that has no index leaves the row's entry where it is: the version that the snapshot sees is
-- found through it.
CREATE TABLE t (id int, n int, v vector(8)) WITH (fillfactor = 20, autovacuum_enabled = off);
INSERT INTO t SELECT id, 0, v FROM pg_temp.vectors(300, 8);
CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 10);
UPDATE t SET n = 1;
UPDATE t SET n = 2 WHERE id % 2 = 0;
SELECT rows FROM quantvec_index_info('t_v');
SELECT * FROM pg_temp.judge('t');
SELECT * FROM pg_temp.judge('t WHERE n = 2');
VACUUM t;
SELECT rows, dead_share FROM quantvec_index_info('t_v');
SELECT * FROM pg_temp.judge('t WHERE n = 2');
-- built when the chain is there already
UPDATE t SET n = 3;
REINDEX INDEX t_v;
SELECT rows FROM quantvec_index_info('t_v');
SELECT * FROM pg_temp.judge('t WHERE n = 3');
-- an update that fails leaves what was
BEGIN;
UPDATE t SET n = 4;
UPDATE t SET v = '[0,0,0,0,0,0,0,0]';
SELECT * FROM pg_temp.judge('t WHERE n = 4');
ROLLBACK;
SELECT * FROM pg_temp.judge('t WHERE n = 3');
-- one updated in the transaction that reads it, again and again
BEGIN;
UPDATE t SET v = l2_normalize(v) WHERE id <= 100;
UPDATE t SET n = 5 WHERE id <= 50;
UPDATE t SET v = l2_normalize(v) WHERE id <= 100;
DELETE FROM t WHERE id <= 10;
SELECT * FROM pg_temp.judge('t');
COMMIT;
SELECT * FROM pg_temp.judge('t');

-- ---- a cursor keeps what its snapshot saw ----

-- the ids that are left in a cursor
CREATE FUNCTION pg_temp.rest_of(c refcursor) RETURNS int[] LANGUAGE plpgsql AS $$
DECLARE
    id int;
    ids int[];
BEGIN
    LOOP
        FETCH c INTO id;
        EXIT WHEN NOT FOUND;
        ids := ids || id;
    END LOOP;
    RETURN ids;
END
$$;
CREATE FUNCTION pg_temp.exact() RETURNS int[] LANGUAGE sql SET enable_indexscan = off AS
    $$ SELECT array_agg(id ORDER BY v <-> '[1,1,1,1,1,1,1,1]') FROM t $$;
SET enable_seqscan = off;
SET enable_sort = off;
-- rows deleted, inserted and updated by the transaction of the cursor
BEGIN;
SELECT pg_temp.exact() AS before \gset
DECLARE c CURSOR FOR SELECT id FROM t ORDER BY v <-> '[1,1,1,1,1,1,1,1]';
MOVE FORWARD 3 IN c;
DELETE FROM t WHERE id % 2 = 0;
INSERT INTO t SELECT id, 0, v FROM pg_temp.vectors(100, 8, 5001);
UPDATE t SET v = '[1,1,1,1,1,1,1,1]' WHERE id = 21;
SELECT rest = (:'before'::int[])[4:] AS same, cardinality(rest) FROM pg_temp.rest_of('c') rest;
SELECT id FROM t ORDER BY v <-> '[1,1,1,1,1,1,1,1]' LIMIT 1;
COMMIT;
-- one that outlives its transaction, and the rows
SELECT pg_temp.exact() AS before \gset
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY v <-> '[1,1,1,1,1,1,1,1]';
MOVE FORWARD 1 IN c;
COMMIT;
DELETE FROM t WHERE id % 3 = 0;
VACUUM t;
SELECT rest = (:'before'::int[])[2:] AS same, cardinality(rest) FROM pg_temp.rest_of('c') rest;
CLOSE c;
RESET enable_seqscan;
RESET enable_sort;
SELECT * FROM pg_temp.judge('t');
DROP TABLE t, q;
