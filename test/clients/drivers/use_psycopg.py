"""psycopg 3: binary and text parameters, COPY both ways, prepared statements, named cursors."""
import psycopg
from pgvector import Bit, HalfVector, SparseVector
from pgvector.psycopg import register_vector
from quantvec_client import *

client("psycopg 3", "psycopg", "pgvector")
db = psycopg.connect(URL, autocommit=True)


@check("CREATE EXTENSION and type registration")
def _():
    if CREATES_EXTENSION:
        db.execute("CREATE EXTENSION IF NOT EXISTS vector")
    register_vector(db)
    are_equal(db.execute("SELECT '[1,2,3]'::vector").fetchone(), [[1, 2, 3]])


@check("create table, insert by parameters, text and binary")
def _():
    db.execute(f"CREATE TABLE items (id int PRIMARY KEY, v vector({DIM}))")
    with db.cursor() as cursor:
        cursor.executemany("INSERT INTO items VALUES (%s, %s)", [(i, VECTORS[i]) for i in range(100)])
        cursor.executemany("INSERT INTO items VALUES (%b, %b)", [(i, VECTORS[i]) for i in range(100, 200)])
    for binary in (False, True):
        rows = db.execute("SELECT id, v FROM items ORDER BY id", binary=binary).fetchall()
        are_equal((row[1] for row in rows), VECTORS[:200])


@check("binary COPY in and out")
def _():
    with db.cursor() as cursor:
        with cursor.copy("COPY items FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "vector"])
            for i in range(200, ROWS):
                copy.write_row((i, VECTORS[i]))
        with cursor.copy("COPY (SELECT id, v FROM items ORDER BY id) TO STDOUT (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "vector"])
            rows = list(copy.rows())
    assert [row[0] for row in rows] == list(range(ROWS))
    are_equal((row[1] for row in rows), VECTORS)


for operator, ops in CLASSES.items():
    @check(f"index vector_{ops}, ORDER BY v {operator}")
    def _():
        db.execute(f"CREATE INDEX items_{ops} ON items USING {METHOD} (v vector_{ops})")
        statement = f"SELECT id FROM items ORDER BY v {operator} %s LIMIT 10"
        for query in QUERIES:
            is_nearest((row[0] for row in db.execute(statement, (query,), binary=True)), query, operator)
        uses_index(db.execute("EXPLAIN " + statement, (QUERIES[0],)), f"items_{ops}")


@check("NULL goes in and comes out, and is in no answer")
def _():
    db.execute("INSERT INTO items VALUES (%s, %s)", (ROWS, None))
    assert db.execute("SELECT v FROM items WHERE id = %s", (ROWS,)).fetchone()[0] is None
    rows = db.execute("SELECT id FROM items ORDER BY v <-> %s LIMIT 10", (QUERIES[0],))
    is_nearest((row[0] for row in rows), QUERIES[0])


@check("avg and sum")
def _():
    mean, total = db.execute("SELECT avg(v), sum(v) FROM items").fetchone()
    are_close(mean, VECTORS.mean(axis=0))
    are_close(total, VECTORS.sum(axis=0), 1e-3)


@check("prepared statements, custom and generic plans")
def _():
    for _ in range(3):
        for query in QUERIES:
            rows = db.execute("SELECT id FROM items ORDER BY v <-> %s LIMIT 5", (query,), prepare=True)
            is_nearest((row[0] for row in rows), query)


@check("a named cursor reads all rows")
def _():
    with db.transaction(), db.cursor(name="all_rows") as cursor:
        db.execute(ONE_LIST)
        cursor.itersize = 100
        cursor.execute("SELECT id FROM items WHERE v IS NOT NULL ORDER BY v <-> %s", (QUERIES[0],))
        are_all_rows(row[0] for row in cursor)


@check("halfvec: parameters, binary COPY, index")
def _():
    db.execute(f"CREATE TABLE halves (id int, v halfvec({DIM}))")
    with db.cursor() as cursor, cursor.copy("COPY halves FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["int4", "halfvec"])
        for i in range(ROWS):
            copy.write_row((i, HalfVector(VECTORS[i])))
    for binary in (False, True):
        are_equal(db.execute("SELECT v FROM halves WHERE id = 7", binary=binary).fetchone(), VECTORS[7:8])
    db.execute(f"CREATE INDEX halves_v ON halves USING {METHOD} (v halfvec_l2_ops)")
    statement = "SELECT id FROM halves ORDER BY v <-> %s LIMIT 10"
    is_nearest((row[0] for row in db.execute(statement, (HalfVector(QUERIES[1]),))), QUERIES[1])
    uses_index(db.execute("EXPLAIN " + statement, (HalfVector(QUERIES[1]),)), "halves_v")


@check("sparsevec: parameters, binary COPY, ORDER BY")
def _():
    db.execute(f"CREATE TABLE sparse (id int, v sparsevec({DIM}))")
    with db.cursor() as cursor, cursor.copy("COPY sparse FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["int4", "sparsevec"])
        for i, row in enumerate(SPARSE):
            copy.write_row((i, SparseVector(row)))
    for binary in (False, True):
        are_equal(db.execute("SELECT v FROM sparse WHERE id = 7", binary=binary).fetchone(), SPARSE[7:8])
    found = db.execute("SELECT id FROM sparse ORDER BY v <-> %s LIMIT 10", (SparseVector(QUERIES[2]),))
    is_nearest((row[0] for row in found), QUERIES[2], rows=SPARSE)


@check("bit: parameters, ORDER BY <~>")
def _():
    db.execute(f"CREATE TABLE bits (id int, b bit({DIM}))")
    with db.cursor() as cursor:
        cursor.executemany("INSERT INTO bits VALUES (%s, %s)", [(i, Bit(row)) for i, row in enumerate(BITS)])
    found = db.execute("SELECT id FROM bits ORDER BY b <~> %s LIMIT 10", (Bit(BITS[3]),))
    has_fewest_differences((row[0] for row in found), BITS[3])


@check("wrong dimensions are an error with pgvector's message and SQLSTATE")
def _():
    try:
        db.execute("INSERT INTO items VALUES (-1, %s)", (VECTORS[0][:3],))
    except psycopg.errors.DataException as error:
        assert error.sqlstate == "22000" and str(error) == f"expected {DIM} dimensions, not 3", error
    else:
        raise AssertionError("no error")


end()
