-- Type vector: text, binary, type modifier, bytes in memory and in tables.
-- Texts and SQLSTATEs of errors are pgvector's.

-- What a command answers: its first column, or SQLSTATE, message and detail.
CREATE FUNCTION answer(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
    detail text;
BEGIN
    EXECUTE command INTO result;
    RETURN result;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''));
END $$;

-- text

SELECT input, answer(format('SELECT %L::vector', input)) FROM (VALUES
    ('[1,2,3]'), ('[-1,-2.5,+3]'), (' [ 1 ,  2 ] '), ('[1.,.5]'), ('[0x1p3]'),
    ('[1.23456789]'), ('[16777217]'), ('[1e5,1e-5,1e6,1e15]'), ('[1.5e38,-1.5e+38,1.5e-38]'),
    ('[3.4028235e38,1e-45]'), ('[1e-46,-1e-46]'), ('[-0,0]')) AS t(input);

SELECT input, answer(format('SELECT %L::vector', input)) FROM (VALUES
    (''), ('1,2,3'), ('{1,2,3}'), ('['), ('[ '), ('[,'), ('[,]'), ('[1'), ('[1,'), ('[1,2,3'),
    ('[1,]'), ('[1,,3]'), ('[1, ,3]'), ('[1 2]'), ('[1;2]'), ('[hello,1]'), ('[1a]'), ('[1e]'),
    ('[1,2,3]9'), ('[1] ]'), ('[[1]]'), ('[]'), ('[ ]'),
    ('[NaN,1]'), ('[nan(1)]'), ('[Infinity,1]'), ('[-inf]'), ('[4e38,1]'), ('[1,-4e38]')) AS t(input);

-- the caret points at the literal
SELECT '[1,2'::vector;

-- all six spaces, at every place where one may be
SELECT replace('_[_1_,_2_]_', '_', E' \t\n\r\x0b\f')::vector;

-- 16000 dimensions and one more; the limit comes before what stands behind it
SELECT vector_dims(('[' || repeat('1,', 15999) || '1]')::vector);
SELECT answer('SELECT ''[' || repeat('1,', 16000) || '1]''::vector');
SELECT answer('SELECT ''[' || repeat('1,', 16000) || 'x]''::vector');
SELECT left(answer('SELECT ''[' || repeat('1,', 15999) || 'x]''::vector'), 50);

-- what is written reads back to the same floats, whatever extra_float_digits says
CREATE TABLE v AS
    SELECT i, array_agg((sin(i * 131 + j) * 10.0::float8 ^ (i % 77 - 38))::real ORDER BY j)::vector AS val
    FROM generate_series(1, 500) i, generate_series(1, 1 + i % 9) j GROUP BY i;
SET extra_float_digits = -5;
SELECT count(*) AS vectors, count(*) FILTER (WHERE val::text::vector::real[] <> val::real[]) AS changed FROM v;
SELECT '[0.1,0.3333333333333333,123456789]'::vector;
RESET extra_float_digits;

-- type modifier

SELECT modifier, answer(format('SELECT ''[1,2,3]''::vector(%s)', modifier)) FROM (VALUES
    ('3'), ('2'), ('4'), ('16000'), ('3, 2'), ('''a'''), ('0'), ('-1'), ('16001')) AS t(modifier);
CREATE TABLE m (a vector, b vector(3), c vector(3)[]);
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = 'm'::regclass AND attnum > 0 ORDER BY attnum;
INSERT INTO m VALUES ('[1]', '[1,2,3]', '{"[1,2,3]","[4,5,6]"}');
INSERT INTO m VALUES ('[1]', '[1,2]', NULL);
INSERT INTO m VALUES ('[1]', NULL, '{"[1,2]"}');
SELECT * FROM m;

-- binary

-- What vector_recv makes of a payload: COPY hands it over as the field of a row.
CREATE TABLE received (val vector);
CREATE TABLE received2 (val vector(2));
CREATE FUNCTION receive(payload bytea, target regclass = 'received') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    stream bytea := '\x5047434f50590aff0d0a00' || decode(repeat('00', 8), 'hex')
        || '\x0001' || int4send(length(payload)) || payload || '\xffff';
    escaped text := string_agg(format('\0%s%s%s', b / 64, b / 8 % 8, b % 8), '' ORDER BY i)
        FROM generate_series(0, length(stream) - 1) i, get_byte(stream, i) b;
