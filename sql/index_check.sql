-- quantvec_check(): sound indexes of all kinds pass, with what they should hold; who may ask, and what is refused.
-- That damage is found is tested in test/t/009_check.pl.

\getenv srcdir PG_ABS_SRCDIR
\set compare :srcdir /sql/include/compare.sql
\set ECHO none
\i :compare
SET client_min_messages = warning;

-- ---- every code, metric and shape ----

CREATE TEMPORARY TABLE source (dim int, id int, v vector);
INSERT INTO source SELECT dim, s.* FROM (VALUES (3, 700), (100, 700), (1100, 170), (24, 6100), (16000, 8)) shape (dim, n),
    pg_temp.vectors(n, dim) s;
-- A table with NULLs and zero vectors, its index filled by a build, then by inserts, with deleted rows.
-- Returns the checks that are not as expected.
CREATE FUNCTION pg_temp.try(dim int, rows int, with_options text, opclass text) RETURNS TABLE (what text, got text)
LANGUAGE plpgsql AS $$
DECLARE
    step text;
    found record;
    expected bigint;
    code text := format('%s, %s dimensions, %s rows, %s', with_options, dim, rows, opclass);
BEGIN
    CREATE TEMPORARY TABLE tried (id int, v vector) WITH (autovacuum_enabled = off);
    EXECUTE format('ALTER TABLE tried ALTER v TYPE vector(%s)', dim);
    INSERT INTO tried SELECT s.id, s.v FROM source s WHERE s.dim = try.dim AND s.id <= rows;
    EXECUTE format('CREATE INDEX tried_v ON tried USING quantvec (v %s) WITH (%s)', opclass, with_options);
    FOREACH step IN ARRAY ARRAY['build', 'NULL and zero', 'insert', 'delete', 'insert again', 'empty'] LOOP
        CASE step
            WHEN 'NULL and zero' THEN INSERT INTO tried VALUES (0, NULL), (0, array_fill(0, ARRAY[dim])::vector);
            WHEN 'insert' THEN INSERT INTO tried SELECT s.id, s.v FROM source s WHERE s.dim = try.dim AND s.id - rows BETWEEN 1 AND 60;
            WHEN 'delete' THEN DELETE FROM tried WHERE id % 3 = 1;
            WHEN 'insert again' THEN INSERT INTO tried SELECT s.id, s.v FROM source s WHERE s.dim = try.dim AND s.id > rows + 60;
            WHEN 'empty' THEN DELETE FROM tried;
            ELSE
        END CASE;
        SELECT * INTO found FROM quantvec_check('tried_v', true);
        -- a row without length is not indexed under cosine
        SELECT count(*) INTO expected FROM tried WHERE v IS NOT NULL AND (opclass <> 'vector_cosine_ops' OR v <=> v <> 'NaN');
        IF found.table_rows_checked <> expected OR found.live_rows < expected OR found.leaked_pages <> 0
           OR found.dead_slots <> 0 OR found.blocks * 32 < found.live_rows
           OR found.pages <> pg_relation_size('tried_v') / current_setting('block_size')::int THEN
            what := code || ', ' || step;
            got := found::text || ', expected rows: ' || expected;
            RETURN NEXT;
        END IF;
        IF (SELECT (c.lists, c.pages, c.live_rows) IS DISTINCT FROM (found.lists, found.pages, found.live_rows)
                OR c.table_rows_checked IS NOT NULL FROM quantvec_check('tried_v') c) THEN
            what := code || ', ' || step;
            got := 'another answer without the table';
            RETURN NEXT;
        END IF;
    END LOOP;
    DROP TABLE tried;
END
$$;
-- dimensions and rows; 64 rows fill two blocks
SELECT count(*), string_agg(what || ': ' || got, E'\n') AS wrong
    FROM unnest(ARRAY['quantizer = bq, bits = 1', 'quantizer = bq, bits = 4', 'quantizer = bq, bits = 8',
                      'quantizer = sq8', 'quantizer = sq4', 'quantizer = sq4, levels = nf4',
                      'quantizer = sq4, levels = lloydmax', 'quantizer = pq', 'quantizer = pq, pq_bits = 4']) code,
         unnest(ARRAY['', ', lists = 3']) lists,
         (VALUES (3, 0), (3, 64), (100, 500), (1100, 70)) shape (dim, rows),
         unnest(ARRAY['vector_l2_ops', 'vector_ip_ops', 'vector_cosine_ops']) opclass,
         pg_temp.try(dim, rows, code || lists, opclass) t
    WHERE opclass = 'vector_l2_ops' OR dim = 3;
-- pq that has enough rows to be trained, one whose codes straddle pages, the largest dimension
SELECT what, got FROM unnest(ARRAY['quantizer = pq, lists = 4', 'quantizer = pq, lists = 4, pq_bits = 4, pq_m = 5']) code,
    pg_temp.try(24, 6000, code, 'vector_l2_ops');
