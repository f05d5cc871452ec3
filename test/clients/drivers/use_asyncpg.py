"""asyncpg: all in binary; COPY both ways, prepared statements (it prepares each query), cursors, a pool."""
import asyncio

import asyncpg
from pgvector import HalfVector, SparseVector
from pgvector.asyncpg import register_vector
from quantvec_client import *

client("asyncpg", "asyncpg", "pgvector")
loop = asyncio.new_event_loop()
db = loop.run_until_complete(asyncpg.connect(URL))


def acheck(name):
    return lambda coroutine: check(name)(lambda: loop.run_until_complete(coroutine()))


@acheck("CREATE EXTENSION and type registration")
async def _():
    if CREATES_EXTENSION:
        await db.execute("CREATE EXTENSION IF NOT EXISTS vector")
    await register_vector(db)
    are_equal([await db.fetchval("SELECT '[1,2,3]'::vector")], [[1, 2, 3]])


@acheck("create table, insert by parameters")
async def _():
    await db.execute(f"CREATE TABLE items (id int PRIMARY KEY, v vector({DIM}))")
    await db.executemany("INSERT INTO items VALUES ($1, $2)", [(i, VECTORS[i]) for i in range(200)])
    are_equal((row["v"] for row in await db.fetch("SELECT v FROM items ORDER BY id")), VECTORS[:200])


@acheck("binary COPY in and out")
async def _():
    await db.copy_records_to_table("items", records=[(i, VECTORS[i]) for i in range(200, ROWS)])
    out = bytearray()

    async def take(data):
        out.extend(data)
    await db.copy_from_query("SELECT v FROM items WHERE id = 4999", output=take, format="binary")
    # 19 bytes of header, 2 and 4 before the value, 4 in it before its numbers, 2 at the end of the file
    assert out[29:-2] == VECTORS[4999].astype(">f4").tobytes(), out
    are_equal((row["v"] for row in await db.fetch("SELECT v FROM items ORDER BY id")), VECTORS)


for operator, ops in CLASSES.items():
    @acheck(f"index vector_{ops}, ORDER BY v {operator}")
    async def _():
        await db.execute(f"CREATE INDEX items_{ops} ON items USING {METHOD} (v vector_{ops})")
        statement = f"SELECT id FROM items ORDER BY v {operator} $1 LIMIT 10"
        for query in QUERIES:
            is_nearest((row["id"] for row in await db.fetch(statement, query)), query, operator)
        uses_index(await db.fetch("EXPLAIN " + statement, QUERIES[0]), f"items_{ops}")


@acheck("NULL goes in and comes out, and is in no answer")
async def _():
    await db.execute("INSERT INTO items VALUES ($1, $2)", ROWS, None)
    assert await db.fetchval("SELECT v FROM items WHERE id = $1", ROWS) is None
    rows = await db.fetch("SELECT id FROM items ORDER BY v <-> $1 LIMIT 10", QUERIES[0])
    is_nearest((row["id"] for row in rows), QUERIES[0])


@acheck("avg and sum")
async def _():
    mean, total = await db.fetchrow("SELECT avg(v), sum(v) FROM items")
    are_close(mean, VECTORS.mean(axis=0))
    are_close(total, VECTORS.sum(axis=0), 1e-3)


@acheck("prepared statements, custom and generic plans")
async def _():
    statement = await db.prepare("SELECT id FROM items ORDER BY v <-> $1 LIMIT 5")
    for _ in range(3):
        for query in QUERIES:
            is_nearest((row["id"] for row in await statement.fetch(query)), query)


@acheck("a cursor reads all rows")
async def _():
    ids = []
    async with db.transaction():
        await db.execute(ONE_LIST)
        statement = "SELECT id FROM items WHERE v IS NOT NULL ORDER BY v <-> $1"
        async for row in db.cursor(statement, QUERIES[0], prefetch=100):
            ids.append(row["id"])
    are_all_rows(ids)


@acheck("halfvec: parameters, binary COPY, index")
async def _():
    await db.execute(f"CREATE TABLE halves (id int, v halfvec({DIM}))")
    await db.copy_records_to_table("halves", records=[(i, HalfVector(VECTORS[i])) for i in range(ROWS)])
    are_equal([await db.fetchval("SELECT v FROM halves WHERE id = 7")], VECTORS[7:8])
    await db.execute(f"CREATE INDEX halves_v ON halves USING {METHOD} (v halfvec_l2_ops)")
    statement = "SELECT id FROM halves ORDER BY v <-> $1 LIMIT 10"
    is_nearest((row["id"] for row in await db.fetch(statement, HalfVector(QUERIES[1]))), QUERIES[1])
    uses_index(await db.fetch("EXPLAIN " + statement, HalfVector(QUERIES[1])), "halves_v")


@acheck("sparsevec: parameters, binary COPY, ORDER BY")
async def _():
    await db.execute(f"CREATE TABLE sparse (id int, v sparsevec({DIM}))")
    await db.copy_records_to_table("sparse", records=[(i, SparseVector(row)) for i, row in enumerate(SPARSE)])
    are_equal([await db.fetchval("SELECT v FROM sparse WHERE id = 7")], SPARSE[7:8])
    rows = await db.fetch("SELECT id FROM sparse ORDER BY v <-> $1 LIMIT 10", SparseVector(QUERIES[2]))
    is_nearest((row["id"] for row in rows), QUERIES[2], rows=SPARSE)


@acheck("bit: parameters, ORDER BY <~>")
async def _():
    def bits(row):
        return asyncpg.BitString("".join("01"[bit] for bit in row.astype(int)))
    await db.execute(f"CREATE TABLE bits (id int, b bit({DIM}))")
    await db.executemany("INSERT INTO bits VALUES ($1, $2)", [(i, bits(row)) for i, row in enumerate(BITS)])
    rows = await db.fetch("SELECT id FROM bits ORDER BY b <~> $1 LIMIT 10", bits(BITS[3]))
    has_fewest_differences((row["id"] for row in rows), BITS[3])


@acheck("a pool registers the types in each connection")
async def _():
    async with asyncpg.create_pool(URL, min_size=2, max_size=2, init=register_vector) as pool:
        async def nearest(query):
            rows = await pool.fetch("SELECT id FROM items ORDER BY v <-> $1 LIMIT 10", query)
            is_nearest((row["id"] for row in rows), query)
        await asyncio.gather(*(nearest(query) for query in QUERIES))


@acheck("wrong dimensions are an error with pgvector's message and SQLSTATE")
async def _():
    try:
        await db.execute("INSERT INTO items VALUES (-1, $1)", VECTORS[0][:3])
    except asyncpg.DataError as error:
        assert error.sqlstate == "22000" and str(error) == f"expected {DIM} dimensions, not 3", error
    else:
        raise AssertionError("no error")


end()