BEGIN
    EXECUTE format('TRUNCATE %s', target);
    EXECUTE format('COPY %s FROM PROGRAM %L WITH (FORMAT binary)', target, 'printf %b "' || escaped || '"');
    RETURN answer(format('SELECT val FROM %s', target));
EXCEPTION WHEN OTHERS THEN
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM);
END $$;

SELECT vector_send('[1,-2.5]');
SELECT payload, receive(payload) FROM (VALUES
    ('\x000200003f800000c0200000'::bytea), ('\x0001000080000000'), ('\x0001000000000001'),
    -- no dimension, 16001, 65535
    ('\x00000000'), ('\x3e810000'), ('\xffff0000'),
    -- the reserved field is not zero
    ('\x000100013f800000'),
    -- NaN, infinities
    ('\x000100007fc00000'), ('\x00010000ff800001'), ('\x000100007f800000'), ('\x00010000ff800000'),
    -- too short, too long
    ('\x'), ('\x0001'), ('\x00010000'), ('\x000100003f8000'), ('\x000100003f80000000'),
    ('\x000100003f8000003f800000')) AS t(payload);
SELECT payload, receive(payload, 'received2') FROM (VALUES
    ('\x000200003f800000c0200000'::bytea), ('\x000100003f800000')) AS t(payload);
-- out and in
SELECT count(*) AS vectors, count(*) FILTER (WHERE receive(vector_send(val)) <> val::text) AS changed
    FROM v WHERE i % 10 = 0;

-- in memory: dim and a zero, two bytes each, then the floats

SELECT typlen, typbyval, typalign, typstorage, typcategory FROM pg_type WHERE oid = 'vector'::regtype;
CREATE CAST (vector AS bytea) WITHOUT FUNCTION;
CREATE CAST (bytea AS vector) WITHOUT FUNCTION;
SELECT octet_length('[1,2,3]'::vector::bytea), pg_column_size('[1,2,3]'::vector);
SELECT '[1,2,3]'::vector::bytea::vector;

-- a value whose dimensions are not those of its size; 0x0101 reads the same in both byte orders
SELECT value, answer(format('SELECT %L::bytea::vector', value)) FROM (VALUES
    ('\x'), ('\x01'), ('\x0101'), ('\x01010000'), ('\x00000000'), ('\x0000000000000000'),
    ('\x0101000000000000'), ('\xffff000000000000')) AS t(value);
SELECT vector_dims(decode('01010000' || repeat('00', 4 * 257), 'hex')::vector);
SELECT answer($$SELECT vector_dims(decode('01010000' || repeat('00', 4 * 257 + 1), 'hex')::vector)$$);
-- wherever it is read
SELECT command, answer(replace(command, '?', $$'\x0101000000000000'::bytea::vector$$)) FROM (VALUES
    ('SELECT ? <-> ''[1]'''), ('SELECT ''[1]'' <-> ?'), ('SELECT ''[1]'' <#> ?'),
    ('SELECT ''[1]'' <=> ?'), ('SELECT ''[1]'' <+> ?'), ('SELECT ''[1]'' < ?'), ('SELECT ? = ''[1]'''),
    ('SELECT vector_dims(?)'), ('SELECT vector_norm(?)'), ('SELECT l2_normalize(?)'),
    ('SELECT vector_send(?)'), ('SELECT (?)::vector(1)'), ('SELECT (?)::real[]')) AS t(command);
DROP CAST (vector AS bytea);
DROP CAST (bytea AS vector);

-- in tables: a short header, out of line, compressed

CREATE TABLE stored (id int, val vector);
INSERT INTO stored SELECT n, array_agg((i * n)::real ORDER BY i)::vector
    FROM unnest(ARRAY[1, 30, 700, 16000]) n, generate_series(1, n) i GROUP BY n;
SELECT id, vector_dims(val), val::real[] = (SELECT array_agg((i * id)::real ORDER BY i) FROM generate_series(1, id) i) AS same
    FROM stored ORDER BY id;
SELECT pg_column_size(val) AS short_header FROM stored WHERE id = 1;
SELECT pg_relation_size(reltoastrelid) > 64000 AS out_of_line FROM pg_class WHERE oid = 'stored'::regclass;
ALTER TABLE stored ALTER val SET STORAGE main;
INSERT INTO stored VALUES (0, array_fill(0.5::real, ARRAY[16000])::vector);
SELECT pg_column_size(val) < 8000 AS compressed, vector_dims(val), vector_norm(val) FROM stored WHERE id = 0;

DROP FUNCTION answer, receive;
DROP TABLE v, m, received, received2, stored;
