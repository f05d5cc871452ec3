"""Haystack's PgvectorDocumentStore: it makes extension, table and, with the hnsw strategy, the index."""
import os

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

import psycopg
from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.retrievers.pgvector import PgvectorEmbeddingRetriever
from haystack_integrations.document_stores.pgvector import PgvectorDocumentStore
from quantvec_client import *

client("Haystack PgvectorDocumentStore", "pgvector-haystack", "haystack-ai", "psycopg", "pgvector")
options = {"create_extension": CREATES_EXTENSION}
if METHOD == "hnsw":
    options |= {"search_strategy": "hnsw", "hnsw_index_creation_kwargs": {"m": 16}, "hnsw_ef_search": 100,
                "hnsw_index_name": "documents_index"}
store = PgvectorDocumentStore(connection_string=Secret.from_token(URL), table_name="documents", embedding_dimension=DIM,
                              vector_function="l2_distance", **options)


def numbers_of(documents):
    return [int(document.content.split()[1]) for document in documents]


@check("a store makes its table; write_documents")
def _():
    documents = [Document(content=f"row {i}", embedding=VECTORS[i].tolist(), meta={"third": i % 3}) for i in range(ROWS)]
    assert store.write_documents(documents) == ROWS == store.count_documents()


@check("the index: the hnsw strategy" if METHOD == "hnsw" else "the index, made by hand")
def _():
    with psycopg.connect(URL) as db:
        if METHOD != "hnsw":
            db.execute(f"CREATE INDEX documents_index ON documents USING {METHOD} (embedding vector_l2_ops)")
        assert db.execute("SELECT 1 FROM pg_indexes WHERE indexname = 'documents_index'").fetchone()


@check("the retriever")
def _():
    retriever = PgvectorEmbeddingRetriever(document_store=store, top_k=10)
    for query in QUERIES:
        found = retriever.run(query_embedding=query.tolist())["documents"]
        is_nearest(numbers_of(found), query)
    filters = {"field": "meta.third", "operator": "==", "value": 1}
    ids = numbers_of(retriever.run(query_embedding=QUERIES[0].tolist(), filters=filters)["documents"])
    assert all(i % 3 == 1 for i in ids), ids
    is_nearest([i // 3 for i in ids], QUERIES[0], rows=VECTORS[1::3])


@check("the index was used")
def _():
    store._connection.close()
    was_used("documents_index")


end()
