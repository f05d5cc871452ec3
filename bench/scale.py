#!/usr/bin/env python3
"""How the index grows: build, memory, size and queries over tables of generated vectors of 768 dimensions.

    bench/run scale.py [--rows 10000,100000,1000000] [--options "bits = 4"] [--vectorchord] [--results FOLDER]
    bench/run scale.py --factors 0.5,1,2,4 ...

The PG* variables name a server on this machine, as superuser; the database bench_scale is made anew. Needs numpy.
With --vectorchord (and bench_scale_peer) VectorChord searches the same rows, in as many lists. With --factors the
index is built with so many times the default number of lists as well.

The data, the same for everybody: 2,000 clusters. A centre is normal with variance i^-0.75 along axis i (a power-law
spectrum); a row is a centre, drawn with a frequency that falls with the square root of its rank, plus 0.6 times a
vector of the same spectrum; then all is turned by one random rotation and brought to unit length. Queries are drawn
in the same way and are no rows. Cosine distance, seed 1."""

import argparse
import os
import re
import shlex
import struct
import subprocess
import sys
import threading
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scripts"))
from report import machine, source_tree
from vectors import copy, int4, psql, timed_ms

DIM, CLUSTERS, QUERIES, K = 768, 2000, 500, 10
SPECTRUM, NOISE = 0.375, 0.6  # the exponent of a standard deviation is half that of its variance
DATABASE, PEER = "bench_scale", "bench_scale_peer"
MEMORY = "1GB"  # maintenance_work_mem
WORKERS = 2
RECALL = 0.95


