#!/usr/bin/env python3
"""The demo of ./quickstart: exact search beside three indexes over fashion-mnist, then one query as a picture.

    demo.py FOLDER      the picture goes to FOLDER; the PG* variables name an empty database

One index exists at a time, so the planner cannot take another; the plan is checked nevertheless."""

import os
import re
import struct
import sys
import threading
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import load_fashion_mnist
import vectors
from vectors import psql, timed_ms

K, QUERIES, EXACT_QUERIES, QUERY = 10, 500, 30, 0
INDEXES = {
    "sq8": "quantizer = 'sq8'",
    "bq 1 bit": "quantizer = 'bq', bits = 1",
    "bq 4 bits": "quantizer = 'bq', bits = 4",  # the default comes last: the picture is searched with it
}
CLASSES = "T-shirt,trousers,pullover,dress,coat,sandal,shirt,sneaker,bag,ankle boot".split(",")

# All queries in one statement: the time is that of the index, not of a client.
SEARCH = f"SELECT q.id, ARRAY(SELECT t.id FROM train t ORDER BY t.v <-> q.v LIMIT {K}) AS found FROM query q"


def say(text):
    print(f"==> {text}", flush=True)


@contextmanager
def shown(describe):
    """Shows what describe() says while the body runs: in one line of a terminal, elsewhere a line every five seconds."""
    done, terminal = threading.Event(), sys.stdout.isatty()

    def show():
        while not done.wait(0.2 if terminal else 5):
            text = f"    {describe()}"
            print(f"\r\033[K{text}" if terminal else text, end="" if terminal else "\n", flush=True)

    thread = threading.Thread(target=show)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        if terminal:
            print("\r\033[K", end="", flush=True)


def clock(name):
    start = time.monotonic()
    return lambda: f"{name}: {time.monotonic() - start:.0f} s"


def find_truth():
    """Gives each query the distance of its k-th nearest row; a connection for each processor. The rows are read from
    a copy stored PLAIN, because exact search through TOAST takes ten times as long."""
    psql("""CREATE TABLE plain (v vector(784)); ALTER TABLE plain ALTER v SET STORAGE PLAIN;
        INSERT INTO plain SELECT v FROM train; ANALYZE plain""")
    step, found = 5, []

    def find(first):
        found.extend(psql(f"""SET max_parallel_workers_per_gather = 0;
            SELECT q.id, (SELECT t.v <-> q.v FROM plain t ORDER BY t.v <-> q.v OFFSET {K - 1} LIMIT 1)
            FROM query q WHERE q.id >= {first} AND q.id < {first + step}"""))

    with shown(lambda: f"exact search: {100 * len(found) // QUERIES} %"):
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(find, range(0, QUERIES, step)))
    values = ", ".join("({}, {})".format(*line.split("|")) for line in found)
    psql(f"""CREATE TABLE truth (id int, kth float8); INSERT INTO truth VALUES {values}; DROP TABLE plain""")


def search(limit, runs):
    """Queries per second in the best of the runs, and recall, of the first queries. A row as near as the k-th
    nearest counts, whichever it is."""
    run = f"\\timing on\nCREATE TEMP TABLE result AS {SEARCH} WHERE q.id < {limit};\n\\timing off\n"
    lines = psql(f"""SET max_parallel_workers_per_gather = 0;
        {'DROP TABLE result;'.join([run] * runs)}
        SELECT count(*) FILTER (WHERE t.v <-> q.v <= kth * 1.000001) / ({K} * {limit}.0)
            FROM result r CROSS JOIN unnest(found) AS near JOIN train t ON t.id = near
            JOIN query q ON q.id = r.id JOIN truth ON truth.id = r.id""")
    return limit * 1000 / min(timed_ms(lines)), float(lines[-1])


def progress(name):
    rows = psql("""SELECT phase, CASE WHEN tuples_total > 0 THEN 100 * tuples_done / tuples_total
        WHEN blocks_total > 0 THEN 100 * blocks_done / blocks_total END FROM pg_stat_progress_create_index""")
    phase, percent = rows[0].split("|") if rows else ("", "")
    return f"{name}: {phase} {percent + ' %' if percent else ''}"


