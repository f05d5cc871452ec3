-- What versions of the server do in different ways: each test has the same output on all of them.

SET client_min_messages = warning;

CREATE FUNCTION pg_temp.version() RETURNS int LANGUAGE sql AS $$ SELECT current_setting('server_version_num')::int $$;
-- The SQLSTATE of a statement.
CREATE FUNCTION pg_temp.state_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN '00000';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;

-- ---- EXPLAIN counts the searches of an index, from version 18 on ----

CREATE TABLE t (id int, v vector(3));
INSERT INTO t SELECT i, ARRAY[i, i % 7, 1]::vector FROM generate_series(1, 200) i;
CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 3);
CREATE FUNCTION pg_temp.searches(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || statement LOOP
        IF line ~ 'Index Searches' THEN
            RETURN NEXT trim(line);
        END IF;
    END LOOP;
END
$$;
SET enable_seqscan = off;
SET enable_sort = off;
-- one a scan, however many lists it opens
SELECT array(SELECT pg_temp.searches($$ SELECT id FROM t ORDER BY v <-> '[1,2,3]' LIMIT 150 $$)) =
       CASE WHEN pg_temp.version() >= 180000 THEN '{Index Searches: 1}' ELSE '{}'::text[] END AS "one search";
SELECT array(SELECT pg_temp.searches($$ SELECT n.id FROM generate_series(1, 4) q,
                                        LATERAL (SELECT id FROM t ORDER BY v <-> ARRAY[q, 2, 3]::vector LIMIT 1) n $$)) =
       CASE WHEN pg_temp.version() >= 180000 THEN '{Index Searches: 4}' ELSE '{}'::text[] END AS "one a query";
RESET enable_seqscan;
RESET enable_sort;
DROP TABLE t;

-- ---- names, while an index is checked ----

-- A function of an index finds what it calls by search_path. From version 17 on, the server keeps this to pg_catalog
-- while it makes or mends an index, and so does a check, which runs the function as the owner.
CREATE SCHEMA helpers;
CREATE FUNCTION helpers.twice(v vector) RETURNS vector LANGUAGE sql IMMUTABLE AS
    $$ SELECT array_agg(2 * x ORDER BY n)::public.vector FROM unnest(v::real[]) WITH ORDINALITY u(x, n) $$;
SET search_path = public, helpers;
CREATE FUNCTION doubled(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN twice(v); END $$;
CREATE TABLE t (id int, v vector(3));
CREATE INDEX t_v ON t USING quantvec ((doubled(v)::vector(3)));
INSERT INTO t SELECT i, ARRAY[i, i % 7, 1]::vector FROM generate_series(1, 50) i;
SELECT pg_temp.state_of($$ SELECT quantvec_check('t_v', true) $$) =
       CASE WHEN pg_temp.version() >= 170000 THEN '42883' ELSE '00000' END AS "as the server does";
ALTER FUNCTION doubled SET search_path = public, helpers;
SELECT pg_temp.state_of($$ SELECT quantvec_check('t_v', true) $$);
SELECT pg_temp.state_of('REINDEX INDEX t_v');
DROP TABLE t;
DROP FUNCTION doubled;
DROP SCHEMA helpers CASCADE;
RESET search_path;
