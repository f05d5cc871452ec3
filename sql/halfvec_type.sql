-- Type halfvec: text, binary, type modifier, casts. What it shares with vector is tested there; here is what halves change.

-- each number becomes the nearest half, and is written as the float that it is
SELECT '[1,2,3]'::halfvec, ' [ 1.5 , -2 , 0.1 ] '::halfvec, '[65504,-65504,6e-8,1e-8,-0]'::halfvec;
-- ties to even
SELECT '[2049,2051,65519]'::halfvec;

CREATE FUNCTION answer(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE command INTO result;
    RETURN result;
EXCEPTION WHEN OTHERS THEN
    RETURN concat_ws(' | ', SQLSTATE, left(SQLERRM, 75));
END $$;
SELECT input, answer(format('SELECT %L::halfvec', input)) FROM unnest(ARRAY[
    '[65520]', '[-1e6]', '[4e38]', '[1e400]', '[NaN]', '[Infinity]', '[]', '', '1', '[1', '[1,', '[1,]', '[1]x', '[a]',
    '[0x1p-24]']) AS t(input);
SELECT answer('SELECT ''[1,2,3]''::halfvec(2)'), answer('SELECT ''[1,2,3]''::halfvec(3)');
SELECT modifier, answer(format('SELECT NULL::halfvec(%s)', modifier))
    FROM unnest('{0,-1,1,16000,16001,"1,2"}'::text[]) AS t(modifier);

-- binary: dim, 0, then each half in network byte order
SELECT halfvec_send('[1,-2,65504,6e-8]');
-- What halfvec_recv makes of a payload: COPY hands it over as the field of a row.
CREATE TABLE received (val halfvec);
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
SELECT payload, receive(payload) FROM (VALUES
    ('\x000200003e00c100'::bytea), ('\x0001000080000000'), ('\x000100000001'),
    -- no dimension, 16001, 65535; the reserved field is not zero
    ('\x00000000'), ('\x3e810000'), ('\xffff0000'), ('\x000100013c00'),
    -- NaN, infinities
    ('\x000100007e00'), ('\x00010000fc01'), ('\x000100007c00'), ('\x00010000fc00'),
    -- too short, too long
    ('\x'), ('\x0001'), ('\x00010000'), ('\x000100003c'), ('\x000100003c0000'), ('\x000200003c00')) AS t(payload);
DROP TABLE received;
DROP FUNCTION receive;

-- every half comes back from text and from an array
SELECT count(*), bool_and(text_back = original AND array_back = original) FROM (
    SELECT original, original::text::halfvec AS text_back, original::real[]::halfvec AS array_back
        FROM (SELECT ('[' || sign * (mantissa + hidden) * 2 ^ exponent || ']')::halfvec AS original
              FROM generate_series(0, 1023) AS mantissa, unnest('{1,-1}'::int[]) AS sign,
                   (SELECT 1024, g FROM generate_series(-24, 5) AS g UNION ALL SELECT 0, -24) AS e(hidden, exponent)) AS o) AS r;

-- casts
SELECT '[1,2.5,-3]'::halfvec::vector, '[1,2.5,-3]'::vector::halfvec, '[0.1]'::vector::halfvec::vector;
SELECT answer('SELECT ''[65520]''::vector::halfvec'), answer('SELECT ''[1,2]''::vector::halfvec(3)'),
       answer('SELECT ''[1,2]''::halfvec::vector(3)');
SELECT ARRAY[1,2]::halfvec, '{0.1,2}'::real[]::halfvec, '{1e-9,2}'::float8[]::halfvec, '{65504,-3}'::numeric[]::halfvec,
       '[1,2]'::halfvec::real[];
SELECT type, input, answer(format('SELECT %L::%s[]::halfvec(2)', input, type)) FROM
    (VALUES ('{70000,1}'), ('{1,2,3}'), ('{}'), ('{{1,2}}'), ('{1,NULL}')) AS i(input),
    (VALUES (1, 'integer'), (2, 'real'), (3, 'float8'), (4, 'numeric')) AS t(n, type)
    ORDER BY n, input;
-- assigned without being asked for; vector to halfvec in expressions too
CREATE TABLE c (v vector(2), h halfvec(2));
INSERT INTO c VALUES ('[1,2]'::halfvec, '[3,4]'::vector), (ARRAY[1,2], ARRAY[3,4]);
SELECT v, h, l2_distance(v, h) FROM c;
SELECT string_agg(format('%s to %s: %s', castsource::regtype, casttarget::regtype, castcontext), E'\n'
                  ORDER BY castsource::regtype::text COLLATE "C", casttarget::regtype::text COLLATE "C") AS casts
    FROM pg_cast WHERE 'halfvec'::regtype IN (castsource, casttarget)
    AND (castsource::regtype::text || casttarget::regtype::text) !~ 'sparsevec|int8vec';
DROP TABLE c;

-- a damaged value is refused, not believed
CREATE CAST (bytea AS halfvec) WITHOUT FUNCTION;
SELECT type, answer(format('SELECT %L::bytea::halfvec', bytes)) FROM (VALUES
    ('two dimensions in the bytes of one', '\x020000000000'), ('no dimension', '\x00000000'), ('no bytes', '\x'),
    ('a dimension below zero', '\xffff00000000')) AS t(type, bytes);
DROP CAST (bytea AS halfvec);
DROP FUNCTION answer;
