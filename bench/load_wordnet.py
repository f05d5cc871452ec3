#!/usr/bin/env python3
"""Loads wordnet-384 into the database that the PG* variables name, as vectors of 384 dimensions.

    load_wordnet.py TABLE [QUERY_TABLE [QUERIES]]

TABLE gets the 116,691 definitions, QUERY_TABLE the first QUERIES (2,000) sentences: (id int, v vector(384)).
The files lie in the folder $QUANTVEC_DATA; the type vector must exist. The query table is stored PLAIN."""

import itertools
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scripts"))
import vectors


def file(part):
    return os.path.join(os.environ.get("QUANTVEC_DATA", ""), f"wordnet-384.{part}")


def available():
    return "QUANTVEC_DATA" in os.environ and os.path.exists(file("base.f16bin"))


def rows(part, limit=None):
    for number, values in enumerate(itertools.islice(vectors.half_rows(file(part)), limit)):
        yield [vectors.int4(number), vectors.vector(values)]


def load(table, query_table=None, queries=2000, database=None):
    vectors.psql(f"CREATE TABLE {table} (id int, v vector(384))", database)
    vectors.copy(table, "id, v", rows("base.f16bin"), database)
    if query_table:
        vectors.psql(f"""CREATE TABLE {query_table} (id int, v vector(384));
            ALTER TABLE {query_table} ALTER v SET STORAGE PLAIN""", database)
        vectors.copy(query_table, "id, v", rows("query.f16bin", queries), database)
    vectors.psql("VACUUM ANALYZE", database)


def nearest(k, queries):
    """For each query the id of its k-th nearest row by cosine distance, from the file of exact answers."""
    return [ids[k - 1] for ids in itertools.islice(vectors.int_rows(file("gt.ibin")), queries)]


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    if not available():
        sys.exit("the files wordnet-384.* are not there: set QUANTVEC_DATA to their folder")
    load(*sys.argv[1:3], *map(int, sys.argv[3:]))
