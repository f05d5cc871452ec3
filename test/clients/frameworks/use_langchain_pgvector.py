"""LangChain's PGVector: it makes extension and tables by itself; the index is made by hand, as its users do."""
import asyncio

from fake_embeddings import FakeEmbeddings, numbers_in
from langchain_core.documents import Document
from langchain_postgres import PGVector
from langchain_postgres.vectorstores import DistanceStrategy
from quantvec_client import *
from sqlalchemy import create_engine, text

client("LangChain PGVector", "langchain-postgres", "langchain-core", "psycopg", "pgvector")
OPERATORS = {DistanceStrategy.EUCLIDEAN: "<->", DistanceStrategy.COSINE: "<=>", DistanceStrategy.MAX_INNER_PRODUCT: "<#>"}
OPTIONS = {"embeddings": FakeEmbeddings(), "embedding_length": DIM, "connection": URL.replace("postgresql:", "postgresql+psycopg:")}
if not CREATES_EXTENSION:
    OPTIONS["create_extension"] = False
stores = {}


@check("a store makes its extension and tables" if CREATES_EXTENSION else "a store with create_extension=False makes its tables")
def _():
    stores[DistanceStrategy.COSINE] = PGVector(**OPTIONS)


@check("add_documents, get_by_ids")
def _():
    store = stores[DistanceStrategy.COSINE]
    store.add_documents([Document(page_content=f"row {i}", metadata={"third": i % 3}) for i in range(ROWS)],
                        ids=[f"id {i}" for i in range(ROWS)])
    assert numbers_in(store.get_by_ids(["id 7", "id 9"])) == [7, 9]


@check("an index for each distance")
def _():
    engine = create_engine(OPTIONS["connection"])
    with engine.begin() as db:
        for ops in CLASSES.values():
            db.execute(text(f"CREATE INDEX embedding_{ops} ON langchain_pg_embedding USING {METHOD} (embedding vector_{ops})"))
    engine.dispose()


for strategy, operator in OPERATORS.items():
    @check(f"similarity_search, {strategy.name}")
    def _():
        store = stores[strategy] = PGVector(distance_strategy=strategy, **OPTIONS)
        for i, query in enumerate(QUERIES):
            found = store.similarity_search_with_score(f"query {i}", k=10)
            ids = numbers_in(document for document, _ in found)
            is_nearest(ids, query, operator)
            are_close([score for _, score in found], DISTANCES[operator](VECTORS, query)[ids], 1e-5)
        store._engine.dispose()
        was_used(f"embedding_{CLASSES[operator]}")


@check("a filter on metadata")
def _():
    found = stores[DistanceStrategy.EUCLIDEAN].similarity_search("query 0", k=10, filter={"third": {"$eq": 1}})
    ids = numbers_in(found)
    assert all(i % 3 == 1 for i in ids), ids
    is_nearest([i // 3 for i in ids], QUERIES[0], rows=VECTORS[1::3])


@check("maximal marginal relevance")
def _():
    found = stores[DistanceStrategy.COSINE].max_marginal_relevance_search("query 1", k=5, fetch_k=20)
    exact = numpy.argsort(DISTANCES["<=>"](VECTORS, QUERIES[1]))[:20]
    assert len(found) == 5 and set(numbers_in(found)) <= set(exact), numbers_in(found)


@check("an asynchronous store")
def _():
    async def search():
        store = PGVector(async_mode=True, **OPTIONS)
        found = await store.asimilarity_search("query 2", k=10)
        await store._async_engine.dispose()
        return numbers_in(found)
    is_nearest(asyncio.run(search()), QUERIES[2], "<=>")


@check("delete")
def _():
    store = stores[DistanceStrategy.EUCLIDEAN]
    nearest = numbers_in(store.similarity_search("query 3", k=1))[0]
    store.delete([f"id {nearest}"])
    assert nearest not in numbers_in(store.similarity_search("query 3", k=10))


end()
