-- Distances of the server's type bit.

SELECT B'111' <~> B'110' AS hamming, hamming_distance('1001', '0110'), B'' <~> B'' AS empty;
SELECT B'1111' <%> B'1110' AS jaccard, jaccard_distance('1100', '0011'), B'0000' <%> B'0000' AS no_bit, B'1010' <%> B'1010' AS same;
SELECT B'11' <~> B'111';
\echo :LAST_ERROR_SQLSTATE
SELECT B'11' <%> B'111';
SELECT NULL <~> B'1', B'1' <%> NULL;

-- every length that the kernels tell apart, against counting characters
CREATE TABLE pairs AS
    SELECT n, string_agg(CASE WHEN (i * i + n) % 3 = 0 THEN '1' ELSE '0' END, '' ORDER BY i) AS a,
           string_agg(CASE WHEN (i * 7 + n) % 5 < 2 THEN '1' ELSE '0' END, '' ORDER BY i) AS b
        FROM generate_series(1, 200) AS n, generate_series(1, n) AS i GROUP BY n;
SELECT count(*), sum(differ) > 0 AND sum(shared) > 0 AS both_kinds, bool_and(a::varbit <~> b::varbit = differ) AS hamming,
       bool_and(a::varbit <%> b::varbit = CASE WHEN shared = 0 THEN 1 ELSE 1 - shared::float8 / (shared + differ) END) AS jaccard
    FROM (SELECT a, b, (SELECT count(*) FROM generate_series(1, n) AS i WHERE substr(a, i, 1) <> substr(b, i, 1)) AS differ,
                 (SELECT count(*) FROM generate_series(1, n) AS i WHERE substr(a, i, 1) = '1' AND substr(b, i, 1) = '1') AS shared
              FROM pairs) AS p;

-- a damaged value is refused: three bits in no byte, in five bytes; fewer than none
CREATE CAST (bytea AS bit) WITHOUT FUNCTION;
DO $$
DECLARE
    value bytea;
BEGIN
    FOREACH value IN ARRAY ARRAY['\x', '\x0101', '\x03000000', '\x00000003', '\x03030303', '\x0100000000000000', '\xffffffff00']::bytea[] LOOP
        BEGIN
            -- "bit" has no length; bit is bit(1)
            PERFORM value::"bit" <~> value::"bit";
            RAISE EXCEPTION 'taken: %', value;
        EXCEPTION WHEN data_corrupted THEN
            NULL;
        END;
    END LOOP;
END $$;
DROP CAST (bytea AS bit);

-- the two steps: near by the signs, then by the vectors
CREATE TABLE items AS SELECT i, array_agg(sin(i * j) ORDER BY j)::vector(64) AS v
    FROM generate_series(1, 300) AS i, generate_series(1, 64) AS j GROUP BY i;
SELECT count(*), bool_and(found = i) FROM items AS q, LATERAL (SELECT i AS found FROM
        (SELECT i, v FROM items ORDER BY binary_quantize(v)::bit(64) <~> binary_quantize(q.v)::bit(64) LIMIT 20) AS near
        ORDER BY v <-> q.v LIMIT 1) AS f WHERE q.i % 10 = 0;
DROP TABLE pairs, items;
