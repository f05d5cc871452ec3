-- What docs/queries.md says of statements: which of them use the index, and how many lists a setting gives them.

SET jit = off;
CREATE FUNCTION vec(i int) RETURNS vector LANGUAGE sql IMMUTABLE AS
    $$ SELECT array_agg(sin(i * j)::real)::vector FROM generate_series(1, 32) j $$;
CREATE TABLE items (id int PRIMARY KEY, topic int, embedding vector(32), loose vector);
INSERT INTO items SELECT i, i % 50, vec(i), vec(i) FROM generate_series(1, 10000) i;
CREATE INDEX items_embedding_idx ON items USING quantvec (embedding vector_cosine_ops);
CREATE INDEX items_topic ON items USING quantvec (embedding vector_l2_ops) WITH (lists = 5) WHERE topic < 10;
CREATE INDEX items_loose ON items USING quantvec ((loose::vector(32)) vector_cosine_ops);
CREATE TABLE q AS SELECT i AS id, vec(20000 + i) AS v FROM generate_series(1, 20) i;
VACUUM ANALYZE items, q;
SELECT set_config('app.q', vec(20001)::text, false) IS NOT NULL AS set;
CREATE FUNCTION pg_temp.index_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN ' || replace(query, '$q', $q$current_setting('app.q')::vector$q$) LOOP
        IF line ~ 'Index Scan using' THEN RETURN substring(line FROM 'using (\w+)'); END IF;
    END LOOP;
    RETURN 'none';
END $$;

-- ---- shapes ----

SELECT pg_temp.index_of(query), query FROM unnest(ARRAY[
    'SELECT id FROM items ORDER BY embedding <=> $q LIMIT 10',
    'SELECT id FROM items ORDER BY $q <=> embedding LIMIT 10',
    'SELECT id, embedding <=> $q AS d FROM items ORDER BY d LIMIT 10',
    'SELECT id, 1 - (embedding <=> $q) AS score FROM items ORDER BY embedding <=> $q LIMIT 10',
    'SELECT id FROM items ORDER BY embedding <=> (SELECT v FROM q WHERE id = 1) LIMIT 10',
    'WITH w AS (SELECT v FROM q WHERE id = 1) SELECT id FROM items ORDER BY embedding <=> (SELECT v FROM w) LIMIT 10',
    'SELECT q.id, n.id FROM q, LATERAL (SELECT id FROM items ORDER BY embedding <=> q.v LIMIT 10) n',
    'SELECT * FROM (SELECT id, embedding <=> $q AS d FROM items ORDER BY d LIMIT 10) s ORDER BY d, id',
    'SELECT * FROM (SELECT id, embedding <=> $q AS d FROM items ORDER BY d LIMIT 10) s WHERE d < 0.5',
    'SELECT id FROM items WHERE topic < 10 ORDER BY embedding <-> $q LIMIT 10',
    'SELECT id FROM items WHERE topic < 9 ORDER BY embedding <-> $q LIMIT 10',
    'SELECT id FROM items ORDER BY loose::vector(32) <=> $q LIMIT 10']) query;
SELECT pg_temp.index_of(query), query FROM unnest(ARRAY[
    'SELECT id FROM items ORDER BY 1 - (embedding <=> $q) DESC LIMIT 10',
    'SELECT id FROM items ORDER BY cosine_distance(embedding, $q) LIMIT 10',
    'SELECT id FROM items ORDER BY embedding <=> $q NULLS FIRST LIMIT 10',
    'SELECT id FROM items ORDER BY embedding <#> $q LIMIT 10',
    'SELECT id FROM items ORDER BY embedding <=> $q',
    'SELECT id FROM items WHERE embedding <=> $q < 0.5',
    'SELECT items.id FROM items, q WHERE q.id = 1 ORDER BY embedding <=> q.v LIMIT 10',
    'SELECT id FROM items ORDER BY embedding <-> $q LIMIT 10',
    'SELECT id FROM items ORDER BY loose <=> $q LIMIT 10']) query;

-- ---- settings ----

CREATE FUNCTION pg_temp.lists() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM id FROM items ORDER BY embedding <=> current_setting('app.q')::vector LIMIT 1;
    RETURN (quantvec_last_scan()).lists;
END $$;
ALTER INDEX items_embedding_idx SET (probes = 3);
SELECT pg_temp.lists();
SET quantvec.probes = 4;
SELECT pg_temp.lists();
BEGIN;
SET LOCAL quantvec.probes = 5;
SELECT pg_temp.lists();
COMMIT;
SELECT pg_temp.lists();
-- for a database, in new sessions
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET quantvec.probes = 2', current_database()); END $$;
\c
LOAD 'quantvec';
SHOW quantvec.probes;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET quantvec.probes', current_database()); END $$;
-- the library alone knows its settings: one that is set before is taken over when it comes
\c
SHOW quantvec.probes;
SET quantvec.probes = 6;
SELECT '[1]'::vector;
SHOW quantvec.probes;
-- and a name that it does not know is taken away
\c
SET quantvec.probez = 3;
LOAD 'quantvec';
SHOW quantvec.probez;

-- ---- recall ----

BEGIN;
SET LOCAL enable_indexscan = off;
CREATE TEMP TABLE truth AS
    SELECT q.id AS q, n.id FROM q, LATERAL (SELECT id FROM items ORDER BY embedding <=> q.v LIMIT 10) AS n;
COMMIT;
SET enable_seqscan = off;
SET quantvec.probes = 1000000;
SELECT avg((EXISTS (SELECT FROM truth AS t WHERE t.q = f.q AND t.id = f.id))::int) > 0.99 AS recall
    FROM (SELECT q.id AS q, n.id FROM q, LATERAL (SELECT id FROM items ORDER BY embedding <=> q.v LIMIT 10) AS n) AS f;

DROP TABLE items, q;
DROP FUNCTION vec;
