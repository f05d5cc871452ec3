"""peewee on psycopg 3: fields of vector and halfvec, indexes of the model."""
from peewee import SQL, IntegerField, Model, PostgresqlDatabase, fn
from pgvector.peewee import HalfVectorField, VectorField
from quantvec_client import *

client("peewee", "peewee", "psycopg", "pgvector")
host, database, user = host_and_database()
db = PostgresqlDatabase(database, host=host, user=user, prefer_psycopg3=True)
HELPERS = {"<->": "l2_distance", "<#>": "max_inner_product", "<=>": "cosine_distance"}


class Item(Model):
    id = IntegerField(primary_key=True)
    v = VectorField(dimensions=DIM)
    h = HalfVectorField(dimensions=DIM)

    class Meta:
        database = db
        table_name = "items"


for ops in CLASSES.values():
    Item.add_index(SQL(f"CREATE INDEX items_{ops} ON items USING {METHOD} (v vector_{ops})"))


@check("create extension, table and indexes")
def _():
    if CREATES_EXTENSION:
        db.execute_sql("CREATE EXTENSION IF NOT EXISTS vector")
    db.create_tables([Item])


@check("insert_many and read")
def _():
    for first in range(0, ROWS, 1000):
        Item.insert_many({"id": i, "v": VECTORS[i], "h": VECTORS[i]} for i in range(first, first + 1000)).execute()
    items = list(Item.select().order_by(Item.id))
    are_equal((item.v for item in items), VECTORS)
    are_equal((item.h for item in items), VECTORS)


for operator, ops in CLASSES.items():
    @check(f"order_by({HELPERS[operator]}(..)), index vector_{ops}")
    def _():
        for query in QUERIES:
            items = Item.select(Item.id).order_by(getattr(Item.v, HELPERS[operator])(query)).limit(10)
            is_nearest((item.id for item in items), query, operator)
        statement, parameters = items.sql()
        uses_index(db.execute_sql("EXPLAIN " + statement, parameters), f"items_{ops}")


@check("avg")
def _():
    are_close(Item.select(fn.avg(Item.v).coerce(True)).scalar(), VECTORS.mean(axis=0))


end()
