-- Every dimension from 1 to the type's limit: below, at and above a multiple of 64, codes as wide as a page and
-- wider. Rows come by the build, by INSERT after it, and by INSERT after VACUUM has removed some; the index gives
-- what exact search gives.

\getenv srcdir PG_ABS_SRCDIR
\set compare :srcdir /sql/include/compare.sql
\set ECHO none
\i :compare
SET quantvec.probes = 3;
SET quantvec.epsilon = 6;

-- A dimension has three tables, each with one index for each operator; which code serves which operator takes turns.
CREATE TABLE tables AS
    SELECT dim, format('t_%s_%s', dim, turn) AS name, CASE WHEN dim < 16000 THEN 150 ELSE 40 END AS built, turn
    FROM unnest('{1,2,3,63,64,65,384,768,1536,2049,4096,16000}'::int[]) dim, generate_series(0, 2) turn;
CREATE TABLE indexes AS
    SELECT name, dim, code, operator, class, format('%s_%s', name, class) AS index
    FROM tables, unnest('{bits = 1,bits = 4,quantizer = sq8}'::text[]) WITH ORDINALITY codes(code, n),
         unnest('{<->,<#>,<=>}'::text[], '{l2,ip,cosine}'::text[]) WITH ORDINALITY classes(operator, class, m)
    WHERE (n + m + turn) % 3 = 0;
-- all rows: those to build on, 70 to insert after the build, 10 to insert after VACUUM; and 10 queries
CREATE TABLE rows (dim int, id int, v vector);
CREATE TABLE queries (dim int, q vector[]);
ALTER TABLE rows ALTER v SET STORAGE external;
INSERT INTO rows SELECT dim, v.* FROM tables, pg_temp.vectors(built + 80, dim) v WHERE turn = 0;
INSERT INTO queries SELECT dim, ARRAY(SELECT v FROM pg_temp.vectors(10, dim, 70001)) FROM tables WHERE turn = 0;

-- the statements are made from these patterns, and not shown
\set ECHO none
SELECT format('CREATE TABLE %I (id int, v vector(%s)) WITH (autovacuum_enabled = off)', name, dim),
       format('ALTER TABLE %I ALTER v SET STORAGE external', name),
       format('INSERT INTO %I SELECT id, v FROM rows WHERE dim = %s AND id <= %s', name, dim, built)
    FROM tables \gexec
SELECT format('CREATE INDEX %I ON %I USING quantvec (v vector_%s_ops) WITH (lists = 3, %s)', index, name, class, code)
    FROM indexes \gexec
SELECT format('INSERT INTO %I SELECT id, v FROM rows WHERE dim = %s AND id > %s AND id <= %3$s + 70', name, dim, built),
       format('DELETE FROM %I WHERE id %% 7 = 0', name),
       format('VACUUM %I', name),
       format('INSERT INTO %I SELECT id, v FROM rows WHERE dim = %s AND id > %s + 70', name, dim, built)
    FROM tables \gexec
\set ECHO all

-- Each code under three operators: 10 queries with LIMIT 10, and 2 for all rows. wrong must be 0.
SELECT dim, code, sum(ten.asked) AS asked, sum(ten.rows) AS ten_rows, sum(ten.wrong) AS wrong,
       sum(every.asked) AS asked, sum(every.rows) AS all_rows, sum(every.wrong) AS wrong
    FROM indexes JOIN queries USING (dim),
         pg_temp.compare(quote_ident(name), format('v %s %%s', operator), q, 10) ten,
         pg_temp.compare(quote_ident(name), format('v %s %%s', operator), q[:2]) every
    GROUP BY dim, code ORDER BY dim, code;
-- All nine indexes of a dimension hold the rows of the table: 230, less those of the first 220 whose id is a multiple
-- of 7 (16,000 dimensions: 120, and the first 110).
SELECT i.dim, padded_dim, lists, rows, count(*) AS indexes
    FROM indexes i, quantvec_index_info(index::regclass) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4;

\set ECHO none
SELECT format('DROP TABLE %I', name) FROM tables \gexec
\set ECHO all
DROP TABLE tables, indexes, rows, queries;
