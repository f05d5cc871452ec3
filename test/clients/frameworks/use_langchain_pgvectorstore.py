"""LangChain's PGVectorStore: a table of its own, its index classes and query options, on asyncpg."""
from dataclasses import dataclass

from fake_embeddings import FakeEmbeddings, numbers_in
from langchain_core.documents import Document
from langchain_postgres import Column, PGEngine, PGVectorStore
from langchain_postgres.v2.indexes import BaseIndex, DistanceStrategy, HNSWIndex, HNSWQueryOptions, QueryOptions
from quantvec_client import *
from sqlalchemy import create_engine, text

client("LangChain PGVectorStore", "langchain-postgres", "langchain-core", "asyncpg", "pgvector")
engine = PGEngine.from_connection_string(URL.replace("postgresql:", "postgresql+asyncpg:"))
STRATEGIES = ((DistanceStrategy.EUCLIDEAN, "<->"), (DistanceStrategy.COSINE_DISTANCE, "<=>"),
              (DistanceStrategy.INNER_PRODUCT, "<#>"))


@dataclass
class QuantvecIndex(BaseIndex):
    index_type: str = "quantvec"
    bits: int = 4

    def index_options(self):
        return f"(bits = {self.bits})"


@dataclass
class QuantvecQueryOptions(QueryOptions):
    probes: int = 0

    def to_parameter(self):
        return [f"quantvec.probes = {self.probes}"]

    def to_string(self):
        return self.to_parameter()[0]


if METHOD == "hnsw":
    Index, query_options = HNSWIndex, HNSWQueryOptions(ef_search=100)
else:
    Index, query_options = QuantvecIndex, QuantvecQueryOptions(probes=1000)


def store(strategy=DistanceStrategy.COSINE_DISTANCE):
    return PGVectorStore.create_sync(engine, FakeEmbeddings(), "documents", distance_strategy=strategy,
                                     metadata_columns=["third"], index_query_options=query_options)


@check("init_vectorstore_table" if CREATES_EXTENSION else "a table made by hand, since init_vectorstore_table creates an extension")
def _():
    if CREATES_EXTENSION:
        engine.init_vectorstore_table("documents", DIM, metadata_columns=[Column("third", "INTEGER")])
    else:
        with create_engine(URL.replace("postgresql:", "postgresql+psycopg:")).begin() as db:
            db.execute(text(f"CREATE TABLE documents (langchain_id uuid PRIMARY KEY, content text NOT NULL, "
                            f"embedding vector({DIM}) NOT NULL, third integer, langchain_metadata json)"))


@check("add_documents, get_by_ids")
def _():
    ids = store().add_documents([Document(page_content=f"row {i}", metadata={"third": i % 3}) for i in range(ROWS)])
    assert numbers_in(store().get_by_ids([ids[7]])) == [7]


for strategy, operator in STRATEGIES:
    @check(f"apply_vector_index and similarity_search, {strategy.name}")
    def _():
        name = f"documents_{CLASSES[operator]}"
        documents = store(strategy)
        documents.apply_vector_index(Index(name=name, distance_strategy=strategy))
        assert documents.is_valid_index(name)
        for i, query in enumerate(QUERIES):
            is_nearest(numbers_in(documents.similarity_search(f"query {i}", k=10)), query, operator)
        engine._run_as_sync(engine.close())
        was_used(name)


@check("an index made CONCURRENTLY, reindex, drop_vector_index")
def _():
    documents = store()
    documents.apply_vector_index(Index(name="second", distance_strategy=DistanceStrategy.COSINE_DISTANCE), concurrently=True)
    documents.reindex("second")
    documents.drop_vector_index("second")
    assert not documents.is_valid_index("second")


@check("a filter on a column")
def _():
    ids = numbers_in(store().similarity_search("query 0", k=10, filter={"third": 1}))
    assert all(i % 3 == 1 for i in ids), ids
    is_nearest([i // 3 for i in ids], QUERIES[0], "<=>", rows=VECTORS[1::3])


@check("maximal marginal relevance")
def _():
    found = store().max_marginal_relevance_search("query 1", k=5, fetch_k=20)
    exact = numpy.argsort(DISTANCES["<=>"](VECTORS, QUERIES[1]))[:20]
    assert len(found) and set(numbers_in(found)) <= set(exact), numbers_in(found)


@check("delete")
def _():
    documents = store()
    nearest = documents.similarity_search("query 3", k=1)[0]
    documents.delete([nearest.id])
    assert numbers_in([nearest])[0] not in numbers_in(documents.similarity_search("query 3", k=10))


end()
