#!/usr/bin/env python3
"""Recall against queries per second. bench/README.md says how to read it.

    search.py                the known sets, quantvec beside other engines; bench/run starts a server for it
    search.py --table items --column embedding --operator '<=>' --queries-table q
                             your table with its quantvec index; q holds queries in a column of the same name

The PG* variables name the server. For the known sets (as superuser) the databases bench_quantvec and bench_peers
are made anew. With --table nothing is made but temporary tables. Both belong on the machine of the server."""

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field

import load_wordnet
import load_fashion_mnist  # found by the path that load_wordnet adds
from report import RECALLS, ROOT, Report
from vectors import copy, int4, psql, timed_ms

DATABASES = {"quantvec": "bench_quantvec", "vector": "bench_peers", "vchord": "bench_peers"}  # by extension
DISTANCES = {"<->": "L2 distance", "<#>": "inner product", "<=>": "cosine distance"}  # by operator
ENOUGH = 0.9985  # the recall where the first sweep ends
WORKERS = 2  # of every build
EXACT = """SET jit = off; SET enable_indexscan = off; SET min_parallel_table_scan_size = 0;
    SET parallel_setup_cost = 0; SET max_parallel_workers_per_gather = 8;"""


@dataclass
class Set:
    name: str
    rows: int
    dim: int
    operator: str
    queries: str  # the table of queries: id, v, kth (the distance of the row at rank k)
    prepare: str = ""  # SQL that makes it, if it is temporary
    column: str = "v"  # of the rows
    operator_class: str = ""
    load: object = None  # (table, query_table, queries, database)
    kth: list = None  # for each query the id of the row at rank k

    def title(self):
        return f"{self.name}: {self.rows:,} rows, {self.dim:,} dimensions, {DISTANCES[self.operator]}"


@dataclass
class Engine:
    name: str
    extension: str
    setting: str
    index: str = ""  # what follows USING
    lists: int = 0  # 0: quantvec_index_info says how many
    values: list = None  # of the setting; None: numbers of lists
    table: str = ""
    database: str = None
    build_s: float = None
    index_mib: float = 0
    points: dict = field(default_factory=dict)  # value: (recall, best queries per second)


def engines(data):
    """Those of the known sets. The peers' numbers of lists are sqrt(rows) and three times that. VectorChord's
    other options are those that serve it best, measured: residuals on fashion, spherical centroids on wordnet."""
    lists, cosine = int(data.rows ** 0.5), data.operator == "<=>"

    def quantvec(name, options):
        return Engine(f"quantvec {name}", "quantvec", "quantvec.probes",
                      f"quantvec (v {data.operator_class}) WITH ({options})")

    def vchord(lists):
        return Engine(f"VectorChord {lists} lists{'' if cosine else ' residual'}", "vchord", "vchordrq.probes",
                      f"""vchordrq (v {data.operator_class}) WITH (options = $$
                      residual_quantization = {str(not cosine).lower()}
                      [build.internal]
                      lists = [{lists}]
                      spherical_centroids = {str(cosine).lower()}
                      build_threads = {WORKERS}$$)""", lists)

    return [
        quantvec("bq 4 bits", "quantizer = 'bq', bits = 4"),
        quantvec("bq 1 bit", "quantizer = 'bq', bits = 1"),
        quantvec("sq8", "quantizer = 'sq8'"),
        quantvec("sq4", "quantizer = 'sq4'"),
        quantvec("pq", "quantizer = 'pq'"),
        quantvec("pq 32 bytes", "quantizer = 'pq', pq_m = 32"),
        Engine("pgvector hnsw 16/64", "vector", "hnsw.ef_search",
               f"hnsw (v {data.operator_class}) WITH (m = 16, ef_construction = 64)",
               values=[10, 15, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 1000]),
        Engine(f"pgvector ivfflat {lists} lists", "vector", "ivfflat.probes",
               f"ivfflat (v {data.operator_class}) WITH (lists = {lists})", lists),
        vchord(lists),
        vchord(int(3 * data.rows ** 0.5)),
    ]


