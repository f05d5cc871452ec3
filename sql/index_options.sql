-- Index options and settings: values, defaults, bounds, and what each does.

CREATE TABLE t (id int, v vector(3));
INSERT INTO t SELECT i, ARRAY[sin(i), cos(i), i / 2000.0]::vector FROM generate_series(1, 2000) i;

-- ---- index options ----

-- Without options an index of few rows has one list, and says so.
CREATE INDEX t_v ON t USING quantvec (v);
SELECT quantizer, bits, metric, dim, trained, lists, rows FROM quantvec_index_info('t_v');
DROP INDEX t_v;

-- every quantizer and number of bits
CREATE INDEX t_v ON t USING quantvec (v) WITH (quantizer = 'bq', bits = 1, lists = 10);
SELECT quantizer, bits, metric, dim, trained, lists, rows FROM quantvec_index_info('t_v');
DROP INDEX t_v;
CREATE INDEX t_v ON t USING quantvec (v vector_ip_ops) WITH (bits = 8, lists = 10);
SELECT quantizer, bits, metric, dim, trained, lists, rows FROM quantvec_index_info('t_v');
DROP INDEX t_v;
CREATE INDEX t_v ON t USING quantvec (v vector_cosine_ops) WITH (quantizer = sq8, lists = 10);
SELECT quantizer, bits, metric, dim, trained, lists, rows FROM quantvec_index_info('t_v');
DROP INDEX t_v;

-- one list is an answer too: nothing is said
CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 1);
SELECT trained, lists FROM quantvec_index_info('t_v');
DROP INDEX t_v;

-- an option of one quantizer is refused with another, which would take no notice of it
CREATE INDEX t_v ON t USING quantvec (v) WITH (quantizer = sq8, bits = 2, lists = 1);
\echo :LAST_ERROR_SQLSTATE
CREATE INDEX t_v ON t USING quantvec (v) WITH (pq_m = 1);
CREATE INDEX t_v ON t USING quantvec (v) WITH (pq_bits = 8, quantizer = sq4);
CREATE INDEX t_v ON t USING quantvec (v) WITH (levels = uniform);
-- every one with its own
CREATE INDEX t_v ON t USING quantvec (v) WITH (bits = 2, lists = 1, probes = 1);
ALTER INDEX t_v SET (quantizer = sq8);
ALTER INDEX t_v SET (levels = nf4);
SELECT reloptions FROM pg_class WHERE relname = 't_v';
-- both steps at once
ALTER INDEX t_v RESET (bits), SET (quantizer = sq4, levels = nf4);
SELECT reloptions FROM pg_class WHERE relname = 't_v';
ALTER INDEX t_v RESET (quantizer);
ALTER INDEX t_v RESET (quantizer, levels), SET (bits = 3);
SELECT reloptions FROM pg_class WHERE relname = 't_v';
DROP INDEX t_v;
-- an index that has one from elsewhere is used as it is; only a change has to put that right
CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 1);
UPDATE pg_class SET reloptions = '{lists=1,pq_m=2}' WHERE relname = 't_v';
REINDEX INDEX t_v;
REINDEX INDEX CONCURRENTLY t_v;
SELECT quantizer, bits FROM quantvec_index_info('t_v');
ALTER INDEX t_v SET (probes = 1);
ALTER INDEX t_v RESET (pq_m), SET (probes = 1);
SELECT reloptions FROM pg_class WHERE relname = 't_v';
DROP INDEX t_v;

