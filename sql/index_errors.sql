-- What is refused, and in which words; and what lies at the edge of what is not.

\getenv srcdir PG_ABS_SRCDIR
\set compare :srcdir /sql/include/compare.sql
\set ECHO none
\i :compare

-- ---- CREATE INDEX ----

-- the number of dimensions must be known
CREATE TABLE t (id int, v vector(3), w vector, x real[], y text);
CREATE INDEX ON t USING quantvec (w);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO t VALUES (1, '[1,2,3]', '[1,2,3]', '{1,2,3}', 'x');
CREATE INDEX ON t USING quantvec (w);
CREATE INDEX ON t USING quantvec ((l2_normalize(v)));
-- one column, in no order, not unique, nothing beside it
CREATE INDEX ON t USING quantvec (v, v);
\echo :LAST_ERROR_SQLSTATE
CREATE INDEX ON t USING quantvec (v) INCLUDE (id);
CREATE UNIQUE INDEX ON t USING quantvec (v);
CREATE INDEX ON t USING quantvec (v DESC);
CREATE INDEX ON t USING quantvec (v NULLS FIRST);
\set VERBOSITY sqlstate
ALTER TABLE t ADD EXCLUDE USING quantvec (v WITH =);
\set VERBOSITY default
-- vectors only
CREATE INDEX ON t USING quantvec (id);
\echo :LAST_ERROR_SQLSTATE
CREATE INDEX ON t USING quantvec (x);
CREATE INDEX ON t USING quantvec (x vector_l2_ops);
CREATE INDEX ON t USING quantvec (v vector_ops);
CREATE INDEX ON t USING quantvec (v vector_l1_ops);
CREATE INDEX ON t USING hash (v vector_l2_ops);
-- a failed build leaves nothing behind
SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass;
-- a row of another dimension among the rows of an expression
INSERT INTO t VALUES (2, '[1,2,3]', '[1,2]', '{1,2}', 'y');
CREATE INDEX ON t USING quantvec ((w::vector(3)));
\echo :LAST_ERROR_SQLSTATE
CREATE INDEX ON t USING quantvec ((w::vector(3))) WHERE id = 1;
INSERT INTO t VALUES (1, NULL, '[1]', NULL, NULL);
\echo :LAST_ERROR_SQLSTATE
DROP TABLE t;

-- ---- queries ----

CREATE TABLE t (id int, v vector(3));
INSERT INTO t VALUES (1, '[1,0,0]'), (2, '[0,2,0]'), (3, '[0,0,3]'), (4, '[-1,-1,-1]'), (5, '[0,0,0]'), (6, NULL);
CREATE INDEX t_l2 ON t USING quantvec (v vector_l2_ops) WITH (lists = 2);
CREATE INDEX t_ip ON t USING quantvec (v vector_ip_ops) WITH (lists = 2);
CREATE INDEX t_cosine ON t USING quantvec (v vector_cosine_ops) WITH (lists = 2);
SET enable_seqscan = off;
SET enable_sort = off;
SET quantvec.probes = 2;
SET quantvec.epsilon = 6;

-- another dimension
SELECT pg_temp.explain($$ SELECT id FROM t ORDER BY v <-> '[1,2]' $$) AS plan;
SELECT id FROM t ORDER BY v <-> '[1,2]';
\echo :LAST_ERROR_SQLSTATE
SELECT id FROM t ORDER BY v <#> '[1,2,3,4]' LIMIT 1;
SELECT id FROM t ORDER BY v <=> '[1]' LIMIT 1;
-- also when the query is not known to the planner, and when no row would be found
SELECT id FROM t ORDER BY v <-> (SELECT '[1,2]'::vector) LIMIT 1;
SELECT id FROM t WHERE id = 17 ORDER BY v <-> '[1,2]' LIMIT 1;

-- NULL: no distance, so any order; the rows in the index are there
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM t ORDER BY v <-> (SELECT NULL::vector)) s;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM t ORDER BY v <=> (SELECT NULL::vector) LIMIT 2) s;
-- a query without direction under cosine: the same
SELECT pg_temp.explain($$ SELECT id FROM t ORDER BY v <=> '[0,0,0]' $$) AS plan;
SELECT count(*), count(DISTINCT id), count(*) FILTER (WHERE d = 'NaN') AS nan
    FROM (SELECT id, v <=> '[0,0,0]' AS d FROM t ORDER BY v <=> '[0,0,0]') s;
-- A row without direction, and one whose squared length is no float, is not in a cosine index: its distance is NaN. It
-- has its place in the others.
INSERT INTO t VALUES (7, '[-0,0,0]'), (8, '[0,0,1e-30]'), (9, '[0,1e30,0]');
SELECT index, rows, (SELECT count(v) FROM t WHERE index <> 't_cosine' OR v <=> v <> 'NaN') AS expected
    FROM unnest('{t_l2,t_ip,t_cosine}'::text[]) index, quantvec_index_info(index::regclass);
