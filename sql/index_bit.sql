-- Indexes on type bit, by Hamming and by Jaccard distance: the codes are the bits, so that estimates are distances.

\getenv srcdir PG_ABS_SRCDIR
\set compare :srcdir /sql/include/compare.sql
\set ECHO none
\i :compare

-- The index against exact search. Distances are counts, so that many rows tie: they are compared as sorted lists.
CREATE FUNCTION pg_temp.compare_bits(source text, sort text, questions text[], k int, OUT asked int, OUT rows bigint, OUT wrong bigint)
    LANGUAGE plpgsql SET enable_bitmapscan = off AS $$
DECLARE
    question text;
    statement text;
    line text;
    plan text := '';
    indexed float8[];
    exact float8[];
    different bigint;
BEGIN
    asked := 0;
    rows := 0;
    wrong := 0;
    FOREACH question IN ARRAY questions LOOP
        statement := format('SELECT coalesce(array_agg(d ORDER BY n), ''{}''), count(DISTINCT c) FROM (SELECT *, row_number() OVER () AS n '
                            'FROM (SELECT %1$s AS d, ctid AS c FROM %2$s ORDER BY %1$s LIMIT %3$s) AS s) AS s',
                            format(sort, quote_literal(question)), source, coalesce(k::text, 'ALL'));
        PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true), set_config('enable_indexscan', 'on', true);
        IF asked = 0 THEN
            FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
                plan := plan || E'\n' || line;
            END LOOP;
            IF plan !~ 'Order By: ' THEN
                RAISE EXCEPTION 'this plan was not wanted: %', plan;
            END IF;
        END IF;
        EXECUTE statement INTO indexed, different;
        PERFORM set_config('enable_seqscan', 'on', true), set_config('enable_sort', 'on', true), set_config('enable_indexscan', 'off', true);
        EXECUTE statement INTO exact;
        asked := asked + 1;
        rows := rows + cardinality(indexed);
        IF indexed <> exact OR different <> cardinality(indexed) THEN
            wrong := wrong + 1;
        END IF;
    END LOOP;
END $$;

CREATE TABLE t AS SELECT id, binary_quantize(v)::bit(96) AS b, v::vector(96) AS v FROM pg_temp.vectors(6000, 96);
CREATE TABLE q AS SELECT binary_quantize(v)::bit(96) AS b FROM pg_temp.vectors(20, 96, 50001);
INSERT INTO q SELECT b FROM t WHERE id = 10;
INSERT INTO q VALUES (repeat('1', 96)::bit(96)), (repeat('0', 96)::bit(96));

CREATE INDEX t_b ON t USING quantvec (b) WITH (lists = 30);
SELECT quantizer, bits, metric, dim, padded_dim, trained, lists, advice FROM quantvec_index_info('t_b');
SET quantvec.probes = 30;
SELECT k, c.* FROM unnest('{1,10,100,NULL}'::int[]) AS k,
    pg_temp.compare_bits('t', 'b <~> %s', ARRAY(SELECT b::text FROM q OFFSET CASE WHEN k IS NULL THEN 19 ELSE 0 END), k) AS c;
-- estimates are distances: the same without reading the table
SET quantvec.rerank = off;
SELECT * FROM pg_temp.compare_bits('t', 'b <~> %s', ARRAY(SELECT b::text FROM q), 100);
RESET quantvec.rerank;
-- with few lists some of the nearest are missed, and hardly any with the default
SET quantvec.probes = 1;
SELECT wrong > 3 AS some_are_wrong FROM pg_temp.compare_bits('t', 'b <~> %s', ARRAY(SELECT b::text FROM q), 100);
RESET quantvec.probes;
SELECT wrong < 12 AS most_are_right FROM pg_temp.compare_bits('t', 'b <~> %s', ARRAY(SELECT b::text FROM q), 10);
SET quantvec.probes = 30;

-- rows that come and go; a condition; NULL
INSERT INTO t SELECT id + 6000, ~b, v FROM t WHERE id <= 1000;
INSERT INTO t VALUES (8000, NULL, NULL);
DELETE FROM t WHERE id % 3 = 0;
VACUUM t;
SELECT c.*, live_rows = (SELECT count(*) FROM t WHERE b IS NOT NULL) AS live, table_rows_checked = live_rows AS compared
    FROM pg_temp.compare_bits('t', 'b <~> %s', ARRAY(SELECT b::text FROM q), 10) AS c, quantvec_check('t_b', true);