SELECT what, got FROM unnest(ARRAY['bits = 4, lists = 2', 'quantizer = sq8']) code,
    pg_temp.try(16000, 5, code, 'vector_cosine_ops');
-- on another instruction set a code is the same
CREATE TABLE t (id int PRIMARY KEY, n int, v vector(100)) WITH (autovacuum_enabled = off, fillfactor = 80);
INSERT INTO t SELECT id, id % 10, v FROM pg_temp.vectors(3000, 100);
CREATE INDEX t_bq ON t USING quantvec (v) WITH (lists = 5);
CREATE INDEX t_sq8 ON t USING quantvec (v vector_cosine_ops) WITH (lists = 5, quantizer = sq8);
CREATE INDEX t_sq4 ON t USING quantvec (v vector_ip_ops) WITH (lists = 5, quantizer = sq4);
CREATE INDEX t_pq ON t USING quantvec (v) WITH (lists = 5, quantizer = pq);
SET quantvec.simd = scalar;
SELECT i, lists, leaked_pages, live_rows, table_rows_checked
    FROM unnest('{t_bq,t_sq8,t_sq4,t_pq}'::regclass[]) i, quantvec_check(i, true);
INSERT INTO t SELECT id, 0, v FROM pg_temp.vectors(100, 100, 3001);
RESET quantvec.simd;
SELECT i, lists, leaked_pages, live_rows, table_rows_checked
    FROM unnest('{t_bq,t_sq8,t_sq4,t_pq}'::regclass[]) i, quantvec_check(i, true);

-- ---- rows that come and go ----

-- in place: the entry is that of the chain's first row
UPDATE t SET n = n + 1 WHERE id % 7 = 1;
UPDATE t SET n = n + 1 WHERE id % 14 = 1;
UPDATE t SET v = l2_normalize(v) WHERE id % 11 = 2;
DELETE FROM t WHERE id % 5 = 3;
SELECT live_rows, dead_slots, table_rows_checked = (SELECT count(*) FROM t) AS all FROM quantvec_check('t_bq', true);
VACUUM t;
SELECT live_rows <= 3100 AS fewer, dead_slots > 0 AS dead, table_rows_checked = (SELECT count(*) FROM t) AS all
    FROM quantvec_check('t_bq', true);
-- those of an open transaction, and of one that failed
BEGIN;
INSERT INTO t SELECT id, 0, v FROM pg_temp.vectors(100, 100, 4001);
SELECT table_rows_checked = (SELECT count(*) FROM t) AS all FROM quantvec_check('t_sq8', true);
SAVEPOINT s;
DELETE FROM t;
SELECT table_rows_checked = (SELECT count(*) FROM t) AS all FROM quantvec_check('t_sq8', true);
ROLLBACK TO s;
ROLLBACK;
SELECT table_rows_checked = (SELECT count(*) FROM t) AS all FROM quantvec_check('t_sq8', true);
-- with an old snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) > 0 AS rows FROM t;
SELECT table_rows_checked = (SELECT count(*) FROM t) AS all FROM quantvec_check('t_pq', true);
COMMIT;
-- a chain that began before its index did
BEGIN;
UPDATE t SET n = n + 1 WHERE id % 3 = 0;
CREATE INDEX t_later ON t USING quantvec (v) WITH (quantizer = sq8);
SELECT table_rows_checked = (SELECT count(*) FROM t) AS all FROM quantvec_check('t_later', true);
COMMIT;
SELECT table_rows_checked = (SELECT count(*) FROM t) AS all FROM quantvec_check('t_later', true);
-- little memory: the table is compared in rounds
CREATE TABLE wide AS SELECT id, v::vector(3) FROM pg_temp.vectors(150000, 3);
CREATE INDEX wide_v ON wide USING quantvec (v) WITH (lists = 2, bits = 1);
SET maintenance_work_mem = '1MB';
SELECT lists, live_rows, table_rows_checked FROM quantvec_check('wide_v', true);
SELECT lists, live_rows, table_rows_checked FROM quantvec_check('wide_v');
RESET maintenance_work_mem;
DROP TABLE wide;
-- built again, also concurrently
REINDEX TABLE t;
REINDEX INDEX CONCURRENTLY t_bq;
VACUUM FULL t;
SELECT bool_and(table_rows_checked = (SELECT count(*) FROM t)) AS all
    FROM unnest('{t_bq,t_sq8,t_sq4,t_pq,t_later}'::regclass[]) i, quantvec_check(i, true) c;
TRUNCATE t;
SELECT * FROM quantvec_check('t_pq', true);

-- ---- kinds of indexes ----

