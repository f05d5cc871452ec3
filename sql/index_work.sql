-- Golden counters: how much work builds, queries, inserts and VACUUM do, and how much of what exact search gives
-- queries find.
--
-- The numbers of expected/index_work.out are what the code does, not what it ought to do: a change of work shows there
-- as a diff, without any timing. Such a diff is no failure of correctness. The commit that brings it says why, and
-- which of the numbers the change was made for. What must hold whatever the numbers are has columns of its own:
-- `enough` says that recall is not below a floor, `sound` that the index is what its table says.
--
-- Sums over the queries of a line, from quantvec_last_scan():
--   lists      lists opened                        returned   rows that the index gave, before any condition
--   scanned    rows whose codes were read          late       of these, rows that came too late for the order
--   refined    rows whose further bits were read   revisited  blocks that were read again
--   reranked   rows whose vectors were read        recall     part of the rows of exact search that the query gave;
--                                                             of a cursor, part of all rows
--
-- The numbers are the same with every server, compiler and processor. Vectors are made of hashes by operations that
-- IEEE 754 defines, rows lie at the same places, a build is one process, and the kernels are those that every
-- processor runs. Other kernels round sums of floats elsewhere, so that now and then a row more or less is reranked;
-- they are compared with these at the end of the queries.

SET quantvec.simd = scalar;
SET max_parallel_maintenance_workers = 0;
SET max_parallel_workers_per_gather = 0;
SET maintenance_work_mem = '64MB';
SET jit = off;

-- 16 groups; the rows of a group differ less from one coordinate to the next
CREATE FUNCTION pg_temp.vectors(first int, last int) RETURNS TABLE (id int, v vector) LANGUAGE sql AS $$
    SELECT i, array_agg((hashint8extended(j, hashint8extended(i, 1) % 16)
                         + 16::float8 / (8 + j) * hashint8extended(j, 1000 + i)) / 9.3e18::float8 ORDER BY j)::vector
        FROM generate_series(first, last) i, generate_series(1, 64) j GROUP BY i ORDER BY i
$$;
CREATE TABLE t (id int, category int, v vector(64)) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT id, id % 50, v FROM pg_temp.vectors(1, 20000);

-- ---- builds: rows of the longest list, and pages by what they hold ----

CREATE INDEX t_l2 ON t USING quantvec (v vector_l2_ops) WITH (lists = 100);
CREATE INDEX t_cosine ON t USING quantvec (v vector_cosine_ops) WITH (quantizer = sq8);
CREATE INDEX t_ip ON t USING quantvec (v vector_ip_ops) WITH (quantizer = pq, lists = 60);
ANALYZE t;
CREATE FUNCTION pg_temp.state(OUT index regclass, OUT code text, OUT lists int, OUT rows bigint, OUT longest bigint,
                              OUT dead_share numeric, OUT model_pages bigint, OUT scan_pages bigint,
                              OUT refine_pages bigint, OUT free_pages bigint) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT i, quantizer || ' ' || bits, lists, rows, longest_list, round(dead_share::numeric, 3),
           meta_pages + model_pages + directory_pages, scan_pages, refine_pages, free_pages
        FROM unnest('{t_l2,t_cosine,t_ip}'::regclass[]) i, quantvec_index_info(i)
$$;
SELECT * FROM pg_temp.state();

-- ---- queries ----

CREATE TEMPORARY TABLE q AS SELECT id, v FROM pg_temp.vectors(1000001, 1000020);
CREATE TEMPORARY TABLE kinds (n int, kind text, condition text, most int, probes int, queries int, floor numeric);
INSERT INTO kinds VALUES
    (1, 'LIMIT 10', 'true', 10, 0, 20, 0.98),
    (2, 'LIMIT 100', 'true', 100, 0, 20, 0.98),
    (3, 'LIMIT 10, 50 probes', 'true', 10, 50, 20, 0.99),
    (4, 'LIMIT 10, 2 probes', 'true', 10, 2, 20, 0.85),
    (5, 'LIMIT 100, 2 probes', 'true', 100, 2, 20, 0.90),
    (6, 'LIMIT 10 of a fiftieth', 'category = 7', 10, 0, 20, 0.98),
    (7, 'a cursor to its end', 'true', NULL, 0, 5, 1);
CREATE TEMPORARY TABLE orders (operator text, index regclass);
INSERT INTO orders VALUES ('<->', 't_l2'), ('<=>', 't_cosine'), ('<#>', 't_ip');

-- what exact search gives
CREATE TEMPORARY TABLE exact (operator text, condition text, query int, ids int[]);
CREATE FUNCTION pg_temp.search_exactly() RETURNS bigint LANGUAGE plpgsql SET enable_indexscan = off AS $$
DECLARE
    search record;
BEGIN
    DELETE FROM exact;
    FOR search IN SELECT DISTINCT operator, condition FROM orders, kinds LOOP
        EXECUTE format('INSERT INTO exact SELECT %1$L, %2$L, q.id, '
                       'ARRAY(SELECT t.id FROM t WHERE %2$s ORDER BY t.v %1$s q.v LIMIT 100) FROM q',
                       search.operator, search.condition);
    END LOOP;
    RETURN (SELECT count(*) FROM exact);
END
$$;
SELECT pg_temp.search_exactly();

