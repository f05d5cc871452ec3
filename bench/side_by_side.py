#!/usr/bin/env python3
"""quantvec beside pgvector: same server, same rows, same run. bench/README.md says how to read it.

bench/run starts a server for it; alone, it uses the one that the PG* variables name (as superuser) and
makes the databases bench_quantvec and bench_pgvector there anew."""

import argparse
import csv
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field

import load_wordnet
import load_fashion_mnist  # found by the path that load_wordnet adds
from vectors import copy, int4, psql, timed_ms

K = 10
EXTENSIONS = {"bench_quantvec": "quantvec", "bench_pgvector": "vector"}  # by database
RECALLS = (0.90, 0.95, 0.99)
ENOUGH = 0.9985  # where the first sweep ends


@dataclass
class Set:
    name: str
    load: object  # (table, query_table, queries, database)
    operator: str
    operator_class: str
    kth: list = None  # for each query the id of the row at rank K


@dataclass
class Engine:
    name: str
    database: str
    index: str  # what follows USING
    setting: str
    values: list = None  # None: numbers of lists, as many as the index has
    build_s: float = 0
    index_mib: float = 0
    points: dict = field(default_factory=dict)  # value: (recall, best queries per second)

    def table(self, data):
        return re.sub(r"\W+", "_", f"{data.name}_{self.name}".lower())


def engines():
    def quantvec(name, options):
        return Engine(name, "bench_quantvec", f"quantvec (v {{ops}}) WITH ({options})", "quantvec.probes")

    return [
        quantvec("quantvec bq 4 bits", "quantizer = 'bq', bits = 4"),
        quantvec("quantvec bq 1 bit", "quantizer = 'bq', bits = 1"),
        quantvec("quantvec sq8", "quantizer = 'sq8'"),
        Engine("pgvector hnsw 16/64", "bench_pgvector", "hnsw (v {ops}) WITH (m = 16, ef_construction = 64)",
               "hnsw.ef_search", [10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 1000]),
    ]


