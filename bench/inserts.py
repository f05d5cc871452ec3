#!/usr/bin/env python3
"""How fast rows go into a table whose index is trained, and how much WAL they write.

    bench/run inserts.py [--rows 100000] [--inserts 10000] [--copy-rows 1000000] [--peers] [--results FILE.md]

The PG* variables name a server on this machine, as superuser; the databases bench_quantvec and bench_peers are made
anew. Needs numpy. The rows are those of scale.py, 768 dimensions, cosine distance. Every engine, and a table without
index, gets a table of --rows of them and builds its index; then, all engines turn by turn and with the same rows:

    inserts  pgbench with prepared statements, 1, 4 and 16 clients (the peers --peer-clients), each statement a
             transaction: one row, or 100. A statement takes its rows by key from a table of them (stored PLAIN): so
             vectors are neither sent nor parsed, and the time is that of table and index; the table without index
             tells them apart. A run inserts --inserts rows; the best of --repeats counts, each with rows of its own
    copy     COPY from a binary file on this machine, --step rows each time, until --copy-rows: rows/s of each step

WAL is that of table, TOAST and index, measured from a checkpoint before each run. Images of full pages, one for each page
touched since the checkpoint, are apart: their bytes a row shrink as the run grows."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from report import head_of, machine, publish, source_tree, this_command
from scale import DIM, Generator, encoded, load
from search import DATABASES, Engine, Set, available, build, make_databases, make_table, prewarm, say, told
from service import pgbench
from vectors import psql, write_copy
from wal import Wal, count_wal, wal_position, wal_written

MODES = (1, 100)  # rows of a statement


@dataclass
class Run:
    rate: float  # rows a second
    rows: int
    wal: Wal
    index_mib: float = 0

    def wal_row(self):
        """Bytes a row."""
        return f"{self.wal.records / self.rows:.0f} + {self.wal.images / self.rows:.0f}"


def ours(engine):
    return engine.extension == "quantvec"


def measured(engine, rows, insert):
    """insert() returns rows a second. Returns the Run."""
    psql("CHECKPOINT", engine.database)
    start = wal_position(engine.database)
    rate = insert()
    end = wal_position(engine.database)
    mib = float(psql(f"SELECT pg_relation_size('{engine.table}_idx') / 1048576.0", engine.database)[0]) if engine.index else 0
    return Run(rate, rows, wal_written(start, end, engine.database), mib)


def make_tables(data, running, generator, options):
    """Every engine's table of --rows rows, with its index."""
    for database in sorted({e.database for e in running}):
        say(f"loading {options.rows:,} rows into {database}")
        psql("DROP TABLE IF EXISTS base", database)
        load("base", generator.rows(options.rows), database=database)
        psql("VACUUM ANALYZE base", database)
    for engine in running:
        if engine.index:
            build(data, engine, options)
        else:
            make_table(data, engine)
            prewarm(engine.table, engine.database)


def drop_tables(running):
    for engine in running:
        psql(f"DROP TABLE {engine.table}", engine.database)


# ---- inserts ----

def run_pgbench(engine, folder, first, clients, batch, transactions):
    """Each client inserts every clients-th batch from row number first on."""
    path = os.path.join(folder, "insert.sql")
    with open(path, "w") as file:
        file.write(f"""\\set turn :turn + 1
\\set low {first} + (:turn * {clients} + :client_id) * {batch}
\\set high :low + {batch - 1}
INSERT INTO {engine.table} SELECT id, v FROM source WHERE id BETWEEN :low AND :high;\n""")
    rate = pgbench("-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2)), "-t", str(transactions),
                   "-D", "turn=-1", "-f", path, database=engine.database)
    return rate * batch


def inserts(data, running, generator, options):
    make_tables(data, running, generator, options)
    clients = {e.name: numbers(options.clients if ours(e) else options.peer_clients) for e in running}
    # Runs that all engines have come first, so that they find the same rows.
    runs = [(n, batch) for n in sorted(set().union(*clients.values())) for batch in MODES]
    needed = options.inserts * len(runs) * options.repeats
    for database in sorted({e.database for e in running}):
        psql("DROP TABLE base", database)
        psql(f"CREATE TABLE source (id int PRIMARY KEY, v vector({DIM})); ALTER TABLE source ALTER v SET STORAGE PLAIN", database)
        load("loaded", generator.rows(needed, options.rows), options.rows, database)
        psql("INSERT INTO source SELECT * FROM loaded ORDER BY id; DROP TABLE loaded; VACUUM ANALYZE source", database)
        prewarm("source", database)
    best, first = {}, options.rows
    with tempfile.TemporaryDirectory() as folder:
        for n, batch in runs:
            transactions = max(1, options.inserts // (n * batch))
            rows = transactions * n * batch
            for _ in range(options.repeats):
                for engine in running:
                    if n not in clients[engine.name]:
                        continue
                    before = count(engine)
                    run = measured(engine, rows, lambda: run_pgbench(engine, folder, first, n, batch, transactions))
                    if count(engine) != before + rows:
                        sys.exit(f"{engine.name}: pgbench inserted {count(engine) - before} rows instead of {rows}")
                    key = engine.name, n, batch
                    if key not in best or run.rate > best[key].rate:
                        best[key] = run
                    say(f"{engine.name}: {n} clients, {batch} rows a statement: {run.rate:.0f} rows/s, WAL a row {run.wal_row()}")
                first += rows
    drop_tables(running)
    for database in sorted({e.database for e in running}):
        psql("DROP TABLE source", database)
    lines = ["## INSERT", "", f"- into a table of {options.rows:,} rows with a trained index; {options.inserts:,} rows a run, best of "
             f"{options.repeats}; rows/s of all clients together",
             "- pgbench with prepared statements, one a transaction; its vectors come from a table in the server", "",
             "| engine | clients | rows a statement | rows/s | WAL bytes a row: records + images |", "|---" * 5 + "|"]
    for n, batch in runs:
        for engine in running:
            run = best.get((engine.name, n, batch))
            if run:
                lines.append(f"| {engine.name} | {n} | {batch} | {run.rate:,.0f} | {run.wal_row()} |")
    return lines + [""]


def count(engine):
    return int(psql(f"SELECT count(*) FROM {engine.table}", engine.database)[0])


def numbers(text):
    return [int(n) for n in text.split(",")]


# ---- copy ----

def run_copy(engine, path, rows):
    start = time.perf_counter()
    with open(path, "rb") as file:
        subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", engine.database, "-c",
                        f"COPY {engine.table} FROM STDIN (FORMAT binary)"], stdin=file, check=True)
    return rows / (time.perf_counter() - start)


