-- With all lists probed and quantvec.epsilon at 6 the index gives what exact search gives: every quantizer,
-- every operator class. Compared by distance, since rows at the same distance may come in any order.

\getenv srcdir PG_ABS_SRCDIR
\set compare :srcdir /sql/include/compare.sql
\set ECHO none
\i :compare

CREATE TABLE t AS SELECT id, v::vector(24) AS v FROM pg_temp.vectors(6000, 24);
-- ties: rows that are there twice
INSERT INTO t SELECT id + 6000, v FROM t WHERE id % 10 = 0;
CREATE TABLE q AS SELECT v FROM pg_temp.vectors(48, 24, 50001);
-- a query that is a row, and one far from all
INSERT INTO q SELECT v FROM t WHERE id = 10;
INSERT INTO q VALUES (array_fill(100, ARRAY[24])::vector);
SET quantvec.probes = 20;
SET quantvec.epsilon = 6;

-- Builds the index and asks it all queries with three LIMITs and an OFFSET, and three of them for every row.
CREATE FUNCTION pg_temp.judge(options text, class text, operator text)
    RETURNS TABLE ("limit" int, skip int, asked int, rows bigint, wrong bigint, lists int) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE INDEX t_v ON t USING quantvec (v %s) WITH (lists = 20, %s)', class, options);
    FOR "limit", skip IN VALUES (1, 0), (10, 0), (100, 0), (10, 25), (NULL, 0) LOOP
        SELECT * INTO asked, rows, wrong
            FROM pg_temp.compare('t', format('v %s %%s', operator),
                                 ARRAY(SELECT v FROM q OFFSET CASE WHEN "limit" IS NULL THEN 47 ELSE 0 END),
                                 "limit", skip);
        lists := (quantvec_last_scan()).lists;
        RETURN NEXT;
    END LOOP;
    DROP INDEX t_v;
END
$$;
-- In this order: LIMIT 1, 10, 10 OFFSET 25, 100, all. wrong must be 0 everywhere, rows what there is: 50 queries times
-- the limit, 3 times 6,600.
SELECT class, options, array_agg(rows ORDER BY "limit", skip) AS rows, array_agg(wrong ORDER BY "limit", skip) AS wrong,
       min(lists) AS lists
    FROM unnest('{bits = 1,bits = 2,bits = 4,bits = 8,quantizer = sq8}'::text[]) options,
         (VALUES ('vector_l2_ops', '<->'), ('vector_ip_ops', '<#>'), ('vector_cosine_ops', '<=>')) c(class, operator),
         pg_temp.judge(options, class, operator)
    GROUP BY class, options ORDER BY class, options;

-- one flat list, and the number of lists that the index chooses by itself
CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 1);
SELECT lists, trained FROM quantvec_index_info('t_v');
SELECT * FROM pg_temp.compare('t', 'v <-> %s', ARRAY(SELECT v FROM q), 10);
DROP INDEX t_v;
CREATE INDEX t_v ON t USING quantvec (v);
SELECT lists BETWEEN 2 AND 20 AS few_lists, trained FROM quantvec_index_info('t_v');
SELECT * FROM pg_temp.compare('t', 'v <-> %s', ARRAY(SELECT v FROM q), 10);

-- the comparison can tell: one list of many, and no slack, lose rows
SET quantvec.probes = 1;
SET quantvec.epsilon = 0;
SELECT wrong > 10 AS "some are wrong" FROM pg_temp.compare('t', 'v <-> %s', ARRAY(SELECT v FROM q), 100);
RESET quantvec.probes;
RESET quantvec.epsilon;

DROP TABLE t, q;
