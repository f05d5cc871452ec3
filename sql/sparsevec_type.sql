-- Type sparsevec: text, binary, type modifier, casts.

-- indices count from 1, in any order; zeros are left out
SELECT '{1:1.5,3:3.5}/5'::sparsevec, ' { 3 : 3.5 , 1 : -1 } / 5 '::sparsevec, '{}/3'::sparsevec, '{1:0,2:1}/2'::sparsevec,
       '{1000000000:1e-45}/1000000000'::sparsevec;
CREATE FUNCTION answer(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE command INTO result;
    RETURN result;
EXCEPTION WHEN OTHERS THEN
    RETURN concat_ws(' | ', SQLSTATE, left(SQLERRM, 100));
END $$;
SELECT input, answer(format('SELECT %L::sparsevec', input)) FROM unnest(ARRAY[
    '', '[1]', '{', '{1', '{1:', '{1:1', '{1:1}', '{1:1}/', '{1:1}/x', '{1:1}/2x', '{:1}/2', '{1:}/2', '{1:1,}/2', '{x:1}/2',
    '{1:1}/0', '{1:1}/-1', '{}/1000000001', '{}/99999999999', '{0:1}/2', '{3:1}/2', '{-1:1}/2', '{99999999999:1}/2', '{2:1,2:3}/2',
    '{1:nan}/2', '{1:-inf}/2', '{1:4e38}/2', '{1:1e-50}/2']) AS t(input);
-- at most 16000 that are not zero
SELECT l2_norm(('{' || string_agg(i || ':1', ',') || '}/16000')::sparsevec)::real FROM generate_series(1, 16000) AS i;
SELECT answer(format('SELECT %L::sparsevec', '{' || string_agg(i || ':1', ',') || '}/16001')) FROM generate_series(1, 16001) AS i;
SELECT answer('SELECT ''{1:1}/3''::sparsevec(2)'), answer('SELECT ''{1:1}/3''::sparsevec(3)');
SELECT modifier, answer(format('SELECT NULL::sparsevec(%s)', modifier))
    FROM unnest('{0,-1,1,1000000000,1000000001,"1,2"}'::text[]) AS t(modifier);

-- binary: dim, number of entries, 0, indices from 0, values; in network byte order
SELECT sparsevec_send('{2:1.5,5:-2}/5');
CREATE TABLE received (val sparsevec);
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
SELECT what, receive(payload) FROM (VALUES
    (1, 'two entries', '\x00000005000000020000000000000001000000043fc00000c0000000'::bytea), (2, 'none', '\x000000050000000000000000'),
    (3, 'no dimension', '\x000000000000000000000000'), (4, 'below zero', '\xffffffff0000000000000000'),
    (5, 'too many dimensions', '\x3b9aca010000000000000000'), (6, 'entries below zero', '\x00000005ffffffff00000000'),
    (7, 'too many entries', '\x000fffff00003e8100000000'), (8, 'more than dimensions', '\x000000010000000200000000'),
    (9, 'reserved', '\x000000050000000000000001'), (10, 'index beyond', '\x000000050000000100000000000000053f800000'),
    (11, 'index below', '\x000000050000000100000000ffffffff3f800000'),
    (12, 'descending', '\x00000005000000020000000000000002000000013f8000003f800000'),
    (13, 'twice', '\x00000005000000020000000000000001000000013f8000003f800000'),
    (14, 'zero', '\x0000000500000001000000000000000100000000'), (15, 'NaN', '\x000000050000000100000000000000017fc00000'),
    (16, 'infinite', '\x00000005000000010000000000000001ff800000'), (17, 'short', '\x0000000500000001000000000000000100'),
    (18, 'shorter', '\x00000005000000'), (19, 'long', '\x00000005000000000000000000')) AS t(n, what, payload) ORDER BY n;
-- out and in
SELECT count(*), bool_and(receive(sparsevec_send(val)) = val::text) FROM
    (SELECT (SELECT array_agg(CASE WHEN (i * j) % 5 = 0 THEN sin(i * j) ELSE 0 END ORDER BY j) FROM generate_series(1, i) AS j)::sparsevec AS val
         FROM generate_series(1, 60) AS i) AS t;
DROP FUNCTION receive;
DROP TABLE received;

-- casts: to a dense type and back, and from arrays
SELECT '{2:1.5,4:3.5}/5'::sparsevec::vector, '[0,1.5,0,3.5,-0]'::vector::sparsevec, '{2:0.1}/3'::sparsevec::halfvec,
       '[0,0.1,0]'::halfvec::sparsevec;
SELECT answer('SELECT ''{}/16001''::sparsevec::vector'), answer('SELECT ''{1:65520}/1''::sparsevec::halfvec'),
       answer('SELECT ''{1:1}/3''::sparsevec::vector(2)'), answer('SELECT ''[1,2]''::vector::sparsevec(3)');
SELECT ARRAY[1,0,2]::sparsevec, '{0.1,0,2}'::real[]::sparsevec, '{0,0}'::float8[]::sparsevec, '{0.0,3}'::numeric[]::sparsevec;
SELECT type, input, answer(format('SELECT %L::%s[]::sparsevec(2)', input, type)) FROM
    (VALUES ('{1,2,3}'), ('{}'), ('{{1,2}}'), ('{1,NULL}')) AS i(input),
    (VALUES (1, 'integer'), (2, 'real'), (3, 'float8'), (4, 'numeric')) AS t(n, type) ORDER BY n, input;
SELECT answer('SELECT ''{1,NaN}''::real[]::sparsevec'), answer('SELECT ''{Infinity}''::float8[]::sparsevec'),
       answer('SELECT array_agg(i)::sparsevec FROM generate_series(1, 16001) AS i');
SELECT vector_dims(array_agg(CASE WHEN i < 4 THEN i ELSE 0 END)::sparsevec::vector) FROM generate_series(1, 16000) AS i;
CREATE TABLE c (v vector(2), h halfvec(2), s sparsevec(2));
INSERT INTO c VALUES ('{1:1}/2'::sparsevec, '{1:1}/2'::sparsevec, '[1,0]'::vector), (NULL, NULL, '[0,1]'::halfvec), (NULL, NULL, ARRAY[1,2]);
SELECT * FROM c;
SELECT string_agg(format('%s to %s: %s', castsource::regtype, casttarget::regtype, castcontext), E'\n'
                  ORDER BY castsource::regtype::text COLLATE "C", casttarget::regtype::text COLLATE "C") AS casts
    FROM pg_cast WHERE 'sparsevec'::regtype IN (castsource, casttarget);
DROP TABLE c;

-- a damaged value is refused, and an index that it names is not gone to
CREATE CAST (bytea AS sparsevec) WITHOUT FUNCTION;
SELECT n, what, answer(format('SELECT (%L::bytea::sparsevec)::vector', bytes)) FROM (VALUES
    (1, 'no bytes', '\x'), (2, 'short head', '\x0101010100000000'), (3, 'no dimension', '\x000000000000000000000000'),
    (4, 'entries without bytes', '\x010101010101010100000000'), (5, 'dimensions below zero', '\xffffffff0000000000000000'),
    (6, 'entries below zero', '\x01010101ffffffff00000000')) AS t(n, what, bytes) ORDER BY n;
-- 0x00010001 reads the same in both byte orders, by halves: 65537 dimensions are too many for a vector in any case
SELECT answer($$SELECT ('\x00010001' || repeat('00', 8))::bytea::sparsevec::vector$$);
DROP CAST (bytea AS sparsevec);
DROP FUNCTION answer;