def copies(data, running, generator, options):
    make_tables(data, running, generator, options)
    for database in sorted({e.database for e in running}):
        psql("DROP TABLE base", database)
    runs = []  # (rows before, {engine's name: Run})
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows")
        for done in range(0, options.copy_rows, options.step):
            rows, first = min(options.step, options.copy_rows - done), options.rows + done
            with open(path, "wb") as file:
                write_copy(file, encoded(generator.rows(rows, first), first))
            runs.append((first, {}))
            for engine in running:
                if ours(engine) or done + rows <= options.peer_copy_rows:
                    run = runs[-1][1][engine.name] = measured(engine, rows, lambda: run_copy(engine, path, rows))
                    say(f"{engine.name}: COPY of {rows:,} rows into {first:,}: {run.rate:.0f} rows/s, WAL a row {run.wal_row()}")
    drop_tables(running)
    lines = ["## COPY", "", f"- one connection, from a binary file; the index was trained on the first {options.rows:,} rows"]
    if not all(map(ours, running)):
        lines.append(f"- the peers get {min(options.peer_copy_rows, options.copy_rows):,} rows at most")
    lines += ["- in each cell: rows/s; WAL bytes a row, records + images; index MiB after it", "",
              f"| rows in the table before | {' | '.join(e.name for e in running)} |", "|---" * (len(running) + 1) + "|"]
    for before, row in runs:
        lines.append(f"| {before:,} | {' | '.join(copy_cell(e, row.get(e.name)) for e in running)} |")
    return lines + [""]


def copy_cell(engine, run):
    if not run:
        return "-"
    return f"{run.rate:,.0f}; {run.wal_row()}" + (f"; {run.index_mib:.1f}" if engine.index else "")


PARTS = {"inserts": inserts, "copy": copies}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS), help="with commas (%(default)s)")
    parser.add_argument("--engines", default="quantvec bq 4 bits",
                        help="those of search.py whose name contains one of these, with commas (%(default)s)")
    parser.add_argument("--peers", action="store_true", help="pgvector HNSW and VectorChord too")
    parser.add_argument("--rows", type=int, default=100000, help="that the index is built on (%(default)s)")
    parser.add_argument("--inserts", type=int, default=10000, help="rows of a run of pgbench (%(default)s)")
    parser.add_argument("--repeats", type=int, default=2, help="runs of which the best counts (%(default)s)")
    parser.add_argument("--clients", default="1,4,16", help="of quantvec and of the table without index (%(default)s)")
    parser.add_argument("--peer-clients", default="1,4", help="(%(default)s)")
    parser.add_argument("--copy-rows", type=int, default=1000000, help="of all steps together (%(default)s)")
    parser.add_argument("--peer-copy-rows", type=int, default=200000, help="(%(default)s)")
    parser.add_argument("--step", type=int, default=100000, help="rows of a COPY (%(default)s)")
    parser.add_argument("--results", help="file for the tables, besides standard output")
    options = parser.parse_args()
    if options.inserts < max(numbers(options.clients) + numbers(options.peer_clients)) * max(MODES):
        parser.error(f"--inserts must give each client a statement of {max(MODES)} rows")

    # The planner is asked with rows as queries; nothing is searched.
    data = Set("generated", options.rows, DIM, "<=>", "base", operator_class="vector_cosine_ops")
    names = options.engines.split(",")
    if options.peers:
        names += ["hnsw", f"VectorChord {int(data.rows ** 0.5)} lists"]
    options.k = 10
    running, skipped = available(data, names, make_databases())
    running.insert(0, Engine("no index", "quantvec", "", database=DATABASES["quantvec"]))
    for database in sorted({e.database for e in running}):
        count_wal(database)
    settings = psql("""SELECT string_agg(name || ' = ' || current_setting(name), ', ' ORDER BY name) FROM pg_settings
        WHERE name IN ('shared_buffers', 'fsync', 'synchronous_commit', 'full_page_writes', 'wal_compression')""")[0]
    server = f"{machine()}; PostgreSQL {psql('SHOW server_version')[0]}, {settings}; source tree of quantvec at {source_tree()}"
    lines = head_of("Inserts", this_command(), [server, *told(running), *skipped,
                                                f"generated rows of {DIM} dimensions: see `scale.py`"])
    generator = Generator()
    for part in options.parts.split(","):
        lines += PARTS[part](data, running, generator, options)
    publish("\n".join(lines), options.results)


if __name__ == "__main__":
    main()
