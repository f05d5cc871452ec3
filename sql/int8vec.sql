-- Type int8vec: each element to the nearest of 256 numbers over the range of the value's own elements.

-- whole numbers from 0 to 255 with both ends are what they were; others are near
SELECT '[0,3,255]'::int8vec, '[1,2,3]'::int8vec, ' [ -1 , 1 ] '::int8vec, '[5]'::int8vec, '[-0,0]'::int8vec, '[1.5,1.5]'::int8vec;
SELECT max(abs(a - b)) <= 2.0 / 255 / 2 * 1.001 AS half_a_step, max(abs(a - b)) > 0 AS lossy
    FROM (SELECT array_agg(sin(i) ORDER BY i)::real[] AS x FROM generate_series(1, 1000) AS i) AS t,
         unnest(x, x::int8vec::real[]) AS u(a, b);
SELECT pg_column_size(array_agg(sin(i))::int8vec) AS bytes, pg_column_size(array_agg(sin(i))::vector) AS of_vector FROM generate_series(1, 768) AS i;

CREATE FUNCTION answer(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE command INTO result;
    RETURN result;
EXCEPTION WHEN OTHERS THEN
    RETURN concat_ws(' | ', SQLSTATE, left(SQLERRM, 100));
END $$;
SELECT input, answer(format('SELECT %L::int8vec', input)) FROM unnest(ARRAY[
    '', '[]', '[1', '[1,]', '[a]', '[1]x', '[NaN]', '[Infinity]', '[4e38]', '[-3e38,3e38]', '[1,2,3,4e-46]']) AS t(input);
SELECT answer('SELECT ''[1,2,3]''::int8vec(2)'), answer('SELECT ''[1,2,3]''::int8vec(3)'),
       answer('SELECT (array_fill(0, ARRAY[16001])::int8vec)::text');
SELECT modifier, answer(format('SELECT NULL::int8vec(%s)', modifier)) FROM unnest('{0,1,16000,16001,"1,2"}'::text[]) AS t(modifier);

-- What was read from text has the same bytes when its own text is read; so a dump comes back as it was.
CREATE TABLE v AS
    SELECT n, array_agg((place + width * sin(n * j * 7)) ORDER BY j)::real[] AS x
        FROM generate_series(1, 20) AS n, unnest('{0,1,-1,1000,-3e30,1e-30}'::float8[]) AS place,
             unnest('{1,1e-3,1e5,1e-20,3e30}'::float8[]) AS width, generate_series(1, 1 + n * n % 50) AS j GROUP BY n, place, width;
SELECT count(*), bool_and(int8vec_send(x::int8vec) = int8vec_send(x::int8vec::text::int8vec)) AS text,
       bool_and(int8vec_send(x::int8vec) = int8vec_send(x::int8vec::vector::int8vec)) AS vector,
       bool_and(int8vec_send(x::int8vec) = int8vec_send(x::int8vec::real[]::int8vec)) AS arrays FROM v;

-- binary: dim, 0, least, scale, a byte an element
SELECT int8vec_send('[0,3,255]');
CREATE TABLE received (val int8vec);
CREATE FUNCTION receive(payload bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    stream bytea := '\x5047434f50590aff0d0a00' || decode(repeat('00', 8), 'hex')
        || '\x0001' || int4send(length(payload)) || payload || '\xffff';
    escaped text := string_agg(format('\0%s%s%s', b / 64, b / 8 % 8, b % 8), '' ORDER BY i)
        FROM generate_series(0, length(stream) - 1) i, get_byte(stream, i) b;
BEGIN
    TRUNCATE received;
    EXECUTE format('COPY received FROM PROGRAM %L WITH (FORMAT binary)', 'printf %b "' || escaped || '"');
    RETURN answer('SELECT val FROM received');
EXCEPTION WHEN OTHERS THEN
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM);
END $$;
SELECT count(*), bool_and(receive(int8vec_send(x::int8vec)) = x::int8vec::text) FROM v WHERE n < 6;
SELECT n, what, receive(payload) FROM (VALUES
    (1, 'good', '\x00030000000000003f8000000003ff'::bytea), (2, 'no dimension', '\x0000000000000000000000'),
    (3, 'too many', '\x3e810000000000003f800000'), (4, 'reserved', '\x00010001000000000000000000'),
    (5, 'least NaN', '\x000100007fc000000000000000'), (6, 'scale infinite', '\x000200003f8000007f80000000ff'),
    (7, 'scale below zero', '\x0002000000000000bf80000000ff'), (8, 'no code 0', '\x00020000000000003f80000001ff'),
    (9, 'no code 255', '\x00020000000000003f80000000fe'), (10, 'a scale for nothing', '\x00010000000000003f80000000'),
    (11, 'beyond the floats', '\x000200007f0000007f00000000ff'), (12, 'minus zero', '\x00010000800000000000000000'),
    (13, 'short', '\x00030000000000003f8000000003'), (14, 'shorter', '\x0003'), (15, 'long', '\x00030000000000003f8000000003ff00')) AS t(n, what, payload)
    ORDER BY n;
DROP FUNCTION receive;
DROP TABLE received;

-- casts: in assignments or if asked for
SELECT '[1,2,3]'::vector::int8vec, '[0,1]'::halfvec::int8vec, '[0,255]'::int8vec::vector, '[0,255]'::int8vec::halfvec, '[0,255]'::int8vec::real[];
SELECT ARRAY[0,1]::int8vec, '{0,1}'::real[]::int8vec, '{0,1}'::float8[]::int8vec, '{0,1}'::numeric[]::int8vec;
SELECT answer('SELECT ''[0,70000]''::int8vec::halfvec'), answer('SELECT ''{1,NULL}''::real[]::int8vec'), answer('SELECT ''{NaN}''::float8[]::int8vec'),
       answer('SELECT ''[1,2]''::vector::int8vec(3)'), answer('SELECT ''[1,2]''::int8vec::vector(3)');
CREATE TABLE c (e int8vec(2), v vector(2));
INSERT INTO c VALUES ('[0,1]'::vector, '[0,1]'::int8vec), (ARRAY[0,1], NULL);
SELECT * FROM c;
DROP TABLE c;

-- distances and comparison are those of the elements
SELECT count(*), bool_and(a <-> b = x <-> y) AS l2, bool_and(a <#> b = x <#> y) AS ip, bool_and(a <=> b IS NOT DISTINCT FROM x <=> y) AS cosine,
       bool_and(a <+> b = x <+> y) AS l1, bool_and(inner_product(a, b) = inner_product(x, y)) AS inner_product,
       bool_and(int8vec_l2_squared_distance(a, b) = vector_l2_squared_distance(x, y)) AS squared, bool_and(l2_norm(a) = vector_norm(x)) AS norm,
       bool_and(vector_dims(a) = vector_dims(x)) AS dims, bool_and(int8vec_cmp(a, b) = vector_cmp(x, y)) AS cmp,
       bool_and((a < b) = (x < y) AND (a <= b) = (x <= y) AND (a = b) = (x = y) AND (a <> b) = (x <> y) AND (a >= b) = (x >= y) AND (a > b) = (x > y)) AS comparison
    FROM (SELECT a, b, a::vector AS x, b::vector AS y FROM
              (SELECT x::int8vec AS a, lead(x::int8vec) OVER (PARTITION BY n ORDER BY x) AS b FROM v) AS p WHERE b IS NOT NULL) AS p;
SELECT '[1,2]'::int8vec <-> '[1,2,3]';
SELECT '[1,2]'::int8vec < '[1,2,3]', '[1,2]'::int8vec = '[1,2]';
CREATE TABLE sorted AS SELECT n, x::int8vec AS val FROM v;
CREATE INDEX ON sorted (val);
SET enable_seqscan = off;
SELECT count(*) > 0 FROM sorted WHERE val = (SELECT val FROM sorted WHERE n = 7 LIMIT 1);
RESET enable_seqscan;
SELECT count(DISTINCT val) = count(DISTINCT val::text) FROM sorted;
DROP TABLE v, sorted;

-- a damaged value is refused
CREATE CAST (bytea AS int8vec) WITHOUT FUNCTION;
SELECT n, answer(format('SELECT %L::bytea::int8vec', bytes)) FROM (VALUES
    (1, '\x'), (2, '\x0101'), (3, '\x000000000000000000000000'), (4, '\x01010000000000000000000000'),
    (5, '\xffff0000000000000000000000')) AS t(n, bytes) ORDER BY n;
SELECT answer(format('SELECT (%L::bytea)::int8vec', '\x01010000' || repeat('ff', 8) || repeat('00', 257)));
DROP CAST (bytea AS int8vec);
DROP FUNCTION answer;

-- ---- indexes ----

\getenv srcdir PG_ABS_SRCDIR
\set compare :srcdir /sql/include/compare.sql
\set ECHO none
\i :compare

CREATE TABLE t AS SELECT id, v::int8vec(24) AS v FROM pg_temp.vectors(3000, 24);
CREATE TABLE q AS SELECT v FROM pg_temp.vectors(20, 24, 50001);
INSERT INTO q SELECT v FROM t WHERE id = 10;
SET quantvec.probes = 20;
SET quantvec.epsilon = 6;
CREATE FUNCTION pg_temp.judge(options text, class text, operator text, k int, OUT rows bigint, OUT wrong bigint)
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE INDEX t_v ON t USING quantvec (v %s) WITH (lists = 20, %s)', class, options);
    SELECT c.rows, c.wrong INTO rows, wrong FROM pg_temp.compare('t', format('v %s %%s::int8vec', operator),
        ARRAY(SELECT v FROM q OFFSET CASE WHEN k IS NULL THEN 18 ELSE 0 END), k) AS c;
    ASSERT (SELECT table_rows_checked = 3000 FROM quantvec_check('t_v', true));
    DROP INDEX t_v;
END
$$;
SELECT class, options, array_agg(rows ORDER BY k) AS rows, array_agg(wrong ORDER BY k) AS wrong
    FROM unnest('{bits = 1,bits = 4,quantizer = sq8,quantizer = pq}'::text[]) AS options,
         (VALUES ('int8vec_l2_ops', '<->'), ('int8vec_ip_ops', '<#>'), ('int8vec_cosine_ops', '<=>')) c(class, operator),
         unnest('{10,NULL}'::int[]) AS k, pg_temp.judge(options, class, operator, k)
    GROUP BY class, options ORDER BY class, options;
CREATE INDEX t_v ON t USING quantvec (v) WITH (lists = 20);
SELECT metric, dim, trained FROM quantvec_index_info('t_v');
SET enable_seqscan = off;
SELECT 1 FROM t ORDER BY v <-> '[1,2]' LIMIT 1;
DROP TABLE t, q;