class Generator:
    """Rows in portions of any size; the same rows whatever the portions."""

    PORTION = 10000

    def __init__(self):
        random = np.random.default_rng(1)
        self.spread = (np.arange(1, DIM + 1) ** -SPECTRUM).astype(np.float32)
        self.centres = random.standard_normal((CLUSTERS, DIM), dtype=np.float32) * self.spread
        self.turn = np.linalg.qr(random.standard_normal((DIM, DIM)))[0].astype(np.float32)
        weights = np.arange(1, CLUSTERS + 1) ** -0.5
        self.weights = weights / weights.sum()

    def portion(self, number, count=PORTION):
        random = np.random.default_rng((1, number))
        cluster = random.choice(CLUSTERS, count, p=self.weights)
        x = self.centres[cluster] + NOISE * random.standard_normal((count, DIM), dtype=np.float32) * self.spread
        x = x @ self.turn
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    def rows(self, count, first=0):
        """count rows from row number first on."""
        for number in range(first // self.PORTION, -(-(first + count) // self.PORTION)):
            start = number * self.PORTION
            yield self.portion(number)[max(first - start, 0):first + count - start]


def encoded(portions, first=0):
    """(id, v) for binary COPY, by numpy, since millions of rows are slow otherwise."""
    for x in portions:
        for number, row in enumerate(x.astype(">f4")):
            yield [int4(first + number), struct.pack(">hh", DIM, 0) + row.tobytes()]
        first += len(x)


def load(table, portions, first=0, database=DATABASE):
    psql(f"CREATE TABLE {table} (id int, v vector({DIM}))", database)
    copy(table, "id, v", encoded(portions, first), database)


def kth_similarity(generator, rows, queries):
    """For each query the cosine of the row at rank K."""
    best = np.full((len(queries), K), -2, np.float32)
    for x in generator.rows(rows):
        best = np.sort(np.concatenate([best, queries @ x.T], axis=1), axis=1)[:, -K:]
    return best[:, 0]


def build(options):
    """Seconds, MiB of the index, lists."""
    given = f" WITH ({', '.join(options)})" if options else ""
    lines = psql(f"""DROP INDEX IF EXISTS items_v;
        SET maintenance_work_mem = '{MEMORY}'; SET max_parallel_maintenance_workers = {WORKERS};
        \\timing on
        CREATE INDEX items_v ON items USING quantvec (v vector_cosine_ops){given};
        \\timing off
        SELECT pg_relation_size('items_v') / 1048576.0;
        SELECT lists FROM quantvec_index_info('items_v')""", DATABASE)
    return timed_ms(lines)[0] / 1000, float(lines[-2]), int(lines[-1])


class PeakMemory:
    """Samples the anonymous memory of the server's processes that build, as /proc tells it."""

    def __enter__(self):
        self.peak, self.stop = 0, False

        def watch():
            while not self.stop:
                total = 0
                for pid in filter(str.isdigit, os.listdir("/proc")):
                    try:
                        with open(f"/proc/{pid}/cmdline", "rb") as file:
                            name = file.read()
                        if b"CREATE INDEX" in name or b"parallel worker" in name:
                            with open(f"/proc/{pid}/status") as file:
                                total += int(re.search(r"RssAnon:\s+(\d+)", file.read())[1])
                    except (OSError, TypeError):
                        pass
                self.peak = max(self.peak, total)
                time.sleep(0.05)
        self.thread = threading.Thread(target=watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        self.thread.join()


def search(probes):
    """Recall, queries per second, and rows scanned, refined and reranked for one query (mean of 100)."""
    setting = f"SET jit = off; SET max_parallel_workers_per_gather = 0; SET quantvec.probes = {probes};"
    nearest = f"SELECT b.id FROM items b ORDER BY b.v <=> q.v LIMIT {K}"
    lines = psql(f"""{setting} SET enable_seqscan = off;
        CREATE TEMP TABLE warm AS SELECT q.id, ARRAY({nearest}) AS found FROM queries q;
        \\timing on
        CREATE TEMP TABLE result AS SELECT q.id, ARRAY({nearest}) AS found FROM queries q;
        \\timing off
        SELECT count(*) FILTER (WHERE 1 - (b.v <=> q.v) >= kth - 1e-5) / ({K} * {QUERIES}.0)
            FROM result r CROSS JOIN unnest(found) AS near JOIN items b ON b.id = near JOIN queries q ON q.id = r.id;
        CREATE FUNCTION pg_temp.counts(OUT scanned float8, OUT refined float8, OUT reranked float8)
            LANGUAGE plpgsql AS $$
        DECLARE
            query record;
            c record;
        BEGIN
            scanned := 0; refined := 0; reranked := 0;
            FOR query IN SELECT v FROM queries WHERE id < 100 LOOP
                PERFORM id FROM items b ORDER BY b.v <=> query.v LIMIT {K};
                SELECT * INTO c FROM quantvec_last_scan();
                scanned := scanned + c.scanned / 100.0;
                refined := refined + c.refined / 100.0;
                reranked := reranked + c.reranked / 100.0;
            END LOOP;
        END $$;
        SELECT * FROM pg_temp.counts()""", DATABASE)
    counts = [float(x) for x in lines[-1].split("|")]
    return float(lines[-2]), QUERIES * 1000 / timed_ms(lines)[0], *counts


def vectorchord(lists):
    """The same rows in VectorChord with as many lists: build seconds, MiB, probes, recall, queries per second. It
    does not tell how many rows it scans; probes / lists is the least share it can be, as near lists are long."""
    psql(f"DROP DATABASE IF EXISTS {PEER}")
    psql(f"CREATE DATABASE {PEER}")
    psql(f"""CREATE EXTENSION vchord CASCADE; CREATE TABLE items (id int, v vector({DIM}));
        CREATE TABLE queries (id int, v vector({DIM}), kth float8); ALTER TABLE queries ALTER v SET STORAGE PLAIN""", PEER)
    for table in ("items", "queries"):
        subprocess.run(f"psql -X -q -d {DATABASE} -c 'COPY {table} TO STDOUT (FORMAT binary)' | "
                       f"psql -X -q -d {PEER} -c 'COPY {table} FROM STDIN (FORMAT binary)'", shell=True, check=True)
    lines = psql(f"""ALTER TABLE items ADD PRIMARY KEY (id); VACUUM ANALYZE items;
        SET maintenance_work_mem = '{MEMORY}'; SET max_parallel_maintenance_workers = {WORKERS};
        \\timing on
        CREATE INDEX items_v ON items USING vchordrq (v vector_cosine_ops) WITH (options = $$
            residual_quantization = false
            [build.internal]
            lists = [{lists}]
            spherical_centroids = true
            build_threads = {WORKERS}$$);
        \\timing off
        SELECT pg_relation_size('items_v') / 1048576.0""", PEER)
    seconds, mib = timed_ms(lines)[0] / 1000, float(lines[-1])
    nearest = f"SELECT b.id FROM items b ORDER BY b.v <=> q.v LIMIT {K}"
    probes = 1
    while True:
        lines = psql(f"""SET jit = off; SET max_parallel_workers_per_gather = 0; SET vchordrq.probes = {probes};
            SET enable_seqscan = off;
            CREATE TEMP TABLE warm AS SELECT q.id, ARRAY({nearest}) AS found FROM queries q;
            \\timing on
            CREATE TEMP TABLE result AS SELECT q.id, ARRAY({nearest}) AS found FROM queries q;
            \\timing off
            SELECT count(*) FILTER (WHERE 1 - (b.v <=> q.v) >= kth - 1e-5) / ({K} * {QUERIES}.0)
                FROM result r CROSS JOIN unnest(found) AS near JOIN items b ON b.id = near
                JOIN queries q ON q.id = r.id""", PEER)
        recall, qps = float(lines[-1]), QUERIES * 1000 / timed_ms(lines)[0]
        say(f"VectorChord: {probes} probes, recall {recall:.4f}, {qps:.0f} queries/s")
        if recall >= RECALL or probes >= lists:
            return seconds, mib, probes, recall, qps
        probes = min(lists, max(probes + 1, round(probes * 1.3)))


def planned():
    """What the planner takes with its own settings: an index scan?"""
    plan = psql(f"EXPLAIN SELECT id FROM items ORDER BY v <=> (SELECT v FROM queries WHERE id = 1) LIMIT {K}", DATABASE)
    return "index" if any("items_v" in line for line in plan) else "no index"


def say(text):
    print(f"==> {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def grow(rows, options):
    """Builds an index and searches it. Returns its line of the table, and its lists."""
    say(f"{rows:,} rows: building")
    with PeakMemory() as memory:
        seconds, mib, lists = build(options)
    say(f"{rows:,} rows: built in {seconds:.1f} s, {memory.peak / 1000:.0f} MB")
    probes = 1
    while True:
        recall, qps, scanned, refined, reranked = search(probes)
        say(f"{rows:,} rows: {probes} probes, recall {recall:.4f}, {qps:.0f} queries/s")
        if recall >= RECALL or probes >= lists:
            break
        probes = min(lists, max(probes + 1, round(probes * 1.3)))
    return (f"| {rows:,} | {seconds:.1f} | {memory.peak / 1000:.0f} | {mib:.1f} | {lists} | {probes} | {recall:.4f} | {qps:.0f} | "
            f"{scanned:.0f} ({100 * scanned / rows:.2f} %) | {refined:.0f} | {reranked:.1f} | {planned()} |"), lists


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="10000,100000,1000000", help="sizes, with commas (%(default)s)")
    parser.add_argument("--options", default="", help="of the index, as in WITH (...)")
    parser.add_argument("--vectorchord", action="store_true", help="the same rows there, too")
    parser.add_argument("--factors", default="1", help="numbers of lists, as multiples of the default (%(default)s)")
    parser.add_argument("--results", help="folder for the table; only printed without it")
    arguments = parser.parse_args()
    options = [arguments.options] if arguments.options else []
    factors = sorted(map(float, arguments.factors.split(",")), key=lambda factor: factor != 1)  # the default first

    generator = Generator()
    queries = generator.portion(10 ** 9, QUERIES)
    psql(f"DROP DATABASE IF EXISTS {DATABASE}")
    psql(f"CREATE DATABASE {DATABASE}")
    psql("CREATE EXTENSION quantvec", DATABASE)
    lines = [f"# Growth, {time.strftime('%Y-%m-%d')}", "", f"    {shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]])}", "",
             f"- {machine()}; PostgreSQL {psql('SHOW server_version')[0]}; source tree of quantvec at {source_tree()}",
             f"- maintenance_work_mem = {MEMORY}, {WORKERS} workers; one connection, warm, k = {K}, {QUERIES} queries, "
             f"the least number of probes of a series that reaches recall {RECALL}", "- the data: see `scale.py`", "",
             "| rows | build s | peak MB | index MiB | lists | probes | recall | QPS | rows scanned | refined | reranked | planner takes |",
             "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    peers = []
    for rows in map(int, arguments.rows.split(",")):
        say(f"{rows:,} rows: loading")
        psql("DROP TABLE IF EXISTS items, queries", DATABASE)
        load("items", generator.rows(rows))
        psql("ALTER TABLE items ADD PRIMARY KEY (id); VACUUM ANALYZE items", DATABASE)
        psql(f"CREATE TABLE queries (id int, v vector({DIM}), kth float8); ALTER TABLE queries ALTER v SET STORAGE PLAIN",
             DATABASE)
        kth = kth_similarity(generator, rows, queries)
        copy("queries", "id, v, kth", ([int4(n), struct.pack(">hh", DIM, 0) + q.astype(">f4").tobytes(),
                                        struct.pack(">d", float(s))] for n, (q, s) in enumerate(zip(queries, kth))), DATABASE)
        psql("ANALYZE queries", DATABASE)
        lists = None
        for factor in factors:
            wished = [f"lists = {max(1, round(lists * factor))}"] if factor != 1 else []
            line, made = grow(rows, options + wished)
            lists = lists or made
            lines.append(line)
            print("\n".join(lines), flush=True)
        if arguments.vectorchord and lists > 1:
            seconds, mib, probes, recall, qps = vectorchord(lists)
            peers.append(f"| {rows:,} | {seconds:.1f} | {mib:.1f} | {lists} | {probes} | {recall:.4f} | {qps:.0f} | "
                         f"{100 * probes / lists:.2f} % |")
    if peers:
        lines += ["", "VectorChord, the same rows, as many lists:", "",
                  "| rows | build s | index MiB | lists | probes | recall | QPS | lists probed (rows scanned: more) |",
                  "|---|---|---|---|---|---|---|---|", *peers]
        print("\n".join(lines), flush=True)
    if arguments.results:
        os.makedirs(arguments.results, exist_ok=True)
        with open(os.path.join(arguments.results, "scale.md"), "w") as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
