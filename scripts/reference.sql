-- The tables of docs/reference.md, from the catalog of a database that has extension quantvec: psql -XAtq -f. What is told
-- of an object is its COMMENT.
CREATE TEMP VIEW member AS
    SELECT classid, objid, obj_description(objid, classid::regclass::name) AS told
    FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
    AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'quantvec');
CREATE TEMP VIEW function AS
    SELECT p.*, told, told ~ '^(I/O|implementation of|aggregate |handler of|what .* is to the access|tells the access)'
        OR prorettype = 'event_trigger'::regtype OR EXISTS (SELECT FROM pg_cast WHERE castfunc = p.oid) AS for_the_server,
        format('`%s(%s)`', proname, coalesce((SELECT string_agg(trim(name || ' ' || format_type(type, NULL)), ', ' ORDER BY n)
            FROM unnest(proargtypes::oid[], coalesce(proargnames[1:pronargs], array_fill(''::text, ARRAY[pronargs::int])))
                WITH ORDINALITY AS a(type, name, n)), '')) AS signature
    FROM member JOIN pg_proc AS p ON classid = 'pg_proc'::regclass AND p.oid = objid;

SELECT E'\n## Types\n\n| type | |\n|---|---|';
SELECT format('| `%s` | %s |', typname, told) FROM member JOIN pg_type AS t ON classid = 'pg_type'::regclass AND t.oid = objid
    WHERE typcategory <> 'A' ORDER BY typname <> 'vector', typname COLLATE "C";

SELECT E'\n## Operators\n\n| operator | types | returns | |\n|---|---|---|---|';
SELECT format('| `%s` | %s | %s | %s |', replace(oprname, '|', '\|'), string_agg('`' || oprleft::regtype || '`', ', ' ORDER BY oprleft::regtype::text COLLATE "C" DESC),
              CASE WHEN bool_and(oprresult = oprleft) THEN 'the type' ELSE min(oprresult::regtype::text) END, told)
    FROM member JOIN pg_operator AS o ON classid = 'pg_operator'::regclass AND o.oid = objid
    GROUP BY oprname, told ORDER BY min(oprresult::regtype::text) COLLATE "C" DESC, oprname COLLATE "C";

SELECT E'\n## Functions and aggregates\n\n| function | returns | |\n|---|---|---|';
SELECT format('| %s | %s | %s |', signature, CASE WHEN prorettype = 'record'::regtype THEN 'one row' ELSE '`' || prorettype::regtype || '`' END, replace(told, '|', '\|'))
    FROM function WHERE NOT for_the_server ORDER BY signature COLLATE "C";

SELECT E'\n## Casts\n\n| from | to | made |\n|---|---|---|';
SELECT format('| `%s` | `%s` | %s |', castsource::regtype, casttarget::regtype,
              CASE castcontext WHEN 'i' THEN 'wherever it is wanted' WHEN 'a' THEN 'in assignments' ELSE 'if asked for' END)
    FROM member JOIN pg_cast AS c ON classid = 'pg_cast'::regclass AND c.oid = objid
    ORDER BY castsource::regtype::text COLLATE "C" DESC, casttarget::regtype::text COLLATE "C";

SELECT E'\n## Operator classes\n\n| class | for | default | |\n|---|---|---|---|';
SELECT format('| `%s` | `%s` | %s | %s: %s |', opcname, opcintype::regtype, CASE WHEN opcdefault THEN 'yes' ELSE '' END, amname, told)
    FROM member JOIN pg_opclass AS c ON classid = 'pg_opclass'::regclass AND c.oid = objid JOIN pg_am AS a ON a.oid = opcmethod
    ORDER BY amname COLLATE "C" DESC, opcintype::regtype::text COLLATE "C" DESC, opcname COLLATE "C";

SELECT E'\n## Functions that the server calls\n\n| function | |\n|---|---|';
SELECT format('| %s | %s |', string_agg(signature, ', ' ORDER BY signature COLLATE "C"), replace(told, '|', '\|'))
    FROM function WHERE for_the_server GROUP BY told ORDER BY told COLLATE "C";
