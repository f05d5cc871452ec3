"""pg8000, a driver that is Python alone."""
import pg8000.native
from pgvector import HalfVector, SparseVector
from pgvector.pg8000 import register_vector
from quantvec_client import *

client("pg8000", "pg8000", "pgvector")
host, database, user = host_and_database()
db = pg8000.native.Connection(user, database=database, unix_sock=f"{host}/.s.PGSQL.5432")


@check("CREATE EXTENSION and type registration")
def _():
    if CREATES_EXTENSION:
        db.run("CREATE EXTENSION IF NOT EXISTS vector")
    register_vector(db)
    are_equal(db.run("SELECT '[1,2,3]'::vector")[0], [[1, 2, 3]])


@check("create table, insert and read vector, halfvec, sparsevec")
def _():
    db.run(f"CREATE TABLE items (id int PRIMARY KEY, v vector({DIM}), h halfvec({DIM}), s sparsevec({DIM}))")
    statement = db.prepare("INSERT INTO items VALUES (:id, :v, :h, :s)")
    for i in range(ROWS):
        statement.run(id=i, v=VECTORS[i], h=HalfVector(VECTORS[i]), s=SparseVector(SPARSE[i % 200]))
    rows = db.run("SELECT v, h, s FROM items ORDER BY id")
    are_equal((row[0] for row in rows), VECTORS)
    are_equal((row[1] for row in rows), VECTORS)
    are_equal((row[2] for row in rows[:200]), SPARSE)


for operator, ops in CLASSES.items():
    @check(f"index vector_{ops}, ORDER BY v {operator}")
    def _():
        db.run(f"CREATE INDEX items_{ops} ON items USING {METHOD} (v vector_{ops})")
        statement = f"SELECT id FROM items ORDER BY v {operator} :query LIMIT 10"
        for query in QUERIES:
            is_nearest((row[0] for row in db.run(statement, query=query)), query, operator)
        uses_index(db.run("EXPLAIN " + statement, query=QUERIES[0]), f"items_{ops}")


@check("avg and sum")
def _():
    mean, total = db.run("SELECT avg(v), sum(v) FROM items")[0]
    are_close(mean, VECTORS.mean(axis=0))
    are_close(total, VECTORS.sum(axis=0), 1e-3)


end()
