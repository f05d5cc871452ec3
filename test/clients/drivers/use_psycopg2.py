"""psycopg2: everything as text; COPY of text, PREPARE and EXECUTE by hand, named cursors."""
import io

import psycopg2
import psycopg2.errors
import psycopg2.extras
from pgvector import Bit, HalfVector, SparseVector, Vector
from pgvector.psycopg2 import register_vector
from quantvec_client import *

client("psycopg2", "psycopg2-binary", "pgvector")
db = psycopg2.connect(URL)
db.autocommit = True
cursor = db.cursor()


def rows(statement, parameters=()):
    cursor.execute(statement, parameters)
    return cursor.fetchall()


@check("CREATE EXTENSION and type registration")
def _():
    if CREATES_EXTENSION:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
    register_vector(db, arrays=True)
    are_equal(rows("SELECT '[1,2,3]'::vector")[0], [[1, 2, 3]])
    are_equal(rows("SELECT ARRAY['[1,2,3]', '[4,5,6]']::vector[]")[0][0], [[1, 2, 3], [4, 5, 6]])


@check("create table, insert by parameters")
def _():
    cursor.execute(f"CREATE TABLE items (id int PRIMARY KEY, v vector({DIM}))")
    psycopg2.extras.execute_values(cursor, "INSERT INTO items VALUES %s", [(i, VECTORS[i]) for i in range(1000)])
    are_equal((row[0] for row in rows("SELECT v FROM items ORDER BY id")), VECTORS[:1000])


@check("COPY in and out")
def _():
    text = "".join(f"{i}\t{Vector(VECTORS[i]).to_text()}\n" for i in range(1000, ROWS))
    cursor.copy_expert("COPY items FROM STDIN", io.StringIO(text))
    out = io.StringIO()
    cursor.copy_expert("COPY (SELECT id, v FROM items WHERE id >= 1000 ORDER BY id) TO STDOUT", out)
    values = [Vector.from_text(line.split("\t")[1]) for line in out.getvalue().splitlines()]
    are_equal(values, VECTORS[1000:])


for operator, ops in CLASSES.items():
    @check(f"index vector_{ops}, ORDER BY v {operator}")
    def _():
        cursor.execute(f"CREATE INDEX items_{ops} ON items USING {METHOD} (v vector_{ops})")
        statement = f"SELECT id FROM items ORDER BY v {operator} %s LIMIT 10"
        for query in QUERIES:
            is_nearest((row[0] for row in rows(statement, (query,))), query, operator)
        uses_index(rows("EXPLAIN " + statement, (QUERIES[0],)), f"items_{ops}")


@check("NULL goes in and comes out, and is in no answer")
def _():
    cursor.execute("INSERT INTO items VALUES (%s, %s)", (ROWS, None))
    assert rows("SELECT v FROM items WHERE id = %s", (ROWS,)) == [(None,)]
    ids = [row[0] for row in rows("SELECT id FROM items ORDER BY v <-> %s LIMIT 10", (QUERIES[0],))]
    is_nearest(ids, QUERIES[0])


@check("avg and sum")
def _():
    mean, total = rows("SELECT avg(v), sum(v) FROM items")[0]
    are_close(mean, VECTORS.mean(axis=0))
    are_close(total, VECTORS.sum(axis=0), 1e-3)


@check("PREPARE and EXECUTE, custom and generic plans")
def _():
    cursor.execute("PREPARE nearest(vector) AS SELECT id FROM items ORDER BY v <-> $1 LIMIT 5")
    for _ in range(3):
        for query in QUERIES:
            is_nearest((row[0] for row in rows("EXECUTE nearest(%s)", (query,))), query)


@check("a named cursor reads all rows")
def _():
    db.autocommit = False
    with db, db.cursor("all_rows") as named:
        cursor.execute(ONE_LIST)
        named.itersize = 100
        named.execute("SELECT id FROM items WHERE v IS NOT NULL ORDER BY v <-> %s", (QUERIES[0],))
        ids = [row[0] for row in named]
    db.autocommit = True
    are_all_rows(ids)


@check("halfvec: parameters, index")
def _():
    cursor.execute(f"CREATE TABLE halves (id int, v halfvec({DIM}))")
    psycopg2.extras.execute_values(cursor, "INSERT INTO halves VALUES %s",
                                   [(i, HalfVector(VECTORS[i])) for i in range(ROWS)])
    are_equal(rows("SELECT v FROM halves WHERE id = 7")[0], VECTORS[7:8])
    cursor.execute(f"CREATE INDEX halves_v ON halves USING {METHOD} (v halfvec_l2_ops)")
    statement = "SELECT id FROM halves ORDER BY v <-> %s LIMIT 10"
    is_nearest((row[0] for row in rows(statement, (HalfVector(QUERIES[1]),))), QUERIES[1])
    uses_index(rows("EXPLAIN " + statement, (HalfVector(QUERIES[1]),)), "halves_v")


@check("sparsevec: parameters, ORDER BY")
def _():
    cursor.execute(f"CREATE TABLE sparse (id int, v sparsevec({DIM}))")
    psycopg2.extras.execute_values(cursor, "INSERT INTO sparse VALUES %s",
                                   [(i, SparseVector(row)) for i, row in enumerate(SPARSE)])
    are_equal(rows("SELECT v FROM sparse WHERE id = 7")[0], SPARSE[7:8])
    found = rows("SELECT id FROM sparse ORDER BY v <-> %s LIMIT 10", (SparseVector(QUERIES[2]),))
    is_nearest((row[0] for row in found), QUERIES[2], rows=SPARSE)


@check("bit: parameters, ORDER BY <~>")
def _():
    cursor.execute(f"CREATE TABLE bits (id int, b bit({DIM}))")
    psycopg2.extras.execute_values(cursor, "INSERT INTO bits VALUES %s",
                                   [(i, Bit(row).to_text()) for i, row in enumerate(BITS)])
    found = rows("SELECT id FROM bits ORDER BY b <~> %s LIMIT 10", (Bit(BITS[3]).to_text(),))
    has_fewest_differences((row[0] for row in found), BITS[3])


@check("wrong dimensions are an error with pgvector's message and SQLSTATE")
def _():
    try:
        cursor.execute("INSERT INTO items VALUES (-1, %s)", (VECTORS[0][:3],))
    except psycopg2.errors.DataException as error:
        assert error.pgcode == "22000" and error.diag.message_primary == f"expected {DIM} dimensions, not 3", error
    else:
        raise AssertionError("no error")


end()
