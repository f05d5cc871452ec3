"""pgvector beside us: its indexes and ours on one column, in one session, in both load orders."""
import psycopg
from pgvector.psycopg import register_vector
from quantvec_client import *

db = psycopg.connect(URL, autocommit=True)
register_vector(db)
theirs = db.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()[0]
print(f"# pgvector beside quantvec: pgvector {theirs}", flush=True)
STATEMENT = "SELECT id FROM items ORDER BY v <-> %s LIMIT 10"
OTHERS = {"hnsw": ("ivfflat", "quantvec"), "ivfflat": ("hnsw", "quantvec"), "quantvec": ("hnsw", "ivfflat")}


def answers(connection, method):
    """The answers of one index: without the others, whose DROP is rolled back."""
    with connection.transaction(force_rollback=True):
        for other in OTHERS[method]:
            connection.execute(f"DROP INDEX items_{other}")
        uses_index(connection.execute("EXPLAIN " + STATEMENT, (QUERIES[0],)), f"items_{method}")
        return [[row[0] for row in connection.execute(STATEMENT, (query,))] for query in QUERIES]


@check("hnsw, ivfflat and quantvec on one column, ours made CONCURRENTLY")
def _():
    db.execute(f"CREATE TABLE items (id int PRIMARY KEY, v vector({DIM}))")
    with db.cursor().copy("COPY items FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["int4", "vector"])
        for i in range(ROWS):
            copy.write_row((i, VECTORS[i]))
    db.execute("CREATE INDEX items_hnsw ON items USING hnsw (v vector_l2_ops)")
    db.execute("CREATE INDEX items_ivfflat ON items USING ivfflat (v vector_l2_ops) WITH (lists = 10)")
    db.execute("CREATE INDEX CONCURRENTLY items_quantvec ON items USING quantvec (v vector_l2_ops)")
    db.execute("ANALYZE items")


for order in (("quantvec", "hnsw"), ("hnsw", "quantvec")):
    @check(f"a new session asks {order[0]}, then {order[1]}")
    def _():
        with psycopg.connect(URL) as connection:
            register_vector(connection)
            found = {method: answers(connection, method) for method in order}
        for query, ids in zip(QUERIES, found["quantvec"]):
            is_nearest(ids, query)
        hits = sum(len(set(a) & set(b)) for a, b in zip(found["quantvec"], found["hnsw"]))
        assert hits >= 45, f"{hits} of the 50 nearest rows are hnsw's too"


@check("the planner chooses between them")
def _():
    uses_index(db.execute("EXPLAIN " + STATEMENT, (QUERIES[0],)), "items_")


@check("settings of both")
def _():
    with db.transaction():
        db.execute("SET LOCAL hnsw.ef_search = 100; SET LOCAL ivfflat.probes = 10; SET LOCAL quantvec.probes = 40")
        assert answers(db, "ivfflat") == answers(db, "quantvec")


@check("rows come and go, VACUUM")
def _():
    db.execute("INSERT INTO items VALUES (%s, %s)", (ROWS, QUERIES[3]))
    assert all(answers(db, method)[3][0] == ROWS for method in OTHERS)
    db.execute("DELETE FROM items WHERE id = %s", (ROWS,))
    db.execute("VACUUM items")
    for query, ids in zip(QUERIES, answers(db, "quantvec")):
        is_nearest(ids, query)


@check("pgvector's types on an expression: halfvec")
def _():
    db.execute(f"CREATE INDEX items_half ON items USING quantvec ((v::halfvec({DIM})) halfvec_l2_ops)")
    statement = f"SELECT id FROM items ORDER BY v::halfvec({DIM}) <-> %s::halfvec LIMIT 10"
    is_nearest((row[0] for row in db.execute(statement, (QUERIES[2],))), QUERIES[2])
    uses_index(db.execute("EXPLAIN " + statement, (QUERIES[2],)), "items_half")


@check("DROP EXTENSION vector is refused; without quantvec_pgvector pgvector goes on")
def _():
    try:
        db.execute("DROP EXTENSION vector")
    except psycopg.errors.DependentObjectsStillExist:
        pass
    else:
        raise AssertionError("no error")
    with db.transaction(force_rollback=True):
        db.execute("DROP EXTENSION quantvec_pgvector CASCADE")
        uses_index(db.execute("EXPLAIN " + STATEMENT, (QUERIES[0],)), "items_")
        assert len(db.execute(STATEMENT, (QUERIES[0],)).fetchall()) == 10


end()
