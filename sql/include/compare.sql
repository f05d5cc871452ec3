-- Helpers of the index_*.sql tests, made anew in each session. Read with \i, after \set ECHO none.

-- n vectors in 20 groups, ids from `first`. The same on every machine: no random numbers.
CREATE FUNCTION pg_temp.vectors(n int, dim int, first int DEFAULT 1)
    RETURNS TABLE (id int, v vector) LANGUAGE sql AS $$
    SELECT i, array_agg(sin(i % 20 * 17 + j)
                        + hashint8extended(i::bigint * 16000 + j, 1) / 9223372036854775808.0 * 0.6 ORDER BY j)::vector
        FROM generate_series(first, first + n - 1) i, generate_series(1, dim) j GROUP BY i
$$;

-- A plan without what only some servers say of it.
CREATE FUNCTION pg_temp.explain(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
        IF line !~ '^ *Disabled: true$' THEN
            RETURN NEXT line;
        END IF;
    END LOOP;
END
$$;

-- The index against exact search: `source` is what stands behind FROM (table and conditions), `sort` the
-- ORDER BY with %s for the question. Every question is asked both ways.
--   asked   number of questions
--   rows    that the index returned for all of them
--   wrong   questions whose distances are not those of exact search, or that returned a row twice
-- Raises an error if the first way does not use the index, or the second does.
CREATE FUNCTION pg_temp.compare(source text, sort text, questions vector[], k int DEFAULT NULL, skip int DEFAULT 0,
                                OUT asked int, OUT rows bigint, OUT wrong bigint) LANGUAGE plpgsql
    SET enable_seqscan = on SET enable_indexscan = on SET enable_bitmapscan = off SET enable_sort = on AS $$
DECLARE
    question vector;
    statement text;
    plan text;
    distances_of float8[];
    indexed float8[];
    different bigint;
    line text;
BEGIN
    asked := 0;
    rows := 0;
    wrong := 0;
    FOREACH question IN ARRAY questions LOOP
        -- The order in which rows come is asked for: beside count(DISTINCT) an aggregate gets them sorted otherwise.
        statement := format('SELECT coalesce(array_agg(d ORDER BY n), ''{}''), count(DISTINCT (t, c)) FROM '
                            '(SELECT *, row_number() OVER () AS n FROM '
                            '(SELECT %1$s AS d, tableoid AS t, ctid AS c FROM %2$s ORDER BY %1$s '
                            'LIMIT %3$s OFFSET %4$s) s) s',
                            format(sort, quote_literal(question)), source, coalesce(k::text, 'ALL'), skip);
        FOR exact IN 0..1 LOOP
            PERFORM set_config('enable_seqscan', exact::text, true), set_config('enable_sort', exact::text, true),
                    set_config('enable_indexscan', (1 - exact)::text, true);
            IF asked = 0 THEN
                plan := '';
                FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
                    plan := plan || E'\n' || line;
                END LOOP;
                IF plan !~ (ARRAY['Order By: ', 'Sort Key: '])[1 + exact] THEN
                    RAISE EXCEPTION 'this plan was not wanted: %', plan;
                END IF;
            END IF;
            EXECUTE statement INTO distances_of, different;
            IF exact = 0 THEN
                indexed := distances_of;
                rows := rows + cardinality(indexed);
                CONTINUE WHEN different = cardinality(indexed);
                indexed := NULL;
            END IF;
        END LOOP;
        asked := asked + 1;
        IF indexed IS DISTINCT FROM distances_of THEN
            wrong := wrong + 1;
        END IF;
    END LOOP;
END
$$;

\set ECHO all
