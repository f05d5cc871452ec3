"""LlamaIndex's PGVectorStore as it comes: it makes extension, table and, with hnsw_kwargs, the index by itself."""
import asyncio

import psycopg2
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import ExactMatchFilter, MetadataFilters, VectorStoreQuery
from llama_index.core.vector_stores.types import VectorStoreQueryMode
from llama_index.vector_stores.postgres import PGVectorStore
from quantvec_client import *

client("LlamaIndex PGVectorStore", "llama-index-vector-stores-postgres", "llama-index-core", "psycopg2-binary", "asyncpg",
       "pgvector")
HNSW = {"hnsw_m": 16, "hnsw_ef_construction": 64, "hnsw_ef_search": 40, "hnsw_dist_method": "vector_cosine_ops"}


def make_store(**options):
    return PGVectorStore(connection_string=URL.replace("postgresql:", "postgresql+psycopg2:"),
                         async_connection_string=URL.replace("postgresql:", "postgresql+asyncpg:"),
                         schema_name="public", embed_dim=DIM, **options)


def nodes():
    for i in range(ROWS):
        document = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"document {i // 10}")}
        yield TextNode(id_=str(i), text=f"row {i}", metadata={"third": str(i % 3)}, embedding=VECTORS[i].tolist(),
                       relationships=document)


def search(store, query, **options):
    result = store.query(VectorStoreQuery(query_embedding=query.tolist(), similarity_top_k=10, **options))
    return [int(i) for i in result.ids], result.similarities


def execute(statement):
    with psycopg2.connect(URL) as db, db.cursor() as cursor:
        cursor.execute(statement)


options = {"hnsw_kwargs": dict(HNSW)} if METHOD == "hnsw" else {}
store = make_store(table_name="nodes", hybrid_search=True, **options)


@check("add makes extension and table" if CREATES_EXTENSION else "add makes the table; a refused CREATE EXTENSION is logged")
def _():
    store.add(list(nodes()))


@check("the index: hnsw_kwargs" if METHOD == "hnsw" else "the index, made by hand")
def _():
    if METHOD != "hnsw":
        execute(f"CREATE INDEX data_nodes_embedding_idx ON data_nodes USING {METHOD} (embedding vector_cosine_ops)")


@check("query, and its similarities")
def _():
    for query in QUERIES:
        ids, similarities = search(store, query)
        is_nearest(ids, query, "<=>")
        are_close(similarities, 1 - DISTANCES["<=>"](VECTORS, query)[ids], 1e-5)


@check("the index was used")
def _():
    store._engine.dispose()
    was_used("data_nodes_embedding_idx")


@check("an asynchronous query")
def _():
    async def first():
        result = await store.aquery(VectorStoreQuery(query_embedding=QUERIES[1].tolist(), similarity_top_k=10))
        await store._async_engine.dispose()
        return [int(i) for i in result.ids]
    is_nearest(asyncio.run(first()), QUERIES[1], "<=>")


@check("a filter on metadata")
def _():
    ids, _ = search(store, QUERIES[0], filters=MetadataFilters(filters=[ExactMatchFilter(key="third", value="1")]))
    assert len(ids) == 10 and all(i % 3 == 1 for i in ids), ids
    is_nearest([i // 3 for i in ids], QUERIES[0], "<=>", rows=VECTORS[1::3])


@check("hybrid search: vectors and text")
def _():
    ids, _ = search(store, QUERIES[2], query_str="row 17", mode=VectorStoreQueryMode.HYBRID, sparse_top_k=5)
    exact = numpy.argsort(DISTANCES["<=>"](VECTORS, QUERIES[2]))[:10]
    assert set(exact) <= set(ids) and 17 in ids, ids


@check("maximal marginal relevance")
def _():
    result = store.query(VectorStoreQuery(query_embedding=QUERIES[3].tolist(), similarity_top_k=5,
                                          mode=VectorStoreQueryMode.MMR))
    assert len(result.ids) == 5, result.ids


@check("delete, get_nodes")
def _():
    nearest = search(store, QUERIES[4])[0][0]
    store.delete(f"document {nearest // 10}")
    assert len(store.get_nodes([str(nearest)])) == 0
    assert not any(i // 10 == nearest // 10 for i in search(store, QUERIES[4])[0])


@check("a store of halfvec")
def _():
    half = make_store(table_name="halves", use_halfvec=True,
                      **({"hnsw_kwargs": dict(HNSW, hnsw_dist_method="halfvec_cosine_ops")} if METHOD == "hnsw" else {}))
    half.add(list(nodes()))
    if METHOD != "hnsw":
        execute(f"CREATE INDEX data_halves_embedding_idx ON data_halves USING {METHOD} (embedding halfvec_cosine_ops)")
    is_nearest(search(half, QUERIES[0])[0], QUERIES[0], "<=>")
    half._engine.dispose()
    was_used("data_halves_embedding_idx")


end()