SELECT * FROM pg_temp.compare_bits('t WHERE id % 7 = 1', 'b <~> %s', ARRAY(SELECT b::text FROM q), 10);
SET enable_seqscan = off;
SELECT count(*) FROM (SELECT 1 FROM t ORDER BY b <~> NULL) AS s;
SELECT 1 FROM t ORDER BY b <~> B'101' LIMIT 1;
RESET enable_seqscan;
DROP INDEX t_b;

-- one list, as before training
CREATE INDEX t_b ON t USING quantvec (b bit_hamming_ops) WITH (lists = 1);
SELECT * FROM pg_temp.compare_bits('t', 'b <~> %s', ARRAY(SELECT b::text FROM q), 10);
DROP INDEX t_b;

-- the signs of a vector column, and the nearest by the vectors among the nearest by the signs
CREATE INDEX t_signs ON t USING quantvec ((binary_quantize(v)::bit(96)) bit_hamming_ops) WITH (lists = 30);
SELECT * FROM pg_temp.compare_bits('t', 'binary_quantize(v)::bit(96) <~> %s', ARRAY(SELECT b::text FROM q), 10);
SET enable_seqscan = off;
SELECT count(*), count(*) FILTER (WHERE found = t.id) AS found FROM t, LATERAL (SELECT id AS found FROM
        (SELECT id, v FROM t AS u ORDER BY binary_quantize(v)::bit(96) <~> binary_quantize(t.v)::bit(96) LIMIT 20) AS near
        ORDER BY v <-> t.v LIMIT 1) AS f WHERE id % 100 = 1 AND id < 6000;
RESET enable_seqscan;
DROP TABLE t, q;

-- Jaccard distance: sets of 1 to 64 of 200 elements that share some, the empty set and the full one
CREATE FUNCTION pg_temp.is_in(i int, j int) RETURNS boolean LANGUAGE sql IMMUTABLE AS
    $$SELECT (hashint4(i % 40 * 200 + j)::bigint + 2147483648) % 100 < 20 AND (hashint4(100000 + i * 200 + j)::bigint + 2147483648) % 100 < 10 + i % 90
        OR (hashint4(-100000 - i * 200 - j)::bigint + 2147483648) % 100 < i % 5$$;
CREATE TABLE s AS SELECT i AS id, (SELECT string_agg(CASE WHEN pg_temp.is_in(i, j) THEN '1' ELSE '0' END, '' ORDER BY j) FROM generate_series(1, 200) AS j)::bit(200) AS b
    FROM generate_series(1, 5000) AS i;
INSERT INTO s VALUES (5001, repeat('0', 200)::bit(200)), (5002, repeat('1', 200)::bit(200)), (5003, repeat('0', 200)::bit(200));
CREATE TABLE q AS SELECT b FROM s WHERE id % 250 = 7 OR id IN (5001, 5002);
CREATE INDEX s_b ON s USING quantvec (b bit_jaccard_ops) WITH (lists = 30);
SELECT quantizer, bits, metric, dim, padded_dim, trained, lists, advice FROM quantvec_index_info('s_b');
SELECT min(bit_count(b)), max(bit_count(b)), avg(bit_count(b))::int AS mean, count(DISTINCT b) > 4500 AS differ FROM s WHERE id <= 5000;
SET quantvec.probes = 30;
SELECT k, c.* FROM unnest('{1,10,100,NULL}'::int[]) AS k,
    pg_temp.compare_bits('s', 'b <%%> %s', ARRAY(SELECT b::text FROM q OFFSET CASE WHEN k IS NULL THEN 19 ELSE 0 END), k) AS c;
