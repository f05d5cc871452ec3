"""SQLAlchemy, its ORM on psycopg 3: types, distances as methods, an index of the metadata, avg, streams, reflection."""
import pgvector.sqlalchemy as pgv
from pgvector import SparseVector
from quantvec_client import *
from sqlalchemy import Index, MetaData, create_engine, insert, select, text
from sqlalchemy.orm import Session, declarative_base, mapped_column
from sqlalchemy.types import Integer

client("SQLAlchemy", "SQLAlchemy", "psycopg", "pgvector")
engine = create_engine(URL.replace("postgresql:", "postgresql+psycopg:"))
Base = declarative_base()
METHODS = {"<->": "l2_distance", "<#>": "max_inner_product", "<=>": "cosine_distance"}


class Item(Base):
    __tablename__ = "items"
    id = mapped_column(Integer, primary_key=True)
    v = mapped_column(pgv.VECTOR(DIM))
    h = mapped_column(pgv.HALFVEC(DIM))
    s = mapped_column(pgv.SPARSEVEC(DIM))
    b = mapped_column(pgv.BIT(DIM))


for ops in CLASSES.values():
    Index(f"items_{ops}", Item.v, postgresql_using=METHOD, postgresql_ops={"v": f"vector_{ops}"})
Index("items_half", Item.h, postgresql_using=METHOD, postgresql_ops={"h": "halfvec_l2_ops"})


def plan(session, statement):
    compiled = statement.compile(engine, compile_kwargs={"literal_binds": True})
    return session.execute(text("EXPLAIN " + str(compiled).replace(":", "\\:"))).all()


@check("CREATE EXTENSION, create tables and indexes from the metadata")
def _():
    if CREATES_EXTENSION:
        with engine.begin() as db:
            db.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    Base.metadata.create_all(engine)


@check("insert of vector, halfvec, sparsevec and bit, by the ORM and in bulk")
def _():
    def columns(i):
        return {"id": i, "v": VECTORS[i], "h": VECTORS[i],
                "s": SparseVector(SPARSE[i % 200]), "b": "".join("01"[int(x)] for x in BITS[i % 200])}
    with Session(engine) as session:
        session.add_all([Item(**columns(i)) for i in range(200)])
        session.execute(insert(Item), [columns(i) for i in range(200, ROWS)])
        session.commit()
        items = session.scalars(select(Item).order_by(Item.id)).all()
    are_equal((item.v for item in items), VECTORS)
    are_equal((item.h for item in items), VECTORS)
    are_equal((item.s for item in items[:200]), SPARSE)
    assert items[7].b == "".join("01"[int(x)] for x in BITS[7]), items[7].b


@check("VACUUM trains the indexes, which are older than the rows")
def _():
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(text("VACUUM ANALYZE items"))
        assert db.scalar(text("SELECT lists FROM quantvec_index_info('items_l2_ops')")) > 1


for operator, ops in CLASSES.items():
    @check(f"order_by(v.{METHODS[operator]}(..)), index vector_{ops}")
    def _():
        with Session(engine) as session:
            for query in QUERIES:
                distance = getattr(Item.v, METHODS[operator])(query)
                is_nearest(session.scalars(select(Item.id).order_by(distance).limit(10)), query, operator)
            uses_index(plan(session, select(Item.id).order_by(distance).limit(10)), f"items_{ops}")


@check("a condition on the distance, and the distance in the result")
def _():
    distance = Item.v.l2_distance(QUERIES[0])
    exact = DISTANCES["<->"](VECTORS.astype(float), QUERIES[0])
    with Session(engine) as session:
        rows = session.execute(select(Item.id, distance).where(distance < 2.2).order_by(distance)).all()
    assert len(rows) == (exact < 2.2).sum() > 0, len(rows)
    are_close([row[1] for row in rows], sorted(exact[exact < 2.2]))


@check("halfvec, sparsevec and bit: order_by")
def _():
    with Session(engine) as session:
        statement = select(Item.id).order_by(Item.h.l2_distance(QUERIES[1])).limit(10)
        is_nearest(session.scalars(statement), QUERIES[1])
        uses_index(plan(session, statement), "items_half")
        distance = Item.s.l2_distance(SparseVector(QUERIES[2]))
        is_nearest(session.scalars(select(Item.id).where(Item.id < 200).order_by(distance).limit(10)), QUERIES[2],
                   rows=SPARSE)
        distance = Item.b.hamming_distance("".join("01"[int(x)] for x in BITS[3]))
        has_fewest_differences(session.scalars(select(Item.id).where(Item.id < 200).order_by(distance).limit(10)),
                               BITS[3])


@check("NULL goes in and comes out, and is in no answer")
def _():
    with Session(engine) as session:
        session.add(Item(id=ROWS, v=None))
        session.commit()
        assert session.get(Item, ROWS).v is None
        is_nearest(session.scalars(select(Item.id).order_by(Item.v.l2_distance(QUERIES[0])).limit(10)), QUERIES[0])
        assert session.scalars(select(Item.id).where(Item.v.is_(None))).all() == [ROWS]


@check("avg and sum")
def _():
    with Session(engine) as session:
        mean, total, half = session.execute(select(pgv.avg(Item.v), pgv.sum(Item.v), pgv.avg(Item.h))).one()
    are_close(mean, VECTORS.mean(axis=0))
    are_close(total, VECTORS.sum(axis=0), 1e-3)
    are_close(half, VECTORS.mean(axis=0), 1e-3)


@check("the same statement many times: prepared by the driver")
def _():
    with Session(engine) as session:
        for _ in range(3):
            for query in QUERIES:
                is_nearest(session.scalars(select(Item.id).order_by(Item.v.l2_distance(query)).limit(5)), query)


@check("a stream (server-side cursor) reads all rows")
def _():
    with Session(engine) as session:
        statement = select(Item.id).where(Item.v.is_not(None)).order_by(Item.v.l2_distance(QUERIES[0]))
        session.execute(text(ONE_LIST))
        are_all_rows(session.scalars(statement.execution_options(stream_results=True, yield_per=100)))


@check("reflection of columns and index")
def _():
    metadata = MetaData()
    metadata.reflect(engine)
    columns = metadata.tables["items"].columns
    assert isinstance(columns["v"].type, pgv.VECTOR) and columns["v"].type.dim == DIM, columns["v"].type
    assert isinstance(columns["h"].type, pgv.HALFVEC) and isinstance(columns["s"].type, pgv.SPARSEVEC)
    methods = {index.name: index.dialect_options["postgresql"]["using"] for index in metadata.tables["items"].indexes}
    assert methods["items_l2_ops"] == METHOD, methods


end()
