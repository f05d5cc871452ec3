"""Django: its own migration operations, fields of all types, distances, Avg, iterator()."""
import django
from django.conf import settings
from quantvec_client import *

client("Django", "Django", "psycopg", "pgvector")
host, database, user = host_and_database()
settings.configure(INSTALLED_APPS=["django.contrib.contenttypes"], DATABASES={"default": {
    "ENGINE": "django.db.backends.postgresql", "HOST": host, "NAME": database, "USER": user}})
django.setup()

from django.contrib.postgres.indexes import PostgresIndex
from django.contrib.postgres.operations import CreateExtension
from django.db import connection, migrations, models, transaction
from django.db.migrations.state import ProjectState
from django.db.models import Avg, Sum
from pgvector import SparseVector
from pgvector.django import (BitField, CosineDistance, HalfVectorField, HammingDistance, HnswIndex, L2Distance,
                             MaxInnerProduct, SparseVectorField, VectorExtension, VectorField)


class QuantvecIndex(PostgresIndex):
    suffix = "quantvec"


Index = HnswIndex if METHOD == "hnsw" else QuantvecIndex
FUNCTIONS = {"<->": L2Distance, "<#>": MaxInnerProduct, "<=>": CosineDistance}
INDEXES = [Index(name=f"items_{ops}", fields=["v"], opclasses=[f"vector_{ops}"]) for ops in CLASSES.values()]
INDEXES.append(Index(name="items_half", fields=["h"], opclasses=["halfvec_l2_ops"]))


class Item(models.Model):
    v = VectorField(dimensions=DIM, null=True)
    h = HalfVectorField(dimensions=DIM, null=True)
    s = SparseVectorField(dimensions=DIM, null=True)
    b = BitField(length=DIM, null=True)

    class Meta:
        app_label = "shop"
        indexes = INDEXES


def apply(*operations):
    """As manage.py migrate does."""
    migration = migrations.Migration("0001", "shop")
    migration.operations = list(operations)
    with connection.schema_editor() as editor:
        return migration.apply(ProjectState(), editor)


@check("VectorExtension() in a migration" if CREATES_EXTENSION else "CreateExtension('quantvec') in a migration")
def _():
    apply(VectorExtension() if CREATES_EXTENSION else CreateExtension("quantvec"))


@check("CreateModel and AddIndex in a migration")
def _():
    fields = [(field.name, field.clone()) for field in Item._meta.local_fields]
    apply(migrations.CreateModel("Item", fields), *(migrations.AddIndex("item", index) for index in INDEXES))


@check("bulk_create and read of vector, halfvec, sparsevec and bit")
def _():
    Item.objects.bulk_create(Item(id=i, v=VECTORS[i], h=VECTORS[i], s=SparseVector(SPARSE[i % 200]),
                                  b="".join("01"[int(x)] for x in BITS[i % 200])) for i in range(ROWS))
    items = list(Item.objects.order_by("id"))
    are_equal((item.v for item in items), VECTORS)
    are_equal((item.h for item in items), VECTORS)
    are_equal((item.s for item in items[:200]), SPARSE)
    assert items[7].b == "".join("01"[int(x)] for x in BITS[7]), items[7].b


@check("VACUUM trains the indexes, which are older than the rows")
def _():
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE shop_item")
        cursor.execute("SELECT lists FROM quantvec_index_info('items_l2_ops')")
        assert cursor.fetchone()[0] > 1


for operator, function in FUNCTIONS.items():
    @check(f"order_by({function.__name__}(..)), index vector_{CLASSES[operator]}")
    def _():
        for query in QUERIES:
            items = Item.objects.order_by(function("v", query))[:10]
            is_nearest((item.id for item in items), query, operator)
        uses_index(items.explain(), f"items_{CLASSES[operator]}")


@check("annotate and filter by the distance")
def _():
    exact = DISTANCES["<->"](VECTORS.astype(float), QUERIES[0])
    items = Item.objects.annotate(distance=L2Distance("v", QUERIES[0])).filter(distance__lt=2.2).order_by("distance")
    assert len(items) == (exact < 2.2).sum() > 0, len(items)
    are_close([item.distance for item in items], sorted(exact[exact < 2.2]))


@check("halfvec, sparsevec and bit: order_by")
def _():
    items = Item.objects.order_by(L2Distance("h", QUERIES[1]))[:10]
    is_nearest((item.id for item in items), QUERIES[1])
    uses_index(items.explain(), "items_half")
    some = Item.objects.filter(id__lt=200)
    is_nearest((item.id for item in some.order_by(L2Distance("s", SparseVector(QUERIES[2])))[:10]), QUERIES[2],
               rows=SPARSE)
    query = "".join("01"[int(x)] for x in BITS[3])
    has_fewest_differences((item.id for item in some.order_by(HammingDistance("b", query))[:10]), BITS[3])


@check("NULL goes in and comes out, and is in no answer")
def _():
    Item.objects.create(id=ROWS, v=None)
    assert Item.objects.get(id=ROWS).v is None
    is_nearest((item.id for item in Item.objects.order_by(L2Distance("v", QUERIES[0]))[:10]), QUERIES[0])
    assert [item.id for item in Item.objects.filter(v__isnull=True)] == [ROWS]


@check("Avg and Sum")
def _():
    result = Item.objects.aggregate(Avg("v"), Sum("v"), Avg("h"))
    are_close(result["v__avg"], VECTORS.mean(axis=0))
    are_close(result["v__sum"], VECTORS.sum(axis=0), 1e-3)
    are_close(result["h__avg"], VECTORS.mean(axis=0), 1e-3)


@check("iterator() (server-side cursor) reads all rows")
def _():
    items = Item.objects.filter(v__isnull=False).order_by(L2Distance("v", QUERIES[0]))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(ONE_LIST)
        are_all_rows(item.id for item in items.iterator(chunk_size=100))


@check("save() and refresh_from_db()")
def _():
    item = Item.objects.get(id=3)
    item.v = VECTORS[4]
    item.save()
    item.refresh_from_db()
    are_equal([item.v], VECTORS[4:5])


end()
