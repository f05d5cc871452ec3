#!/usr/bin/env python3
"""Loads fashion-mnist into the database that the PG* variables name, as vectors of 784 pixels.

    load_fashion_mnist.py TABLE [QUERY_TABLE [QUERIES]]

TABLE gets the 60,000 training images, QUERY_TABLE the first QUERIES (10,000) test images: (id int, v vector(784)).
The type vector must exist. The query table is stored PLAIN: a client's query is not compressed either."""

import array
import itertools
import sys

import vectors


def rows(name, limit=None):
    for number, image in enumerate(itertools.islice(vectors.idx_items(name), limit)):
        yield [vectors.int4(number), vectors.vector(array.array("f", list(image)))]


def load(table, query_table=None, queries=10000, database=None):
    vectors.psql(f"CREATE TABLE {table} (id int, v vector(784))", database)
    vectors.copy(table, "id, v", rows("train-images-idx3-ubyte"), database)
    if query_table:
        vectors.psql(f"""CREATE TABLE {query_table} (id int, v vector(784));
            ALTER TABLE {query_table} ALTER v SET STORAGE PLAIN""", database)
        vectors.copy(query_table, "id, v", rows("t10k-images-idx3-ubyte", queries), database)
    vectors.psql("VACUUM ANALYZE", database)


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    load(*sys.argv[1:3], *map(int, sys.argv[3:]))