-- partial, and of an expression
INSERT INTO t SELECT id, id % 10, v FROM pg_temp.vectors(500, 100);
CREATE INDEX t_partial ON t USING quantvec (v) WITH (lists = 3) WHERE n = 3;
CREATE INDEX t_expression ON t USING quantvec ((l2_normalize(v)::vector(100))) WITH (lists = 3) WHERE n < 7;
UPDATE t SET n = n + 1;
SELECT i, live_rows, table_rows_checked FROM unnest('{t_partial,t_expression}'::regclass[]) i, quantvec_check(i, true);
VACUUM t;
SELECT i, live_rows, table_rows_checked FROM unnest('{t_partial,t_expression}'::regclass[]) i, quantvec_check(i, true);
-- an index is checked with the rights of its owner: what it evaluates does not run as the caller
CREATE ROLE regress_check_owner;
CREATE TABLE theirs (v vector(2));
INSERT INTO theirs VALUES ('[1,2]'), ('[3,4]');
CREATE FUNCTION who(v vector) RETURNS vector IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    RAISE WARNING 'evaluated as %', CASE current_user WHEN 'regress_check_owner' THEN 'owner' ELSE 'caller' END;
    RETURN v;
END $$;
ALTER TABLE theirs OWNER TO regress_check_owner;
CREATE INDEX theirs_v ON theirs USING quantvec ((who(v)::vector(2)));
SELECT * FROM quantvec_check('theirs_v', true);
SELECT current_user = session_user AS same;
-- unlogged, temporary
CREATE UNLOGGED TABLE u (v vector(8));
CREATE INDEX u_v ON u USING quantvec (v) WITH (quantizer = pq);
INSERT INTO u SELECT v FROM pg_temp.vectors(100, 8);
SELECT * FROM quantvec_check('u_v', true);
CREATE TEMPORARY TABLE x (v vector(8));
CREATE INDEX x_v ON x USING quantvec (v);
INSERT INTO x SELECT v FROM pg_temp.vectors(100, 8);
SELECT * FROM quantvec_check('x_v', true);
-- rows whose squares are beyond the float range have infinite errors
CREATE TABLE huge (v vector(2));
INSERT INTO huge VALUES ('[1e30,1]'), ('[1,-1e38]'), ('[3e38,3e38]'), ('[1,2]'), ('[1e-40,0]');
CREATE INDEX huge_l2 ON huge USING quantvec (v);
CREATE INDEX huge_ip ON huge USING quantvec (v vector_ip_ops) WITH (quantizer = sq8);
CREATE INDEX huge_cosine ON huge USING quantvec (v vector_cosine_ops) WITH (quantizer = sq4, lists = 2);
INSERT INTO huge SELECT v FROM huge;
SELECT i, live_rows, table_rows_checked FROM unnest('{huge_l2,huge_ip,huge_cosine}'::regclass[]) i, quantvec_check(i, true);
SELECT quantvec_check(NULL) IS NULL AS null, quantvec_check('huge_l2', NULL) IS NULL AS null;

-- ---- refused ----

-- owners and superusers only
CREATE ROLE regress_check_reader;
GRANT SELECT ON t, theirs TO regress_check_reader;
SET ROLE regress_check_reader;
SELECT * FROM quantvec_check('t_bq');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM quantvec_check('theirs_v', true);
RESET ROLE;
SET ROLE regress_check_owner;
SELECT * FROM quantvec_check('theirs_v');
RESET ROLE;
-- no index, no quantvec index, none at all
SELECT * FROM quantvec_check('t');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM quantvec_check('t_pkey', true);
SELECT * FROM quantvec_check(0);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM quantvec_check('no_such_index');
-- a partitioned one
CREATE TABLE p (id int, v vector(3)) PARTITION BY LIST (id);
CREATE TABLE p_1 PARTITION OF p FOR VALUES IN (1);
CREATE INDEX p_v ON p USING quantvec (v);
SELECT * FROM quantvec_check('p_v');
\echo :LAST_ERROR_SQLSTATE
SELECT lists, live_rows FROM quantvec_check('p_1_v_idx');
-- one whose build failed
INSERT INTO p_1 SELECT 1, NULL;
CREATE FUNCTION fails(v vector) RETURNS vector IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
CREATE INDEX CONCURRENTLY p_bad ON p_1 USING quantvec ((fails(v)::vector(3)));
SELECT * FROM quantvec_check('p_bad', true);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM quantvec_index_info('p_bad');
\echo :LAST_ERROR_SQLSTATE
-- one whose column has lost its dimensions
CREATE TABLE loose (v vector(3));
SET client_min_messages = warning;
CREATE INDEX loose_v ON loose USING quantvec (v);
RESET client_min_messages;
INSERT INTO loose SELECT ARRAY[i, 2, 3]::vector FROM generate_series(1, 10) i;
ALTER TABLE loose ALTER v TYPE vector;
SELECT live_rows, table_rows_checked FROM quantvec_check('loose_v', true);
DROP TABLE loose;
-- no check shows as one that goes on
SELECT count(*) FROM pg_stat_progress_create_index WHERE pid = pg_backend_pid();

DROP TABLE t, theirs, u, x, huge, p;
DROP FUNCTION who, fails;
DROP ROLE regress_check_owner, regress_check_reader;