def say(text):
    print(f"==> {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def make_databases():
    """A new database for each extension that the server has (a private install is not in pg_available_extensions)."""
    made = []
    for database, extension in EXTENSIONS.items():
        psql(f"DROP DATABASE IF EXISTS {database}")
        psql(f"CREATE DATABASE {database}")
        create = ["psql", "-X", "-q", "-d", database, "-c", f"CREATE EXTENSION {extension}"]
        if subprocess.run(create, stderr=subprocess.DEVNULL).returncode == 0:
            psql("CREATE EXTENSION pg_prewarm", database)
            made.append(database)
        else:
            say(f"{extension}: skipped, the server has no such extension")
    return made


def load(data, databases, queries):
    """The rows, the queries and each query's distance to its k-th nearest row, in every database."""
    for database in databases:
        say(f"{data.name}: loading into {database}")
        data.load("base", "query", queries, database)
        if data.kth is None:
            say(f"{data.name}: exact search for {queries:,} queries")
            data.kth = [int(line) for line in psql(f"""
                SET max_parallel_workers_per_gather = 8; SET parallel_setup_cost = 0;
                SET min_parallel_table_scan_size = 0;
                CREATE TABLE plain (id int, v vector); ALTER TABLE plain ALTER v SET STORAGE PLAIN;
                INSERT INTO plain SELECT id, v FROM base; ANALYZE plain;
                SELECT (SELECT b.id FROM plain b ORDER BY b.v {data.operator} q.v OFFSET {K - 1} LIMIT 1)
                    FROM query q ORDER BY q.id;
                DROP TABLE plain""", database)]
        psql("CREATE TABLE kth (id int, row int)", database)
        copy("kth", "id, row", ([int4(n), int4(row)] for n, row in enumerate(data.kth)), database)
        psql(f"""CREATE TABLE {data.name}_query AS SELECT q.id, q.v, b.v {data.operator} q.v AS kth
                FROM query q JOIN kth USING (id) JOIN base b ON b.id = kth.row WITH NO DATA;
            ALTER TABLE {data.name}_query ALTER v SET STORAGE PLAIN;
            INSERT INTO {data.name}_query SELECT q.id, q.v, b.v {data.operator} q.v
                FROM query q JOIN kth USING (id) JOIN base b ON b.id = kth.row ORDER BY q.id;
            DROP TABLE query, kth""", database)


def build(data, engine):
    """A copy of the table of the engine's own, its index, and all of it in shared buffers."""
    table = engine.table(data)
    lines = psql(f"""CREATE TABLE {table} (LIKE base); INSERT INTO {table} SELECT * FROM base ORDER BY id;
        VACUUM ANALYZE {table};
        \\timing on
        CREATE INDEX {table}_idx ON {table} USING {engine.index.format(ops=data.operator_class)};
        \\timing off
        VACUUM ANALYZE {table};
        SELECT pg_relation_size('{table}_idx') / 1048576.0""", engine.database)
    engine.build_s, engine.index_mib = timed_ms(lines)[0] / 1000, float(lines[-1])
    psql(f"""SELECT sum(pg_prewarm(oid)) FROM (SELECT '{table}'::regclass AS oid UNION SELECT '{table}_idx'::regclass
            UNION SELECT reltoastrelid FROM pg_class WHERE oid = '{table}'::regclass AND reltoastrelid <> 0
            UNION SELECT indexrelid FROM pg_index JOIN pg_class c ON indrelid = reltoastrelid
                WHERE c.oid = '{table}'::regclass) r""", engine.database)
    if engine.values is None:
        lists = int(psql(f"SELECT lists FROM quantvec_index_info('{table}_idx')", engine.database)[0])
        steps = {round(base * 2 ** n) for base in (1, 1.5) for n in range(20)}
        engine.values = sorted(n for n in steps if n < lists) + [lists]
    plan = "\n".join(psql(f"SET enable_seqscan = off; EXPLAIN (COSTS OFF) {search(data, engine)}", engine.database))
    if f"Index Scan using {table}_idx" not in plan:
        sys.exit(f"the planner does not use {table}_idx:\n{plan}")
    say(f"{data.name}: {engine.name} built in {engine.build_s:.1f} s, {engine.index_mib:.1f} MiB")


def search(data, engine):
    """All queries in one statement: the time is that of the index, not of a client."""
    nearest = f"SELECT b.id FROM {engine.table(data)} b ORDER BY b.v {data.operator} q.v LIMIT {K}"
    return f"SELECT q.id, ARRAY({nearest}) AS found FROM {data.name}_query q"


def measure(data, engine, value, queries):
    """Recall and queries per second with one value of the setting, after a tenth of the queries to warm up. A row
    as near as the k-th nearest counts, whichever it is."""
    lines = psql(f"""SET jit = off; SET max_parallel_workers_per_gather = 0; SET enable_seqscan = off;
        SET {engine.setting} = {value};
        CREATE TEMP TABLE warm AS {search(data, engine)} WHERE q.id % 10 = 0;
        \\timing on
        CREATE TEMP TABLE result AS {search(data, engine)};
        \\timing off
        RESET enable_seqscan;
        SELECT count(*) FILTER (WHERE b.v {data.operator} q.v <= kth + 1e-6 * abs(kth)) / ({K} * {queries}.0)
            FROM result r CROSS JOIN unnest(found) AS near JOIN base b ON b.id = near
            JOIN {data.name}_query q ON q.id = r.id""", engine.database)
    return float(lines[-1]), queries * 1000 / timed_ms(lines)[0]


def sweep(data, engine, queries):
    """One round. The first goes on to the highest recall; later rounds only to what the table of speeds needs."""
    first = not engine.points
    for value in engine.values:
        recall, qps = measure(data, engine, value, queries)
        best = max(qps, engine.points.get(value, (0, 0))[1])
        engine.points[value] = (recall, best)
        if recall >= (ENOUGH if first else max(RECALLS)):
            return


def compare(data, options):
    """Everything about one set: load, build all, then rounds of sweeps. Returns the engines with their points."""
    databases = make_databases()
    running = [e for e in engines() if e.database in databases and options.engines in e.name]
    load(data, {e.database for e in running}, options.queries)
    for engine in running:
        build(data, engine)
    for number in range(options.rounds):
        for engine in running:
            say(f"{data.name}: round {number + 1} of {options.rounds}, {engine.name}")
            sweep(data, engine, options.queries)
    return running


def qps_at(points, recall):
    """Queries per second at a recall, on the straight line between the two points around it; in brackets the
    first point's if that has a higher recall already. Points that another one beats in both are left out."""
    points = sorted(p for p in points if not any(o[0] >= p[0] and o[1] > p[1] for o in points))
    if points[0][0] >= recall:
        return f"({points[0][1]:.0f})"
    for (low, low_qps), (high, high_qps) in zip(points, points[1:]):
        if low < recall <= high:
            return f"{low_qps + (high_qps - low_qps) * (recall - low) / (high - low):.0f}"
    return "-"


def table_of(data, running):
    lines = [f"### {data.name}", "",
             "| engine | build s | index MiB | QPS@.90 | QPS@.95 | QPS@.99 | highest recall |",
             "|---|---|---|---|---|---|---|"]
    for engine in running:
        points = list(engine.points.values())
        cells = [f"{engine.build_s:.1f}", f"{engine.index_mib:.1f}"] + [qps_at(points, r) for r in RECALLS]
        lines.append(f"| {engine.name} | {' | '.join(cells)} | {max(r for r, _ in points):.4f} |")
    return "\n".join(lines) + "\n"


def machine():
    with open("/proc/cpuinfo") as file:
        name = re.search(r"model name\s*: (.*)", file.read())
    return f"{os.cpu_count()} x {name[1] if name else os.uname().machine}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="wordnet,fashion", help="which data, with commas (%(default)s)")
    parser.add_argument("--engines", default="", help="only engines whose name contains this")
    parser.add_argument("--queries", type=int, default=1000, help="how many (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each sweep runs (%(default)s)")
    parser.add_argument("--results", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "results"),
                        help="folder for the CSV and the tables")
    options = parser.parse_args()

    sets = []
    if "wordnet" in options.sets:
        if load_wordnet.available():
            sets.append(Set("wordnet", load_wordnet.load, "<=>", "vector_cosine_ops",
                            load_wordnet.nearest(K, options.queries)))
        else:
            say("wordnet: skipped, QUANTVEC_DATA does not name the folder of wordnet-384.*")
    if "fashion" in options.sets:
        sets.append(Set("fashion", load_fashion_mnist.load, "<->", "vector_l2_ops"))

    stem = os.path.join(options.results, time.strftime("%Y-%m-%d-%H%M"))
    os.makedirs(options.results, exist_ok=True)
    version = psql("SHOW server_version")[0]
    report = [f"{machine()}, PostgreSQL {version}, k = {K}, {options.queries:,} queries, best of {options.rounds} "
              f"rounds, one connection, warm\n\n    {shlex.join(sys.argv)}\n"]
    with open(stem + ".csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["set", "engine", "build_s", "index_mib", "setting", "value", "recall", "qps"])
        for data in sets:
            running = compare(data, options)
            for engine in running:
                for value, (recall, qps) in engine.points.items():
                    out.writerow([data.name, engine.name, f"{engine.build_s:.2f}", f"{engine.index_mib:.2f}",
                                  engine.setting, value, f"{recall:.4f}", f"{qps:.0f}"])
            report.append(table_of(data, running))
    with open(stem + ".md", "w") as file:
        file.write("\n".join(report))
    print("\n".join(report))
    say(f"written: {stem}.csv and .md")


if __name__ == "__main__":
    main()
