-- The codes sq4 and pq: built and inserted rows, at dimensions below, at and above a multiple of 64. With all lists
-- probed and quantvec.epsilon at 6 the index gives what exact search gives.

\getenv srcdir PG_ABS_SRCDIR
\set compare :srcdir /sql/include/compare.sql
\set ECHO none
\i :compare
SET quantvec.probes = 3;
SET quantvec.epsilon = 6;

-- Builds an index on 2,200 rows, inserts 100, removes a seventh, and asks 10 questions with LIMIT 10 and one for all
-- rows. `built` is the code that the index has.
CREATE FUNCTION pg_temp.judge(dim int, options text, class text, operator text)
    RETURNS TABLE (built text, ten_wrong bigint, all_rows bigint, all_wrong bigint) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE t (id int, v vector(%s))', dim);
    EXECUTE format('INSERT INTO t SELECT * FROM pg_temp.vectors(2200, %s)', dim);
    EXECUTE format('CREATE INDEX t_v ON t USING quantvec (v %s) WITH (lists = 3, %s)', class, options);
    EXECUTE format('INSERT INTO t SELECT * FROM pg_temp.vectors(100, %s, 3001)', dim);
    DELETE FROM t WHERE id % 7 = 0;
    SELECT quantizer || ' ' || bits INTO built FROM quantvec_index_info('t_v');
    SELECT wrong INTO ten_wrong
        FROM pg_temp.compare('t', format('v %s %%s', operator), ARRAY(SELECT v FROM pg_temp.vectors(10, dim, 70001)), 10);
    SELECT rows, wrong INTO all_rows, all_wrong
        FROM pg_temp.compare('t', format('v %s %%s', operator), ARRAY(SELECT v FROM pg_temp.vectors(1, dim, 70011)));
    DROP TABLE t;
    RETURN NEXT;
END
$$;
-- 2,300 rows less 328 (the multiples of 7 among 1..2200 are 314, among 3001..3100 are 14) are 1,972; wrong must be 0.
SELECT dim, options, j.*
    FROM unnest('{1,3,64,65,200}'::int[]) dim,
         (VALUES ('quantizer = sq4', 'vector_l2_ops', '<->'),
                 ('quantizer = sq4, levels = lloydmax', 'vector_cosine_ops', '<=>'),
                 ('quantizer = sq4, levels = nf4', 'vector_ip_ops', '<#>'),
                 ('quantizer = pq', 'vector_l2_ops', '<->'),
                 ('quantizer = pq, pq_bits = 4', 'vector_cosine_ops', '<=>'),
                 ('quantizer = pq, pq_m = 1', 'vector_ip_ops', '<#>')) c(options, class, operator),
         pg_temp.judge(dim, options, class, operator) j
    ORDER BY dim, options;

-- m as large as the dimension, and an odd one; more is refused, with both numbers
CREATE TABLE t AS SELECT id, v::vector(10) AS v FROM pg_temp.vectors(2500, 10);
CREATE INDEX t_v ON t USING quantvec (v) WITH (quantizer = pq, pq_m = 10, lists = 2);
SELECT * FROM pg_temp.compare('t', 'v <-> %s', ARRAY(SELECT v FROM pg_temp.vectors(10, 10, 70001)), 10);
DROP INDEX t_v;
CREATE INDEX t_v ON t USING quantvec (v) WITH (quantizer = pq, pq_m = 7, pq_bits = 4, lists = 2);
SELECT * FROM pg_temp.compare('t', 'v <-> %s', ARRAY(SELECT v FROM pg_temp.vectors(10, 10, 70001)), 10);
DROP INDEX t_v;
CREATE INDEX t_v ON t USING quantvec (v) WITH (quantizer = pq, pq_m = 11);
CREATE INDEX t_v ON t USING quantvec (v) WITH (quantizer = pq, pq_bits = 5);
CREATE INDEX t_v ON t USING quantvec (v) WITH (quantizer = sq4, levels = nf5);

-- too few rows to train codebooks: sq8 codes until the index is rebuilt
CREATE TABLE few (id int, v vector(10));
CREATE INDEX few_v ON few USING quantvec (v) WITH (quantizer = pq);
SELECT quantizer, bits, trained FROM quantvec_index_info('few_v');
INSERT INTO few SELECT * FROM t;
SELECT * FROM pg_temp.compare('few', 'v <-> %s', ARRAY(SELECT v FROM pg_temp.vectors(10, 10, 70001)), 10);
INSERT INTO few SELECT * FROM t;
INSERT INTO few SELECT * FROM t;
REINDEX INDEX few_v;
SELECT quantizer, bits, trained FROM quantvec_index_info('few_v');
SELECT * FROM pg_temp.compare('few', 'v <-> %s', ARRAY(SELECT v FROM pg_temp.vectors(10, 10, 70001)), 10);

DROP TABLE t, few;

-- numbers whose squares are not floats any more: codes know that they know nothing
CREATE FUNCTION pg_temp.tiny(n int, first int) RETURNS TABLE (id int, v vector(10)) LANGUAGE sql AS $$
    SELECT id, array(SELECT x * 1e-21::real FROM unnest(v::real[]) WITH ORDINALITY AS u (x, i) ORDER BY i)::vector
    FROM pg_temp.vectors(n, 10, first) $$;
CREATE TABLE tiny AS SELECT id, v::vector(10) FROM pg_temp.tiny(2100, 1);
CREATE FUNCTION pg_temp.judge_tiny(options text, OUT asked bigint, OUT rows bigint, OUT wrong bigint) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE INDEX tiny_v ON tiny USING quantvec (v) WITH (lists = 2, %s)', options);
    SELECT * INTO asked, rows, wrong
        FROM pg_temp.compare('tiny', 'v <-> %s', ARRAY(SELECT t.v FROM pg_temp.tiny(10, 70001) t), 10);
    DROP INDEX tiny_v;
END
$$;
SELECT o, j.* FROM unnest('{"quantizer = pq","quantizer = sq4","quantizer = sq8","quantizer = bq"}'::text[]) o, pg_temp.judge_tiny(o) j;
DROP TABLE tiny;