SELECT id, v <=> '[2,1,0]' AS distance FROM t ORDER BY v <=> '[2,1,0]';
SELECT min(id) AS id, count(*), distance FROM (SELECT id, v <-> '[1,0,0]' AS distance FROM t ORDER BY v <-> '[1,0,0]') s
    GROUP BY distance ORDER BY distance;
SELECT id, v <#> '[1,2,3]' AS distance FROM (SELECT id, v FROM t ORDER BY v <#> '[1,2,3]') s WHERE id NOT IN (5, 7);

-- without ORDER BY, in the other direction, or by another operator the index is of no use
RESET enable_seqscan;
RESET enable_sort;
SET enable_seqscan = off;
SELECT pg_temp.explain($$ SELECT id FROM t $$) AS plan;
SELECT pg_temp.explain($$ SELECT id FROM t WHERE v = '[1,2,3]' $$) AS plan;
SELECT pg_temp.explain($$ SELECT id FROM t WHERE v <-> '[1,2,3]' < 1 $$) AS plan;
SELECT pg_temp.explain($$ SELECT id FROM t ORDER BY v $$) AS plan;
SELECT pg_temp.explain($$ SELECT id FROM t ORDER BY v <-> '[1,2,3]' DESC $$) AS plan;
SELECT pg_temp.explain($$ SELECT id FROM t ORDER BY v <+> '[1,2,3]' $$) AS plan;
SELECT pg_temp.explain($$ SELECT count(*) FROM t $$) AS plan;
-- constant first is the same
SELECT pg_temp.explain($$ SELECT id FROM t ORDER BY '[1,2,3]' <-> v LIMIT 1 $$) AS plan;
SELECT id FROM t ORDER BY '[0,2,1]' <-> v LIMIT 1;
-- two vectors of a row have no index
SELECT pg_temp.explain($$ SELECT id FROM t ORDER BY v <-> v LIMIT 1 $$) AS plan;

-- a cursor goes forward only, unless it keeps its rows
BEGIN;
DECLARE c NO SCROLL CURSOR FOR SELECT id FROM t ORDER BY v <-> '[-1,-1,3]';
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT pg_temp.explain($$ DECLARE c SCROLL CURSOR FOR SELECT id FROM t ORDER BY v <-> '[-1,-1,3]' $$) AS plan;
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM t ORDER BY v <-> '[1,0.1,1.6]';
FETCH 3 FROM c;
FETCH BACKWARD 1 FROM c;
FETCH ABSOLUTE 1 FROM c;
FETCH RELATIVE 2 FROM c;
ROLLBACK;
RESET enable_seqscan;
DROP TABLE t;

-- ---- values at the ends of the float range ----

CREATE TABLE t (id int, v vector(3));
INSERT INTO t SELECT * FROM pg_temp.vectors(40, 3);
INSERT INTO t VALUES (101, '[1e30,0,0]'), (102, '[0,-1e30,1]'), (103, '[3e38,3e38,3e38]'), (104, '[-3e38,1,1]'),
                     (105, '[1e-30,0,0]'), (106, '[1e-45,1e-45,0]'), (107, '[1e19,0,0]'), (108, '[1e20,1e20,0]'),
                     (109, '[0,0,0]'), (110, '[1e10,0,1]');
CREATE TABLE q (v vector(3));
INSERT INTO q VALUES ('[1,2,3]'), ('[1e10,1,1]'), ('[1e-15,1e-16,0]'), ('[1e-30,0,0]'), ('[0,0,0]'),
                     ('[1e19,0,0]'), ('[1e30,0,0]'), ('[3e38,0,0]'), ('[-3e38,3e38,1]');