CREATE FUNCTION pg_temp.work(wanted kinds, sorted orders, OUT lists bigint, OUT scanned bigint, OUT refined bigint,
                             OUT reranked bigint, OUT returned bigint, OUT late bigint, OUT revisited bigint,
                             OUT recall numeric, OUT enough boolean)
    LANGUAGE plpgsql SET enable_seqscan = off SET enable_sort = off AS $$
DECLARE
    query record;
    statement text;
    rows refcursor;
    row_id int;
    given int[];
    scan record;
    hits bigint := 0;
    possible bigint := 0;
BEGIN
    lists := 0; scanned := 0; refined := 0; reranked := 0; returned := 0; late := 0; revisited := 0;
    PERFORM set_config('quantvec.probes', wanted.probes::text, true);
    FOR query IN SELECT * FROM q ORDER BY id LIMIT wanted.queries LOOP
        statement := format('SELECT id FROM t WHERE %s ORDER BY v %s %L', wanted.condition, sorted.operator, query.v);
        -- A scan without LIMIT guesses that it will give as many rows as the one before it: ten.
        EXECUTE statement || ' LIMIT 10';
        OPEN rows FOR EXECUTE statement || coalesce(' LIMIT ' || wanted.most, '');
        given := '{}';
        LOOP
            FETCH rows INTO row_id;
            EXIT WHEN NOT FOUND;
            given := given || row_id;
        END LOOP;
        CLOSE rows;
        SELECT * INTO scan FROM quantvec_last_scan();
        IF scan.index IS DISTINCT FROM sorted.index THEN
            RAISE EXCEPTION '% was not asked: %', sorted.index, statement;
        END IF;
        lists := lists + scan.lists;
        scanned := scanned + scan.scanned;
        refined := refined + scan.refined;
        reranked := reranked + scan.reranked;
        returned := returned + scan.returned;
        late := late + scan.late;
        revisited := revisited + scan.revisited;
        IF wanted.most IS NULL THEN
            hits := hits + (SELECT count(DISTINCT id) FROM unnest(given) id);
            possible := possible + (SELECT count(*) FROM t);
        ELSE
            hits := hits + (SELECT count(*) FROM exact e, unnest(e.ids[:wanted.most]) id
                            WHERE e.operator = sorted.operator AND e.condition = wanted.condition AND e.query = query.id
                                  AND id = ANY (given));
            possible := possible + wanted.most;
        END IF;
    END LOOP;
    recall := round(hits::numeric / possible, 3);
    enough := recall >= wanted.floor;
END
$$;
CREATE TEMPORARY TABLE golden AS SELECT n, kind, operator, w.* FROM kinds k, orders o, pg_temp.work(k, o) w;
\set columns 'kind, lists, scanned, refined, reranked, returned, late, revisited, recall, enough'
SELECT :columns FROM golden WHERE operator = '<->' ORDER BY n;
SELECT :columns FROM golden WHERE operator = '<=>' ORDER BY n;
SELECT :columns FROM golden WHERE operator = '<#>' ORDER BY n;

-- every other set of kernels that the processor runs: the sums that differ by more than five and a hundredth
CREATE FUNCTION pg_temp.differences() RETURNS TABLE (simd text, kind text, operator text, difference text)
    LANGUAGE plpgsql AS $$
BEGIN
    FOREACH simd IN ARRAY '{avx2,avx512,avx512vbmi,neon}'::text[] LOOP
        BEGIN
            PERFORM set_config('quantvec.simd', simd, true);
        EXCEPTION WHEN invalid_parameter_value THEN
            CONTINUE;
        END;
        RETURN QUERY SELECT simd, g.kind, g.operator, format('%s %s instead of %s', there, name, here)
            FROM golden g, kinds k, orders o, pg_temp.work(k, o) w,
                 unnest('{lists,scanned,refined,reranked,returned,revisited,recall}'::text[],
                        ARRAY[g.lists, g.scanned, g.refined, g.reranked, g.returned, g.revisited, 1000 * g.recall],
                        ARRAY[w.lists, w.scanned, w.refined, w.reranked, w.returned, w.revisited, 1000 * w.recall])
                     s (name, here, there)
            WHERE k.n = g.n AND o.operator = g.operator AND k.most = 10 AND abs(there - here) > 5 + 0.01 * here;
    END LOOP;
END
$$;
SELECT * FROM pg_temp.differences();

-- ---- inserts: new pages ----

INSERT INTO t SELECT id, id % 50, v FROM pg_temp.vectors(20001, 22000);
SELECT * FROM pg_temp.state();

-- ---- VACUUM ----

-- a tenth of the rows is gone: lists that have lost a little more are written anew, and leave free pages
DELETE FROM t WHERE id % 10 = 3;
VACUUM t;
SELECT * FROM pg_temp.state();
-- and half of all: a list is written anew if that gives pages back
DELETE FROM t WHERE id % 10 < 5;
VACUUM t;
SELECT * FROM pg_temp.state();
-- what is inserted takes the free pages
INSERT INTO t SELECT id, id % 50, v FROM pg_temp.vectors(22001, 24000);
SELECT * FROM pg_temp.state();
-- queries of what that has left
SELECT pg_temp.search_exactly();
SELECT operator, w.* FROM kinds k, orders o, pg_temp.work(k, o) w WHERE kind = 'LIMIT 100' ORDER BY index;

SELECT index, live_rows = (SELECT count(*) FROM t) AND live_rows = table_rows_checked AS sound, leaked_pages
    FROM orders, quantvec_check(index, true) ORDER BY index;
DROP TABLE t;