-- more lists than rows: as many as there are rows
CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 1000000);
SELECT trained, lists, rows, longest_list BETWEEN 1 AND 20 AS short_lists FROM quantvec_index_info('t_v');
DROP INDEX t_v;
-- no rows: one list for now, and the number that was asked for when it is built again
CREATE TABLE filled_later (v vector(2));
CREATE INDEX filled_later_v ON filled_later USING quantvec (v) WITH (lists = 12);
INSERT INTO filled_later SELECT ARRAY[i, i % 7]::vector FROM generate_series(1, 100) i;
SELECT trained, lists, rows FROM quantvec_index_info('filled_later_v');
REINDEX INDEX filled_later_v;
SELECT trained, lists, rows FROM quantvec_index_info('filled_later_v');
DROP TABLE filled_later;
-- rows, but none that can be indexed
CREATE TABLE zeros AS SELECT '[0,0]'::vector(2) AS v FROM generate_series(1, 100);
CREATE INDEX zeros_v ON zeros USING quantvec (v vector_cosine_ops) WITH (lists = 10);
SELECT trained, lists, rows FROM quantvec_index_info('zeros_v');
DROP TABLE zeros;
-- rows that are all the same have lists of their own all the same
CREATE TABLE same AS SELECT '[1,2,3]'::vector(3) AS v FROM generate_series(1, 100);
CREATE INDEX same_v ON same USING quantvec (v) WITH (lists = 10);
SELECT trained, lists, rows FROM quantvec_index_info('same_v');
SET enable_seqscan = off;
SELECT count(*), min(d), max(d) FROM (SELECT v <-> '[1,2,3]' AS d FROM same ORDER BY v <-> '[1,2,3]' LIMIT 200) s;
RESET enable_seqscan;
DROP TABLE same;

-- bounds and names
CREATE INDEX ON t USING quantvec (v) WITH (quantizer = 'pq4');
\echo :LAST_ERROR_SQLSTATE
CREATE INDEX ON t USING quantvec (v) WITH (quantizer = '');
CREATE INDEX ON t USING quantvec (v) WITH (bits = 0);
CREATE INDEX ON t USING quantvec (v) WITH (bits = 9);
CREATE INDEX ON t USING quantvec (v) WITH (bits = 'four');
CREATE INDEX ON t USING quantvec (v) WITH (lists = -1);
CREATE INDEX ON t USING quantvec (v) WITH (lists = 1000001);
CREATE INDEX ON t USING quantvec (v) WITH (probes = -1);
CREATE INDEX ON t USING quantvec (v) WITH (probes = 1000001);
CREATE INDEX ON t USING quantvec (v) WITH (list = 10);
\echo :LAST_ERROR_SQLSTATE
CREATE INDEX ON t USING quantvec (v) WITH (lists = 10, lists = 20);
CREATE INDEX ON t USING quantvec (v) WITH (fillfactor = 90);

-- The build stays within maintenance_work_mem. Lists that do not fit are refused, with the number that would do: a row
-- of 64 floats to sample, and a list with its sums, are 796 bytes; 4,000 of them 3.04 MB, which may be 0.9 of it.
CREATE TABLE wide (v vector(64));
INSERT INTO wide SELECT array_fill(i, ARRAY[64])::vector FROM generate_series(1, 4000) i;
SET maintenance_work_mem = '2MB';
CREATE INDEX wide_v ON wide USING quantvec (v) WITH (lists = 4000);
\echo :LAST_ERROR_SQLSTATE
SET maintenance_work_mem = '3MB';
CREATE INDEX wide_v ON wide USING quantvec (v) WITH (lists = 4000);
SET maintenance_work_mem = '4MB';
CREATE INDEX wide_v ON wide USING quantvec (v) WITH (lists = 4000);
SELECT lists FROM quantvec_index_info('wide_v');
DROP TABLE wide;
RESET maintenance_work_mem;

-- ---- probes ----

CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 100);
SET enable_seqscan = off;
CREATE FUNCTION pg_temp.lists_probed() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM * FROM t ORDER BY v <-> '[0,0,0.5]' LIMIT 1;
    RETURN (quantvec_last_scan()).lists;
END
$$;
-- automatic: ceil(3 * sqrt(lists))
SHOW quantvec.probes;
SELECT pg_temp.lists_probed();
-- the index option, changed without a rebuild
ALTER INDEX t_v SET (probes = 7);
SELECT pg_temp.lists_probed();
-- the setting goes first
SET quantvec.probes = 3;
SELECT pg_temp.lists_probed();
-- no more than there are
SET quantvec.probes = 1000;
SELECT pg_temp.lists_probed();
RESET quantvec.probes;
ALTER INDEX t_v SET (probes = 1000000);
SELECT pg_temp.lists_probed();
ALTER INDEX t_v RESET (probes);
SELECT pg_temp.lists_probed();
-- in a function's own settings
ALTER FUNCTION pg_temp.lists_probed SET quantvec.probes = 5;
SELECT pg_temp.lists_probed();
SHOW quantvec.probes;