def build(name, options):
    """Builds the index; returns seconds and MiB."""
    psql("DROP INDEX IF EXISTS train_v_idx")
    start = time.monotonic()
    with shown(lambda: progress(name)):
        psql(f"CREATE INDEX train_v_idx ON train USING quantvec (v vector_l2_ops) WITH ({options})")
        seconds = time.monotonic() - start
    mib = float(psql("VACUUM ANALYZE train; SELECT pg_relation_size('train_v_idx') / 1048576.0")[0])
    plan = "\n".join(psql(f"EXPLAIN (COSTS OFF) {SEARCH}"))
    if "Index Scan using train_v_idx" not in plan:
        sys.exit(f"the planner does not use the index {name}:\n{plan}")
    say(f"{name}: built in {seconds:.1f} s, {mib:.1f} MiB")
    return seconds, mib


def write_png(path, rows):
    """rows: lines of RGB bytes."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", len(rows[0]) // 3, len(rows), 8, 2, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def tile(image, frame, scale=3):
    """One image of 28 x 28 bytes, enlarged, with a frame of the RGB colour, as lines of RGB bytes."""
    side, edge = 28 * scale, 4
    border = [frame * (side + 2 * edge)] * edge
    lines = []
    for y in range(28):
        pixels = b"".join(bytes([p]) * 3 * scale for p in image[28 * y:28 * y + 28])
        lines += [frame * edge + pixels + frame * edge] * scale
    return border + lines + border


def picture(folder):
    """The query, framed, and to its right the ten nearest, nearest first."""
    found = [line.split("|") for line in psql(f"""SELECT t.id, round((t.v <-> q.v)::numeric) FROM train t,
        (SELECT v FROM query WHERE id = {QUERY}) q ORDER BY t.v <-> q.v LIMIT {K}""")]
    ids = [int(row[0]) for row in found]
    images = list(vectors.idx_items("train-images-idx3-ubyte"))
    labels = list(vectors.idx_items("train-labels-idx1-ubyte"))
    query = next(image for n, image in enumerate(vectors.idx_items("t10k-images-idx3-ubyte")) if n == QUERY)
    label = next(label for n, label in enumerate(vectors.idx_items("t10k-labels-idx1-ubyte")) if n == QUERY)
    tiles = [tile(query, b"\xff\x60\x00")] + [tile(images[i], b"\x30\x30\x30") for i in ids]
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"query-{QUERY}.png")
    write_png(path, [b"".join(parts) for parts in zip(*tiles)])
    kinds = Counter(CLASSES[labels[i][0]] for i in ids).most_common()
    say(f"test image {QUERY} ({CLASSES[label[0]]}) and its ten nearest, distance {found[0][1]} to {found[-1][1]} "
        f"({', '.join(f'{n} x {kind}' for kind, n in kinds)}):")
    print(f"    {path}")


def machine():
    with open("/proc/cpuinfo") as file:
        name = re.search(r"model name\s*: (.*)", file.read())
    return f"{os.cpu_count()} x {name[1] if name else os.uname().machine}"


def main():
    psql("CREATE EXTENSION quantvec")
    say("loading 60,000 images as vector(784) and 10,000 to search for")
    with shown(clock("loading")):
        load_fashion_mnist.load("train", "query")
    table = float(psql("SELECT pg_table_size('train') / 1048576.0")[0])
    say(f"exact search: the truth for {QUERIES:,} queries")
    find_truth()
    say(f"exact search: {EXACT_QUERIES} queries, timed")
    with shown(clock("exact search")):
        rows = {"exact": (None, None, *search(EXACT_QUERIES, runs=1))}
    for name, options in INDEXES.items():
        built = build(name, options)
        with shown(clock(f"{name}: searching")):
            rows[name] = (*built, *search(QUERIES, runs=4))

    print(f"\n{'':10}{'build s':>10}{'index MiB':>12}{'recall@' + str(K):>12}{'queries/s':>12}")
    for name in ["exact", "sq8", "bq 4 bits", "bq 1 bit"]:
        seconds, mib, qps, recall = rows[name]
        cells = f"{'-':>10}{'-':>12}" if mib is None else f"{seconds:10.1f}{mib:12.1f}"
        print(f"{name:10}{cells}{recall:12.4f}{qps:12.0f}")
    print(f"""
./quickstart on {machine()}: fashion-mnist, 60,000 rows of 784 dimensions,
table with TOAST {table:.0f} MiB, L2, k = {K}, {QUERIES:,} test images as queries (exact: {EXACT_QUERIES}),
one connection, the best of four runs (exact: one), default settings
""")
    picture(sys.argv[1])
    print("""
Next, in a server of your own (sudo make install puts quantvec there):

    CREATE EXTENSION quantvec;
    CREATE INDEX ON items USING quantvec (embedding vector_cosine_ops);
    SELECT id FROM items ORDER BY embedding <=> '[...]' LIMIT 10;
""")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