CREATE FUNCTION pg_temp.judge(options text, class text, operator text, asks vector[])
    RETURNS TABLE (lists int, rows bigint, wrong bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR lists IN VALUES (1), (5) LOOP
        EXECUTE format('CREATE INDEX t_v ON t USING quantvec (v vector_%s_ops) WITH (lists = %s, %s)',
                       class, lists, options);
        SELECT c.rows, c.wrong INTO rows, wrong
            FROM pg_temp.compare(format('t WHERE v <=> v <> ''NaN'' OR %L <> ''cosine''', class),
                                 format('v %s %%s', operator), asks) c;
        DROP INDEX t_v;
        RETURN NEXT;
    END LOOP;
END
$$;
SET quantvec.probes = 5;
-- L2: every query, every row, those at an infinite distance last
SELECT code, j.* FROM unnest('{bits = 1,bits = 4,quantizer = sq8}'::text[]) code,
                      pg_temp.judge(code, 'l2', '<->', ARRAY(SELECT v FROM q)) j ORDER BY code, lists;
-- inner product and cosine: those whose squared length is an ordinary number (a zero query has any order, by both)
SELECT class, code, j.* FROM (VALUES ('ip', '<#>'), ('cosine', '<=>')) o(class, operator),
                             unnest('{bits = 1,bits = 4,quantizer = sq8}'::text[]) code,
                             pg_temp.judge(code, class, operator, ARRAY(SELECT v FROM q LIMIT 3)) j
    ORDER BY class, code, lists;
-- by the other queries each row comes, once
SELECT class, code, j.lists, j.rows FROM (VALUES ('ip', '<#>'), ('cosine', '<=>')) o(class, operator),
                                    unnest('{bits = 1,bits = 4,quantizer = sq8}'::text[]) code,
                                    pg_temp.judge(code, class, operator, ARRAY(SELECT v FROM q OFFSET 3)) j
    ORDER BY class, code, lists;
DROP TABLE t, q;
-- infinite distances come before those that are none
CREATE TABLE t (id int, v vector(3));
INSERT INTO t SELECT i, CASE i % 3 WHEN 0 THEN '[-3e38,-3e38,0]' WHEN 1 THEN '[3e38,3e38,-3e38]' ELSE '[1,2,3]' END::vector
    FROM generate_series(1, 60) i;
SET client_min_messages = warning;
CREATE INDEX t_v ON t USING quantvec (v vector_ip_ops);
RESET client_min_messages;
SET enable_seqscan = off;
SELECT d, count(*), min(place), max(place)
    FROM (SELECT v <#> '[1,2,3]' AS d, row_number() OVER () AS place
          FROM (SELECT v FROM t ORDER BY v <#> '[1,2,3]' LIMIT 60) s) s GROUP BY d ORDER BY d;
RESET enable_seqscan;
DROP TABLE t;

-- ---- what the catalogs say ----

-- every operator class of ours is sound; there are no others
SELECT opcname, opcintype::regtype, opcdefault, amvalidate(c.oid)
    FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE amname = 'quantvec' ORDER BY opcname COLLATE "C";
-- one that is not
CREATE OPERATOR CLASS lonely_ops FOR TYPE vector USING quantvec AS
    OPERATOR 1 <-> (vector, vector) FOR ORDER BY float_ops;
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'lonely_ops';
CREATE TABLE t (v vector(3));
CREATE INDEX t_v ON t USING quantvec (v lonely_ops);
DROP TABLE t;
CREATE OPERATOR CLASS backward_ops FOR TYPE vector USING quantvec AS OPERATOR 1 < (vector, vector);
SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'backward_ops';
CREATE OPERATOR CLASS second_ops FOR TYPE vector USING quantvec AS
    OPERATOR 2 <-> (vector, vector) FOR ORDER BY float_ops;
DROP OPERATOR FAMILY lonely_ops USING quantvec;
DROP OPERATOR FAMILY backward_ops USING quantvec;

-- an order by distance, and nothing else
CREATE TABLE t (id int PRIMARY KEY, v vector(3));
CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 1);
SELECT p, pg_index_column_has_property('t_v'::regclass, 1, p)
    FROM unnest('{asc,desc,nulls_first,orderable,distance_orderable,returnable,search_array,search_nulls}'::text[]) p;
SELECT p, pg_index_has_property('t_v'::regclass, p)
    FROM unnest('{clusterable,index_scan,bitmap_scan,backward_scan}'::text[]) p;
SELECT p, pg_indexam_has_property(oid, p)
    FROM pg_am, unnest('{can_order,can_unique,can_multi_col,can_include}'::text[]) p WHERE amname = 'quantvec';

-- quantvec_index_info: of our indexes only, and for who may read the table
SELECT * FROM quantvec_index_info('t');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM quantvec_index_info('t_pkey');
SELECT rows FROM quantvec_index_info(NULL);
CREATE TABLE p (v vector(3)) PARTITION BY LIST ((vector_dims(v)));
CREATE INDEX p_v ON p USING quantvec (v);
SELECT * FROM quantvec_index_info('p_v');
CREATE ROLE regress_quantvec;
SET ROLE regress_quantvec;
SELECT rows FROM quantvec_index_info('t_v');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
GRANT SELECT ON t TO regress_quantvec;
SET ROLE regress_quantvec;
SELECT rows FROM quantvec_index_info('t_v');
RESET ROLE;
-- Row security hides rows, and how many there are: as in pg_stats, where the policies apply to who asks.
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON t USING (id = 1);
SET ROLE regress_quantvec;
SELECT rows FROM quantvec_index_info('t_v');
\echo :LAST_ERROR_SQLSTATE
SET row_security = off;
SELECT rows FROM quantvec_index_info('t_v');
RESET row_security;
RESET ROLE;
SELECT rows FROM quantvec_index_info('t_v');
DROP TABLE t, p;
DROP ROLE regress_quantvec;