def say(text):
    print(f"==> {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def version(extension, database=None):
    found = psql(f"SELECT extname || ' ' || extversion FROM pg_extension WHERE extname = '{extension}'", database)
    return found[0] if found else sys.exit(f"the database does not have the extension {extension}")


# ---- the known sets ----

def known_sets(options):
    if "wordnet" in options.sets:
        if load_wordnet.available():
            yield Set("wordnet", 116691, 384, "<=>", "wordnet_query", operator_class="vector_cosine_ops",
                      load=load_wordnet.load, kth=load_wordnet.nearest(options.k, options.queries))
        else:
            say("wordnet: skipped, QUANTVEC_DATA does not name the folder of wordnet-384.*")
    if "fashion" in options.sets:
        yield Set("fashion", 60000, 784, "<->", "fashion_query", operator_class="vector_l2_ops",
                  load=load_fashion_mnist.load)


def make_databases():
    """Returns, for each extension, None or the reason why the server does not have it. (A private install is not in
    pg_available_extensions.)"""
    for database in set(DATABASES.values()):
        psql(f"DROP DATABASE IF EXISTS {database}")
        psql(f"CREATE DATABASE {database}")
        psql("CREATE EXTENSION pg_prewarm", database)
    missing = {}
    for extension, database in DATABASES.items():
        create = ["psql", "-X", "-q", "-d", database, "-c", f"CREATE EXTENSION {extension}"]
        done = subprocess.run(create, capture_output=True, text=True)
        missing[extension] = done.stderr.split("\n")[0] if done.returncode else None
    return missing


def load(data, database, options):
    """The rows, and the queries with the distance to the k-th nearest row."""
    say(f"{data.name}: loading into {database}")
    data.load("base", "query", options.queries, database)
    if data.kth is None:
        say(f"{data.name}: exact search for {options.queries:,} queries")
        data.kth = [ids[-1] for ids in exact(data, "base", options.k, database)]
    store_queries(data, "base", database)
    psql("DROP TABLE query", database)


def exact(data, table, count, database):
    """For each query the ids of its nearest rows in the table, nearest first."""
    lines = psql(f"""{EXACT}
        CREATE TABLE plain (id int, v vector); ALTER TABLE plain ALTER v SET STORAGE PLAIN;
        INSERT INTO plain SELECT id, v FROM {table}; ANALYZE plain;
        SELECT format('SELECT string_agg(id::text, '','') FROM (SELECT id FROM plain ORDER BY v {data.operator} %L
            LIMIT {count}) s', v) FROM query ORDER BY id \\gexec
        DROP TABLE plain""", database)
    return [list(map(int, line.split(","))) for line in lines]


def store_queries(data, table, database):
    """Makes the set's table of queries from the table query, with the distance to the row of the table that data.kth
    names."""
    psql("CREATE TABLE kth (id int, row int)", database)
    copy("kth", "id, row", ([int4(n), int4(row)] for n, row in enumerate(data.kth)), database)
    psql(f"""CREATE TABLE {data.queries} (id int, v vector, kth float8);
        ALTER TABLE {data.queries} ALTER v SET STORAGE PLAIN;
        INSERT INTO {data.queries} SELECT q.id, q.v, b.v {data.operator} q.v
            FROM query q JOIN kth USING (id) JOIN {table} b ON b.id = kth.row ORDER BY q.id;
        DROP TABLE kth""", database)


def make_table(data, engine, order="ORDER BY id"):
    """A copy of the table base, of the engine's own."""
    table = engine.table = re.sub(r"\W+", "_", f"{data.name}_{engine.name}".lower())
    psql(f"""CREATE TABLE {table} (LIKE base) WITH (parallel_workers = {WORKERS});
        INSERT INTO {table} SELECT * FROM base {order};
        VACUUM ANALYZE {table}""", engine.database)
    return table


def prewarm(table, database):
    """Table, indexes and TOAST into shared buffers."""
    psql(f"""SELECT sum(pg_prewarm(oid)) FROM (SELECT '{table}'::regclass AS oid
            UNION SELECT indexrelid FROM pg_index WHERE indrelid = '{table}'::regclass
            UNION SELECT reltoastrelid FROM pg_class WHERE oid = '{table}'::regclass AND reltoastrelid <> 0
            UNION SELECT indexrelid FROM pg_index JOIN pg_class c ON indrelid = reltoastrelid
                WHERE c.oid = '{table}'::regclass) r""", database)


def build(data, engine, options, order="ORDER BY id"):
    """The engine's table, its index, and all of it in shared buffers."""
    table = make_table(data, engine, order)
    lines = psql(f"""SET max_parallel_maintenance_workers = {WORKERS};
        \\timing on
        CREATE INDEX {table}_idx ON {table} USING {engine.index};
        \\timing off
        VACUUM ANALYZE {table};
        SELECT pg_relation_size('{table}_idx') / 1048576.0""", engine.database)
    engine.build_s, engine.index_mib = round(timed_ms(lines)[0] / 1000, 1), float(lines[-1])
    prewarm(table, engine.database)
    if planned_index(data, engine, options) != f"{table}_idx":
        sys.exit(f"the planner takes another index than {table}_idx")
    if engine.values is None:
        lists = engine.lists or psql(f"SELECT lists FROM quantvec_index_info('{table}_idx')", engine.database)[0]
        engine.values = up_to(int(lists))
    say(f"{data.name}: {engine.name} built in {engine.build_s} s, {engine.index_mib:.1f} MiB")


def available(data, names, missing):
    """The engines whose name contains one of these and whose extension the server has, and notes about the others."""
    running, skipped = [], []
    for engine in engines(data):
        if any(part in engine.name for part in names):
            if missing[engine.extension]:
                skipped.append(f"{engine.name}: skipped, {missing[engine.extension]}")
                say(skipped[-1])
            else:
                engine.database = DATABASES[engine.extension]
                running.append(engine)
    if not running:
        sys.exit("no engine is left")
    return running, skipped


def prepare_known(data, options):
    """Loads the rows and builds all indexes. Returns the engines and notes about them."""
    running, skipped = available(data, options.engines.split(","), make_databases())
    for database in sorted({e.database for e in running}):
        load(data, database, options)
    for engine in running:
        build(data, engine, options)
    return running, [*told(running), *skipped]


def told(running):
    """The versions of these engines, and what they were built with."""
    versions = [version(e, DATABASES[e]) for e in dict.fromkeys(e.extension for e in running)]
    memory = psql("SHOW maintenance_work_mem")[0]
    return [", ".join(versions), f"built with max_parallel_maintenance_workers = {WORKERS} (VectorChord: and "
            f"build_threads = {WORKERS}), maintenance_work_mem = {memory}"]


# ---- your own table ----

def own_set(options):
    table, column = options.table, options.column
    rows = int(psql(f"SELECT count({column}) FROM {table}")[0])
    if rows < options.k:
        sys.exit(f"{table} has {rows} vectors, --k wants {options.k}")
    dim = int(psql(f"SELECT vector_dims({column}) FROM {table} WHERE {column} IS NOT NULL LIMIT 1")[0])
    # A client's query is not read from TOAST either; 2,000 dimensions fit into a page.
    prepare = f"""CREATE TEMP TABLE bench_query (id serial, v vector, kth float8);
        ALTER TABLE bench_query ALTER v SET STORAGE {'PLAIN' if dim <= 2000 else 'EXTERNAL'};"""
    return Set(table, rows, dim, options.operator, "bench_query", prepare, column)


def prepare_own(data, options):
    """Searches exactly for the queries. Returns the index that the planner takes, as engine, and notes about it."""
    engine = Engine("", "quantvec", "quantvec.probes", table=options.table)
    index = planned_index(data, engine, options)
    oid = psql(f"""SELECT indexrelid FROM pg_index JOIN pg_class ON oid = indexrelid
        WHERE indrelid = '{engine.table}'::regclass AND quote_ident(relname) = '{index}'""")[0]
    quantizer, lists, mib = psql(f"""SELECT quantizer, lists, pg_relation_size({oid}) / 1048576.0
        FROM quantvec_index_info({oid})""")[0].split("|")
    engine.name, engine.values, engine.index_mib = f"{index} ({quantizer})", up_to(int(lists)), float(mib)

    say(f"{data.name}: exact search for the first {options.queries:,} rows of {options.queries_table}")
    truth = psql(f"""{EXACT}
        SELECT format('SELECT format(''(%%L::tid, %%L::float8)'', %L, {data.column} {data.operator} %L) FROM {data.name}
                ORDER BY {data.column} {data.operator} %2$L OFFSET {options.k - 1} LIMIT 1', ctid, {data.column})
            FROM {options.queries_table} WHERE {data.column} IS NOT NULL ORDER BY ctid LIMIT {options.queries}
            \\gexec""")
    if not truth:
        sys.exit(f"{options.queries_table} has no vectors")
    options.queries = len(truth)
    data.prepare += f"""INSERT INTO bench_query (v, kth) SELECT {data.column}, kth FROM {options.queries_table} q
        JOIN (VALUES {', '.join(truth)}) AS truth (row, kth) ON q.ctid = row;"""
    return [engine], [version("quantvec")]


# ---- measuring ----

def search(data, engine, options):
    """All queries in one statement: the time is that of the index, not of a client."""
    nearest = f"SELECT b.ctid FROM {engine.table} b ORDER BY b.{data.column} {data.operator} q.v LIMIT {options.k}"
    return f"SELECT q.id, ARRAY({nearest}) AS found FROM {data.queries} q"


def session(data, engine, value):
    return f"""SET jit = off; SET max_parallel_workers_per_gather = 0; SET enable_seqscan = off;
        SET {engine.setting} = {value}; {data.prepare}"""


def planned_index(data, engine, options):
    plan = "\n".join(psql(f"{session(data, engine, 1)} EXPLAIN (COSTS OFF) {search(data, engine, options)}",
                          engine.database))
    index = re.search(r'Index Scan using (".*"|\S+) on', plan)
    return index[1] if index else sys.exit(f"the planner does not use an index:\n{plan}")


def up_to(lists):
    steps = {round(base * 2 ** n) for base in (1, 1.5) for n in range(20)}
    return sorted(n for n in steps if n < lists) + [lists]


def measure(data, engine, value, options):
    """Recall and queries per second with one value of the setting, after a tenth of the queries to warm up. A row
    as near as the k-th nearest counts, whichever it is."""
    lines = psql(f"""{session(data, engine, value)}
        CREATE TEMP TABLE warm AS {search(data, engine, options)} WHERE q.id % 10 = 0;
        \\timing on
        CREATE TEMP TABLE result AS {search(data, engine, options)};
        \\timing off
        RESET enable_seqscan;
        SELECT count(*) FILTER (WHERE b.{data.column} {data.operator} q.v <= kth + 1e-6 * abs(kth))
                / ({options.k} * {options.queries}.0)
            FROM result r CROSS JOIN unnest(found) AS near JOIN {engine.table} b ON b.ctid = near
            JOIN {data.queries} q ON q.id = r.id""", engine.database)
    return float(lines[-1]), options.queries * 1000 / timed_ms(lines)[0]


def sweep(data, engine, options):
    """One round. The first goes on to the highest recall; later rounds only to what the table of speeds needs."""
    first = not engine.points
    for value in engine.values:
        recall, qps = measure(data, engine, value, options)
        best = max(qps, engine.points.get(value, (0, 0))[1])
        engine.points[value] = (recall, best)
        if recall >= (ENOUGH if first else max(RECALLS)):
            return


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="wordnet,fashion", help="which known sets, with commas (%(default)s)")
    parser.add_argument("--engines", default="quantvec,hnsw,VectorChord",
                        help="only engines whose name contains one of these (%(default)s; there is ivfflat too)")
    parser.add_argument("--table", help="your table, instead of the known sets")
    parser.add_argument("--column", default="embedding", help="its column of vectors (%(default)s)")
    parser.add_argument("--operator", default="<->", choices=list(DISTANCES), help="distance (%(default)s)")
    parser.add_argument("--queries-table", help="your table of queries")
    parser.add_argument("--k", type=int, default=10, help="rows wanted of each query (%(default)s)")
    parser.add_argument("--queries", type=int, default=1000, help="how many at most (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each sweep runs (%(default)s)")
    parser.add_argument("--results", default=os.path.join(ROOT, "bench", "results"), help="folder of the report")
    options = parser.parse_args()
    if bool(options.table) != bool(options.queries_table):
        parser.error("--table and --queries-table go together")

    command = os.environ.get("BENCH_COMMAND", "bench/search.py")  # bench/run says that it was the one
    report = Report(options.results, shlex.join([command, *sys.argv[1:]]))
    server, buffers = psql("SHOW server_version; SHOW shared_buffers")
    for data in [own_set(options)] if options.table else known_sets(options):
        running, notes = (prepare_own if options.table else prepare_known)(data, options)
        for number in range(options.rounds):
            for engine in running:
                say(f"{data.name}: round {number + 1} of {options.rounds}, {engine.name}")
                sweep(data, engine, options)
        notes = [f"PostgreSQL {server}, shared_buffers = {buffers}; {notes[0]}",
                 f"k = {options.k}, {options.queries:,} queries, best of {options.rounds} rounds, one connection, warm",
                 *notes[1:]]
        report.add(data, running, options.k, options.queries, notes, all_points=bool(options.table))
    print(report.text())
    say(f"written: {report.stem}*")


if __name__ == "__main__":
    main()
