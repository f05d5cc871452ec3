"""A model whose embeddings are known: "row 7" is VECTORS[7], "query 2" is QUERIES[2]."""
from langchain_core.embeddings import Embeddings
from quantvec_client import QUERIES, VECTORS


class FakeEmbeddings(Embeddings):
    def embed_documents(self, texts):
        return [VECTORS[int(text.split()[1])].tolist() for text in texts]

    def embed_query(self, text):
        return QUERIES[int(text.split()[1])].tolist()


def numbers_in(documents):
    return [int(document.page_content.split()[1]) for document in documents]
