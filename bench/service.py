#!/usr/bin/env python3
"""What an index is like in service: after inserts, with several connections, in the first query of a connection.

    bench/run service.py [--sets wordnet,fashion] [--parts inserts,connections,first] [--results FILE]

The PG* variables name a server on this machine, as superuser; the database bench_service is made anew.

    inserts      one index of all rows, one of four fifths into which the rest was inserted, with as many lists:
                 recall, rows scanned, refined and reranked, and speed at the same probes, turn by turn
    connections  pgbench with 1, 2, 4 and 16 connections for some seconds each, beside the look-ups of pgbench -S in the
                 same minutes. A transaction is 100 searches, or 1,000 look-ups, in one statement: with one of them a
                 transaction, a single connection waits for the processor to wake up at every turn
    first        a connection's first query and its tenth, in milliseconds, with 1,000 lists: median of 20 connections"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

from report import head_of, machine, publish, source_tree, this_command
from search import known_sets, load, prewarm, say
from vectors import psql, timed_ms

DATABASE = "bench_service"
ROUNDS = 7
SECONDS = 5  # of each run of pgbench
CLIENTS = (1, 2, 4, 16)
SERIAL = "SET jit = off; SET max_parallel_workers_per_gather = 0; SET enable_seqscan = off;"
PROBES = {"wordnet": (40, 110), "fashion": (5, 20)}  # about .95 and .99


def nearest(data, table, query):
    return f"SELECT b.ctid FROM {table} b ORDER BY b.v {data.operator} {query} LIMIT 10"


def warm(table):
    prewarm(table, DATABASE)


def index(data, table, options=""):
    psql(f"CREATE INDEX {table}_idx ON {table} USING quantvec (v {data.operator_class}) {options}", DATABASE)


def aged(data, table, lists):
    """Every fifth row is inserted after the index was built. Returns the inserts' seconds."""
    psql(f"""CREATE TABLE {table} (LIKE base); INSERT INTO {table} SELECT * FROM base WHERE id % 5 <> 0 ORDER BY id;
        ANALYZE {table}""", DATABASE)
    index(data, table, f"WITH (lists = {lists})")
    lines = psql(f"\\timing on\nINSERT INTO {table} SELECT * FROM base WHERE id % 5 = 0 ORDER BY id;", DATABASE)
    psql(f"VACUUM ANALYZE {table}", DATABASE)
    return timed_ms(lines)[0] / 1000


def fresh(data, table):
    psql(f"CREATE TABLE {table} (LIKE base); INSERT INTO {table} SELECT * FROM base ORDER BY id", DATABASE)
    index(data, table)
    psql(f"VACUUM ANALYZE {table}", DATABASE)


def searched(data, table, probes, options):
    """Recall and the seconds of all queries."""
    search = f"SELECT q.id, ARRAY({nearest(data, table, 'q.v')}) AS found FROM {data.queries} q"
    lines = psql(f"""{SERIAL} SET quantvec.probes = {probes};
        CREATE TEMP TABLE warm AS {search} WHERE q.id % 10 = 0;
        \\timing on
        CREATE TEMP TABLE result AS {search};
        \\timing off
        RESET enable_seqscan;
        SELECT count(*) FILTER (WHERE b.v {data.operator} q.v <= kth + 1e-6 * abs(kth)) / (10.0 * {options.queries})
            FROM result r CROSS JOIN unnest(found) AS near JOIN {table} b ON b.ctid = near
            JOIN {data.queries} q ON q.id = r.id""", DATABASE)
    return float(lines[-1]), timed_ms(lines)[0] / 1000


def counters(data, table, probes, database=DATABASE):
    """Means of quantvec_last_scan over 200 queries: rows scanned, refined, reranked."""
    block = f"""SET quantvec.probes = {probes}; {SERIAL}
        CREATE TEMP TABLE seen (scanned float8, refined float8, reranked float8);
        DO $$ DECLARE q record; BEGIN FOR q IN SELECT v FROM {data.queries} ORDER BY id LIMIT 200 LOOP
            PERFORM ARRAY({nearest(data, table, 'q.v')});
            INSERT INTO seen SELECT scanned, refined, reranked FROM quantvec_last_scan(); END LOOP; END $$;
        SELECT avg(scanned), avg(refined), avg(reranked) FROM seen"""
    return [float(x) for x in psql(block, database)[-1].split("|")]


def inserts(data, options):
    fresh(data, "fresh")
    lists = psql("SELECT lists FROM quantvec_index_info('fresh_idx')", DATABASE)[0]
    seconds = aged(data, "aged", lists)
    inserted = data.rows // 5
    for table in ("fresh", "aged"):
        warm(table)
    lines = [f"Inserted: {inserted:,} rows in {seconds:.1f} s, {inserted / seconds:,.0f} rows/s, one statement; {lists} lists.", "",
             "| probes | index | recall | scanned | refined | reranked | QPS, best of rounds |", "|---|---|---|---|---|---|---|"]
    for probes in PROBES[data.name]:
        best, recall = {}, {}
        for _ in range(ROUNDS):
            for table in ("fresh", "aged"):
                recall[table], seconds = searched(data, table, probes, options)
                best[table] = min(seconds, best.get(table, seconds))
        for table in ("fresh", "aged"):
            scanned, refined, reranked = counters(data, table, probes)
            lines.append(f"| {probes} | {table} | {recall[table]:.4f} | {scanned:.0f} | {refined:.1f} | {reranked:.1f} | "
                         f"{options.queries / best[table]:.0f} |")
    return lines