SET quantvec.rerank = off;
SELECT * FROM pg_temp.compare_bits('s', 'b <%%> %s', ARRAY(SELECT b::text FROM q), 100);
RESET quantvec.rerank;
RESET quantvec.probes;
SELECT wrong < 12 AS most_are_right FROM pg_temp.compare_bits('s', 'b <%%> %s', ARRAY(SELECT b::text FROM q), 10);
SET quantvec.probes = 30;
INSERT INTO s SELECT id + 6000, ~b FROM s WHERE id % 5 = 1;
INSERT INTO s VALUES (12000, NULL);
DELETE FROM s WHERE id % 3 = 0 AND id < 5000;
VACUUM s;
SELECT c.*, live_rows = (SELECT count(*) FROM s WHERE b IS NOT NULL) AS live, table_rows_checked = live_rows AS compared
    FROM pg_temp.compare_bits('s', 'b <%%> %s', ARRAY(SELECT b::text FROM q), 10) AS c, quantvec_check('s_b', true);
SELECT * FROM pg_temp.compare_bits('s WHERE id % 7 = 1', 'b <%%> %s', ARRAY(SELECT b::text FROM q), 10);
-- both indexes on one column: each serves its operator
CREATE INDEX s_h ON s USING quantvec (b) WITH (lists = 30);
SELECT * FROM pg_temp.compare_bits('s', 'b <~> %s', ARRAY(SELECT b::text FROM q), 10);
SELECT * FROM pg_temp.compare_bits('s', 'b <%%> %s', ARRAY(SELECT b::text FROM q), 10);
RESET quantvec.probes;
DROP TABLE s, q;

-- every length of a last byte, one bit, the longest
CREATE FUNCTION pg_temp.lengths(n int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    answer record;
    wrong bigint;
BEGIN
    EXECUTE format('CREATE TABLE l AS SELECT i AS id, (SELECT string_agg(CASE WHEN (i * j) %% 7 < 3 THEN ''1'' ELSE ''0'' END, '''' ORDER BY j)
                    FROM generate_series(1, %1$s) AS j)::bit(%1$s) AS b FROM generate_series(1, 40) AS i', n);
    EXECUTE 'CREATE INDEX l_b ON l USING quantvec (b) WITH (lists = 1)';
    SELECT * INTO answer FROM pg_temp.compare_bits('l', 'b <~> %s', ARRAY(SELECT b::text FROM l WHERE id < 3), NULL);
    ASSERT answer.rows = 80;
    ASSERT (SELECT table_rows_checked = 40 FROM quantvec_check('l_b', true));
    wrong := answer.wrong;
    EXECUTE 'DROP INDEX l_b';
    EXECUTE 'CREATE INDEX l_b ON l USING quantvec (b bit_jaccard_ops) WITH (lists = 1)';
    SELECT * INTO answer FROM pg_temp.compare_bits('l', 'b <%%> %s', ARRAY(SELECT b::text FROM l WHERE id < 3), NULL);
    ASSERT answer.rows = 80;
    ASSERT (SELECT table_rows_checked = 40 FROM quantvec_check('l_b', true));
    DROP TABLE l;
    RETURN wrong + answer.wrong;
END $$;
SET client_min_messages = warning;
SELECT n, pg_temp.lengths(n) AS wrong FROM unnest('{1,2,7,8,9,63,64,65,1000,20000,64000}'::int[]) AS n;
RESET client_min_messages;

-- what is refused
CREATE TABLE t (a bit(64001), b bit(8), v bit varying);
CREATE INDEX ON t USING quantvec (a);
CREATE INDEX ON t USING quantvec (b) WITH (quantizer = sq8);
CREATE INDEX ON t USING quantvec (b) WITH (bits = 1);
CREATE INDEX t_b ON t USING quantvec (b);
-- what is set later is told by REINDEX; VACUUM trains all the same
ALTER INDEX t_b SET (quantizer = sq4);
INSERT INTO t SELECT NULL, i::bit(8) FROM generate_series(1, 6000) AS i;
VACUUM t;
SELECT trained FROM quantvec_index_info('t_b');
REINDEX INDEX t_b;
ALTER INDEX t_b RESET (quantizer);
REINDEX INDEX t_b;
CREATE INDEX ON t USING quantvec (v bit_hamming_ops);
DROP TABLE t;

-- a length that is gone: what to do is said in the column's own type
CREATE TABLE t (b bit(8));
CREATE INDEX t_b ON t USING quantvec (b);
ALTER TABLE t ALTER b TYPE bit varying;
SELECT advice FROM quantvec_index_info('t_b');
DROP TABLE t;
