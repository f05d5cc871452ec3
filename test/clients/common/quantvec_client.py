"""What the Python clients share: the rows, the exact answers, and one line a check.

A client's program gets a connection string and the way in: the extension that the database has, or, if it is vector, that
the client creates itself as it would with pgvector.
"""
import sys
import time
import traceback
from importlib.metadata import version
from urllib.parse import parse_qs, urlsplit

import numpy

URL, WAY = sys.argv[1:3]
METHOD = "hnsw" if WAY == "vector" else "quantvec"
CREATES_EXTENSION = WAY != "quantvec"  # CREATE EXTENSION IF NOT EXISTS vector, as an application does

ONE_LIST = "SET LOCAL quantvec.probes = 1"
DIM = 16
ROWS = 5000  # enough for an index of several lists, few enough for every list to be probed: answers are exact
# Multiples of 1/256 between -1 and 1: exact in halfvec too, and so are the distances that the tests compare.
VECTORS = numpy.random.default_rng(7).integers(-256, 257, (ROWS, DIM)).astype(numpy.float32) / 256
QUERIES = numpy.random.default_rng(8).integers(-256, 257, (5, DIM)).astype(numpy.float32) / 256
SPARSE = numpy.where(VECTORS[:200] > 0.5, VECTORS[:200], 0)
BITS = VECTORS[:200] > 0

DISTANCES = {
    "<->": lambda rows, query: numpy.linalg.norm(rows - query, axis=1),
    "<#>": lambda rows, query: -(rows @ query),
    "<=>": lambda rows, query: 1 - (rows @ query) / (numpy.linalg.norm(rows, axis=1) * numpy.linalg.norm(query)),
}
CLASSES = {"<->": "l2_ops", "<#>": "ip_ops", "<=>": "cosine_ops"}


def host_and_database():
    """For clients that want no connection string."""
    parts = urlsplit(URL)
    return parse_qs(parts.query)["host"][0], parts.path.lstrip("/"), parts.username


def numbers(value):
    """A value of any of the types as an array."""
    return numpy.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value, numpy.float32)


def are_equal(values, expected):
    numpy.testing.assert_array_equal(numpy.array([numbers(value) for value in values]), expected)


def are_close(value, expected, atol=1e-6):
    numpy.testing.assert_allclose(numbers(value), expected, atol=atol)


def is_nearest(ids, query, operator="<->", rows=VECTORS):
    """Asserts that the rows of ids, which are numbers in rows, are the nearest ones, in order. Equal distances may change
    places."""
    ids = list(ids)
    distances = DISTANCES[operator](rows.astype(float), query.astype(float))
    assert len(set(ids)) == len(ids), f"a row comes twice: {ids[:20]}"
    numpy.testing.assert_allclose(distances[ids], numpy.sort(distances)[: len(ids)], atol=1e-6)


def has_fewest_differences(ids, query):
    """Asserts that the rows of BITS are nearest to query by Hamming distance, in order."""
    differences = (BITS != query).sum(axis=1)
    ids = list(ids)
    assert ids and list(differences[ids]) == sorted(differences)[: len(ids)], ids


def uses_index(plan, index=None):
    text = plan if isinstance(plan, str) else "\n".join(str(line[0]) for line in plan)
    assert f"Index Scan using {index or ''}" in text, text


def are_all_rows(ids):
    """Asserts that a cursor has come to the end. ONE_LIST makes the scan open the other lists as it goes."""
    ids = list(ids)
    assert sorted(ids) == list(range(ROWS)), f"{len(set(ids))} of {ROWS} rows in {len(ids)}"


def was_used(index):
    """Asserts that a statement which a framework made has used the index. Counts come when its sessions have ended."""
    import psycopg
    with psycopg.connect(URL, autocommit=True) as db:
        for _ in range(100):
            if db.execute("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = %s", (index,)).fetchone()[0]:
                return
            time.sleep(0.1)
    raise AssertionError(f"{index} was not used")


def client(name, *packages):
    versions = [f"{'pgvector-python' if package == 'pgvector' else package} {version(package)}" for package in packages]
    print(f"# {name}: {', '.join(versions)}", flush=True)


failed = 0
done = 0


def check(name):
    """Runs the function at once. What fails is said; the other checks go on."""
    def run(function):
        global failed, done
        done += 1
        try:
            function()
            print(f"ok {done} - {name}", flush=True)
        except Exception as error:
            failed += 1
            print(f"not ok {done} - {name}")
            where = next(f for f in reversed(traceback.extract_tb(error.__traceback__)) if "use_" in f.filename)
            what = [line for line in str(error).splitlines() if line][:5]
            print(f"#   {type(error).__name__} at line {where.lineno}: " + "\n#     ".join(what), flush=True)
    return run


def end():
    print(f"1..{done}", flush=True)
    sys.exit(failed > 0)