def pgbench(*arguments, database=DATABASE):
    done = subprocess.run(["pgbench", *arguments, database], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"pgbench failed: {done.stderr}")
    rates = [line.split()[2] for line in done.stdout.splitlines() if line.startswith("tps = ")]
    return float(rates[0]) if rates else 0


def connections(data, options):
    psql("DROP TABLE IF EXISTS served", DATABASE)
    fresh(data, "served")
    warm("served")
    # A key, so that the query is found as an application has it: at once.
    psql(f"CREATE UNIQUE INDEX ON {data.queries} (id); ANALYZE {data.queries}", DATABASE)
    low, high = psql(f"SELECT min(id), max(id) FROM {data.queries}", DATABASE)[0].split("|")
    pgbench("-i", "-q", "-s", "10")
    lines = ["| connections | look-ups/s (of one) | "
             + " | ".join(f"{p} probes, queries/s (of one)" for p in PROBES[data.name]) + " |", "|---" * (len(PROBES[data.name]) + 2) + "|"]
    with tempfile.TemporaryDirectory() as folder:
        scripts = []
        for probes in PROBES[data.name]:
            scripts.append(os.path.join(folder, f"{probes}.sql"))
            with open(scripts[-1], "w") as file:
                file.write(f"""\\set id random({low}, {int(high) - 99})
SELECT count(cardinality(found)) FROM (SELECT ARRAY({nearest(data, 'served', 'q.v')}) AS found FROM {data.queries} q
    WHERE id BETWEEN :id AND :id + 99 OFFSET 0) s;\n""")
        look_ups = os.path.join(folder, "lookups.sql")
        with open(look_ups, "w") as file:
            file.write("""\\set aid random(1, 100000)
SELECT sum((SELECT abalance FROM pgbench_accounts WHERE aid = (:aid + 7919 * g) % 1000000 + 1))
    FROM generate_series(1, 1000) g;\n""")
        best = {}
        for _ in range(2):
            for clients in CLIENTS:
                common = ("-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2)), "-T", str(SECONDS))
                for script, probes in zip(scripts, PROBES[data.name]):
                    os.environ["PGOPTIONS"] = f"-c quantvec.probes={probes} -c enable_seqscan=off -c jit=off"
                    best[clients, probes] = max(best.get((clients, probes), 0), pgbench(*common, "-f", script))
                del os.environ["PGOPTIONS"]
                best[clients, "-S"] = max(best.get((clients, "-S"), 0), pgbench(*common, "-f", look_ups))
    each = {"-S": 1000, **{probes: 100 for probes in PROBES[data.name]}}
    for clients in CLIENTS:
        cells = [f"{best[clients, c] * each[c]:.0f} ({best[clients, c] / best[1, c]:.2f})" for c in each]
        lines.append(f"| {clients} | " + " | ".join(cells) + " |")
    return lines


def first(data, options):
    psql("DROP TABLE IF EXISTS opened", DATABASE)
    psql("CREATE TABLE opened (LIKE base); INSERT INTO opened SELECT * FROM base ORDER BY id", DATABASE)
    index(data, "opened", "WITH (lists = 1000)")
    psql("VACUUM ANALYZE opened", DATABASE)
    warm("opened")
    low = int(psql(f"SELECT min(id) FROM {data.queries}", DATABASE)[0])
    # The query is a literal, as from an application; each connection asks for the same ten.
    texts = psql(f"SELECT v FROM {data.queries} WHERE id >= {low} ORDER BY id LIMIT 10", DATABASE)
    script = "SET enable_seqscan = off; SET quantvec.probes = 40;\n\\timing on\n" + "\n".join(
        nearest(data, "opened", f"'{text}'") + ";" for text in texts)
    runs = [timed_ms(psql(script, DATABASE)) for _ in range(20)]
    medians = [statistics.median(run[n] for run in runs) for n in range(10)]
    return ["| query of the connection | " + " | ".join(str(n + 1) for n in range(10)) + " |", "|---" * 11 + "|",
            "| ms | " + " | ".join(f"{m:.2f}" for m in medians) + " |"]


PARTS = {"inserts": (inserts, "After inserts"), "connections": (connections, "Connections"),
         "first": (first, "The first query, 1,000 lists, 40 probes")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="wordnet,fashion", help="with commas (%(default)s)")
    parser.add_argument("--parts", default=",".join(PARTS), help="with commas (%(default)s)")
    parser.add_argument("--results", help="file for the tables, besides standard output")
    options = parser.parse_args()
    options.k, options.queries = 10, 1000
    lines = head_of("In service", this_command(), [
        f"{machine()}; PostgreSQL {psql('SHOW server_version')[0]}; source tree of quantvec at {source_tree()}",
        f"k = 10, {options.queries:,} queries, warm; quantvec with its defaults but for the probes"])
    for data in known_sets(options):
        psql(f"DROP DATABASE IF EXISTS {DATABASE}")
        psql(f"CREATE DATABASE {DATABASE}")
        psql("CREATE EXTENSION quantvec; CREATE EXTENSION pg_prewarm", DATABASE)
        load(data, DATABASE, options)
        for part in options.parts.split(","):
            run, title = PARTS[part]
            say(f"{data.name}: {part}")
            lines += [f"## {title}: {data.title()}", "", *run(data, options), ""]
    publish("\n".join(lines), options.results)


if __name__ == "__main__":
    main()
