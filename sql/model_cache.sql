-- What a session keeps of the indexes that it has used: no more than quantvec.model_cache_size, and nothing of an
-- index that is gone.

SET enable_seqscan = off;
SET jit = off;
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.models(OUT models bigint, OUT kb bigint) LANGUAGE sql AS
    $$ SELECT count(*), coalesce(sum(total_bytes), 0) / 1024 FROM pg_backend_memory_contexts WHERE name = 'quantvec model' $$;

-- ---- indexes that are gone ----

-- used and dropped, many times
DO $$
BEGIN
    FOR i IN 1 .. 50 LOOP
        CREATE TEMP TABLE z (v vector(768));
        INSERT INTO z SELECT array_fill(1::real, ARRAY[768])::vector FROM generate_series(1, 30);
        CREATE INDEX z_v ON z USING quantvec (v);
        PERFORM FROM z ORDER BY v <-> (SELECT v FROM z LIMIT 1) LIMIT 1;
        DROP TABLE z;
    END LOOP;
END $$;
SELECT models FROM pg_temp.models();

-- ---- partitions ----

CREATE TABLE p (id int, v vector(256)) PARTITION BY HASH (id);
SELECT format('CREATE TABLE p_%s PARTITION OF p FOR VALUES WITH (MODULUS 12, REMAINDER %s)', i, i) FROM generate_series(0, 11) i
\set ECHO none
\gexec
\set ECHO all
INSERT INTO p SELECT i, (SELECT array_agg(sin(i * j)::real) FROM generate_series(1, 256) j)::vector FROM generate_series(1, 600) i;
CREATE INDEX p_v ON p USING quantvec (v);
-- more than a size: all are there in a query, and at most that is left
CREATE FUNCTION pg_temp.ask() RETURNS TABLE (rows bigint, exact boolean) LANGUAGE sql AS $$
    SELECT count(*), array_agg(id) = (SELECT array_agg(id) FROM (SELECT id FROM p ORDER BY (v <-> q) + 0 LIMIT 10) e)
        FROM (SELECT id, q FROM p, (SELECT v AS q FROM p WHERE id = 7) q ORDER BY v <-> (SELECT v FROM p WHERE id = 7) LIMIT 10) s
        GROUP BY q $$;
SET quantvec.model_cache_size = '1GB';
SELECT * FROM pg_temp.ask();
SELECT models FROM pg_temp.models();
SET quantvec.model_cache_size = '64kB';
SELECT * FROM pg_temp.ask();
SELECT models BETWEEN 2 AND 11 AS some, kb <= 64 AS kept FROM pg_temp.models();
-- none at all: that of the last index stays
SET quantvec.model_cache_size = 0;
SELECT * FROM pg_temp.ask();
SELECT models FROM pg_temp.models();
SELECT count(*) FROM (SELECT FROM p_3 ORDER BY v <-> (SELECT v FROM p WHERE id = 7) LIMIT 1) s;
SELECT models FROM pg_temp.models();
-- one at a time
RESET quantvec.model_cache_size;
SELECT count(*) FROM (SELECT FROM p_4 ORDER BY v <-> (SELECT v FROM p WHERE id = 7) LIMIT 1) s;
SELECT models FROM pg_temp.models();

-- ---- indexes that have another file ----

SET quantvec.model_cache_size = '1GB';
SELECT * FROM pg_temp.ask();
REINDEX INDEX p_1_v_idx;
SELECT models FROM pg_temp.models();
TRUNCATE p_2;
SELECT models FROM pg_temp.models();
ALTER TABLE p DETACH PARTITION p_3;
DROP TABLE p_3;
SELECT models FROM pg_temp.models();

-- ---- one in use ----

-- What a cursor needs is there until it is closed, whatever is said of its index meanwhile.
SELECT * FROM pg_temp.ask();
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM p_5 ORDER BY v <-> (SELECT v FROM p WHERE id = 7);
MOVE 1 FROM c;
SELECT models FROM pg_temp.models();
ALTER INDEX p_5_v_idx RENAME TO p_5_other;
SELECT models FROM pg_temp.models();
MOVE ALL FROM c;
CLOSE c;
SELECT models FROM pg_temp.models();
COMMIT;

-- in a subtransaction that fails
SELECT * FROM pg_temp.ask();
DO $$
BEGIN
    PERFORM 1 / (id - id) FROM p ORDER BY v <-> (SELECT v FROM p WHERE id = 7) LIMIT 1;
EXCEPTION WHEN division_by_zero THEN
    SET quantvec.model_cache_size = 0;
END $$;
SELECT * FROM pg_temp.ask();
SELECT models FROM pg_temp.models();
DROP TABLE p;
SELECT models FROM pg_temp.models();