-- What the index is made of stays until it is built again; the advice says so.
SELECT advice FROM quantvec_index_info('t_v');
ALTER INDEX t_v SET (quantizer = sq8, lists = 20);
SELECT quantizer, bits, lists, advice FROM quantvec_index_info('t_v');
REINDEX INDEX t_v;
SELECT quantizer, bits, lists, advice FROM quantvec_index_info('t_v');
ALTER INDEX t_v SET (bits = 17);
ALTER INDEX t_v RESET (quantizer), SET (lists = 0, bits = 2);
SELECT quantizer, bits, lists, advice FROM quantvec_index_info('t_v');
REINDEX INDEX t_v;
SELECT quantizer, bits, lists, advice FROM quantvec_index_info('t_v');
SELECT reloptions FROM pg_class WHERE relname = 't_v';
ALTER INDEX t_v SET (bits = 3);
SELECT advice FROM quantvec_index_info('t_v');
-- what was asked for and is not to be had yet is no change: codewords of so few rows, more lists than rows
DROP INDEX t_v;
CREATE INDEX t_v ON t USING quantvec (v) WITH (quantizer = pq, lists = 10);
SELECT quantizer, lists, advice FROM quantvec_index_info('t_v');
DROP INDEX t_v;
CREATE INDEX t_v ON t USING quantvec (v) WITH (quantizer = pq, pq_bits = 4, lists = 100000);
SELECT quantizer, lists, advice FROM quantvec_index_info('t_v');
ALTER INDEX t_v SET (pq_m = 2);
SELECT advice FROM quantvec_index_info('t_v');
ALTER INDEX t_v RESET (pq_m), SET (pq_bits = 8);
SELECT advice FROM quantvec_index_info('t_v');
ALTER INDEX t_v SET (pq_bits = 4);
SELECT advice FROM quantvec_index_info('t_v');

-- ---- settings ----

-- names, defaults and bounds
SELECT name, unit, context, vartype, min_val, max_val, enumvals, boot_val
    FROM pg_settings WHERE name LIKE 'quantvec.%' ORDER BY name COLLATE "C";
SET quantvec.probes = -1;
\echo :LAST_ERROR_SQLSTATE
SET quantvec.probes = 1000001;
SET quantvec.probes = 'many';
SET quantvec.epsilon = -0.5;
SET quantvec.epsilon = 101;
SET quantvec.rerank = 'perhaps';
SET quantvec.rerank_candidates = -1;
SET quantvec.rerank_candidates = 100001;
SET quantvec.iterative_scan = 'on';
SET quantvec.max_scan_tuples = -2;
SET quantvec.simd = 'sse2';
-- the prefix is ours: no other name
SET quantvec.probe = 1;
\echo :LAST_ERROR_SQLSTATE
-- no limit is -1 or 0
SELECT count(*) FROM (SELECT FROM t ORDER BY v <-> '[0,0,0.5]' LIMIT 10) s;
SET quantvec.max_scan_tuples = 0;
SELECT count(*) FROM (SELECT FROM t ORDER BY v <-> '[0,0,0.5]' LIMIT 10) s;
-- those that decide the answer are told with the plan
SET quantvec.probes = 100;
SET quantvec.epsilon = 3;
SET quantvec.rerank = off;
SET quantvec.rerank_candidates = 20;
SET quantvec.iterative_scan = relaxed_order;
CREATE FUNCTION pg_temp.told() RETURNS json LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
    EXECUTE 'EXPLAIN (SETTINGS, FORMAT JSON) SELECT id FROM t ORDER BY v <-> ''[0,0,0.5]'' LIMIT 10' INTO plan;
    RETURN plan->0->'Settings';
END $$;
SELECT s.* FROM pg_temp.told(), json_each_text(told) AS s WHERE key LIKE 'quantvec.%' ORDER BY key COLLATE "C";
RESET ALL;
-- for a transaction
BEGIN;
SET LOCAL quantvec.epsilon = 1.5;
SHOW quantvec.epsilon;
ROLLBACK;
SHOW quantvec.epsilon;

DROP TABLE t;
