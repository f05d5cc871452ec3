#!/usr/bin/env python3
"""What churn does to an index: recall, speed, size, WAL and VACUUM, beside an index built anew on the same rows.

    bench/run churn.py [--data wordnet-384,fashion-mnist] [--rows N] [--rounds 50] [--every 10] [--results FILE.md]
    bench/run churn.py --peers [--peer-rounds 10]

The PG* variables name a server on this machine, as superuser; the databases bench_quantvec and bench_peers are made
anew. The table starts with four fifths of the set, drawn at random; an index is built on them. A round then

    deletes   a random tenth of the table's rows, which go back to the pool, in one statement
    inserts   as many of those that were in the pool before, in one statement; all lie in one distribution
    vacuums   with the server's defaults
    measures  recall against exact search over the rows that are now in the table, and queries per second

Ten rounds are 100 % churn. Probes (or hnsw.ef_search) are the least that gave recall .95 on the first index, and
stay. Every --every rounds, and after the last, the same rows are copied to a second table in a random order, an index
is built there, and both are searched turn by turn; --anew times, as each order gives k-means another start. The ratios
to the mean of these indexes say what a REINDEX would bring, and their range what it would leave to chance. (In the order
of their ids near rows would lie near each other on wordnet, which serves a rerank from the table.) A table without index
has the same churn, for its share of the WAL. The rows that move are the same for all engines.

WAL is that of table, TOAST and index. A checkpoint comes before each round, so every page that the round touches
brings one image; VACUUM finds most pages touched already. A speed is the best of --repeats runs of all queries, timed
as in search.py; rows scanned, refined and reranked are means of quantvec_last_scan over 200 queries.

Before the first round the same rows go to a table whose index was created when it was empty, and VACUUM trains that;
it is searched turn by turn with the index that was built."""

import argparse
import os
import random
import statistics
import sys
import time
from dataclasses import dataclass, field, replace

from report import head_of, machine, plotter, publish, save_plot, source_tree, this_command
from search import (DATABASES, Engine, available, build, exact, known_sets, make_databases, make_table, measure,
                    prewarm, say, store_queries, told)
from service import counters
from vectors import copy, int4, psql, timed_ms
from wal import Wal, count_wal, wal_position, wal_written

INSIDE, MOVED = 0.8, 0.1  # of the set in the table; of the table in a round
RECALL = 0.95
NEAR = 100  # rows of the set known for each query; the k-th nearest of the table is among them
COUNTERS = ("scanned", "refined", "reranked")


class Churn:
    """Which rows are in the table; the same for all engines."""

    def __init__(self, rows):
        self.random = random.Random(1)
        ids = list(range(rows))
        self.random.shuffle(ids)
        self.count = int(rows * INSIDE)
        self.inside, self.outside = ids[:self.count], ids[self.count:]

    def round(self):
        """Ids that leave, ids that come."""
        moved = int(self.count * MOVED)
        for ids in (self.inside, self.outside):
            self.random.shuffle(ids)
        leave, come = self.inside[:moved], self.outside[:moved]
        self.inside[:moved], self.outside[:moved] = come, leave
        return leave, come


@dataclass
class Point:
    """An engine after a round."""
    round: int
    seconds: float = 0  # of delete and insert
    wal: Wal = None  # of delete and insert
    vacuum_s: float = 0
    vacuum_wal: Wal = None
    mib: float = 0
    recall: float = 0
    qps: float = 0
    dead: float = None  # share of dead rows in the index
    counters: list = None
    fresh: list = field(default_factory=list)  # Points of indexes built anew


def send(table, ids, database):
    psql(f"TRUNCATE {table}", database)
    copy(table, "id", ([int4(n)] for n in ids), database)
    psql(f"ANALYZE {table}", database)


def store_truth(data, churn, near, k, databases):
    """The queries with the distance to the k-th nearest of the rows in the table."""
    inside = set(churn.inside)
    found = [[row for row in rows if row in inside] for rows in near]
    if min(map(len, found)) < k:
        sys.exit(f"of the {NEAR} nearest rows of a query fewer than {k} are in the table")
    data.kth = [rows[k - 1] for rows in found]
    for database in databases:
        psql(f"DROP TABLE IF EXISTS {data.queries}", database)
        store_queries(data, "pool", database)


def move(engine, number):
    """A round's deletes, inserts and VACUUM. Returns its Point, without what searches tell."""
    table, database = engine.table, engine.database
    psql("CHECKPOINT", database)
    positions = [wal_position(database)]
    seconds = []
    for statements in (f"""DELETE FROM {table} USING leave WHERE {table}.id = leave.id;
            INSERT INTO {table} SELECT pool.* FROM pool JOIN come USING (id)""", f"VACUUM {table}"):
        seconds.append(sum(timed_ms(psql(f"\\timing on\n{statements};", database))) / 1000)
        positions.append(wal_position(database))
    return Point(number, seconds[0], wal_written(*positions[:2], database), seconds[1],
                 wal_written(*positions[1:], database))


def look(data, points, probes, options):
    """points: of engines, (engine, Point). Fills in what searches tell, turn by turn."""
    for _ in range(options.repeats):
        for engine, point in points:
            point.recall, qps = measure(data, engine, probes, options)
            point.qps = max(point.qps, qps)
    for engine, point in points:
        point.mib = float(psql(f"SELECT pg_relation_size('{engine.table}_idx') / 1048576.0", engine.database)[0])
        if engine.extension == "quantvec":
            point.counters = counters(data, engine.table, probes, engine.database)
            info = psql(f"SELECT dead_share FROM quantvec_index_info('{engine.table}_idx')", engine.database)
            point.dead = float(info[0])


def rebuild(data, engine, point, probes, options):
    """Indexes on copies of the rows, beside each of which the point is measured once more."""
    psql(f"TRUNCATE base; INSERT INTO base SELECT * FROM {engine.table}", engine.database)
    turns = []
    for number in range(options.anew):
        twin, fresh = replace(engine, name=f"{engine.name} anew"), Point(point.round)
        build(data, twin, options, order=f"ORDER BY hashint4extended(id, {number})")
        prewarm(engine.table, engine.database)
        turns.append(replace(point))
        look(data, [(engine, turns[-1]), (twin, fresh)], probes, options)
        psql(f"DROP TABLE {twin.table}", engine.database)
        point.fresh.append(fresh)
    psql("TRUNCATE base", engine.database)
    last = turns[-1]
    point.recall, point.mib, point.counters, point.dead = last.recall, last.mib, last.counters, last.dead
    point.qps = statistics.mean(turn.qps for turn in turns)


def trained_in_place(data, engine, probes, options):
    """An index that was there before the rows and was trained by VACUUM: its Point, with the one of the index that was
    built on them as the fresh one."""
    twin, database = replace(engine, name=f"{engine.name} in place", table=f"{engine.table}_in_place"), engine.database
    table, point = twin.table, Point(0, fresh=[Point(0)])
    psql(f"""CREATE TABLE {table} (LIKE base); CREATE INDEX {table}_idx ON {table} USING {twin.index};
        INSERT INTO {table} SELECT * FROM base ORDER BY id""", database)
    point.vacuum_s = sum(timed_ms(psql(f"\\timing on\nVACUUM {table};", database))) / 1000
    psql(f"ANALYZE {table}", database)
    prewarm(table, database)
    look(data, [(twin, point), (engine, point.fresh[0])], probes, options)
    say(f"{data.name}: {twin.name}: {told_point(point)}")
    psql(f"DROP TABLE {table}", database)
    return point


def enough_probes(data, engine, options):
    """The least value of the setting that reaches RECALL."""
    low, high = (options.k if engine.setting == "hnsw.ef_search" else 1), engine.values[-1]
    guess = low
    while guess < high:
        if measure(data, engine, guess, options)[0] >= RECALL:
            high = guess
            break
        low, guess = guess + 1, min(2 * guess, high)
    while low < high:
        middle = (low + high) // 2
        if measure(data, engine, middle, options)[0] >= RECALL:
            high = middle
        else:
            low = middle + 1
    return high


def prepare(data, options):
    """The pool in every database, the first rows of the table as base, and the queries. Returns the set as it is in the
    table, the churn, the nearest rows of the pool for each query, the engines, and notes about them."""
    rows = min(options.rows or data.rows, data.rows)
    churn = Churn(rows)
    data = replace(data, rows=churn.count)
    names = options.engines.split(",")
    if options.peers:
        names += ["hnsw", f"VectorChord {int(data.rows ** 0.5)} lists"]
    running, skipped = available(data, names, make_databases())
    running.append(Engine("no index", "quantvec", "", database=DATABASES["quantvec"]))
    databases = sorted({e.database for e in running}, reverse=True)  # ours first
    near = None
    for database in databases:
        say(f"{data.name}: loading into {database}")
        count_wal(database)
        data.load("pool", "query", options.queries, database)
        psql(f"""DELETE FROM pool WHERE id >= {rows}; VACUUM ANALYZE pool;
            CREATE TABLE base (LIKE pool); CREATE TABLE leave (id int); CREATE TABLE come (id int)""", database)
        send("come", churn.inside, database)
        psql("INSERT INTO base SELECT pool.* FROM pool JOIN come USING (id)", database)
        if near is None:
            say(f"{data.name}: exact search for {options.queries:,} queries")
            near = exact(data, "pool", NEAR, database)
    store_truth(data, churn, near, options.k, databases)
    return data, churn, near, running, skipped


def run(data, head, options):
    """All rounds of a set. Returns lines of the report; head are those that stand above all sets."""
    data, churn, near, running, skipped = prepare(data, options)
    notes = told(running)
    probes, points, trained = {}, {}, {}
    for engine in running:
        points[engine.name] = [Point(0)]
        if engine.index:
            build(data, engine, options)
            probes[engine.name] = enough_probes(data, engine, options)
            look(data, [(engine, points[engine.name][0])], probes[engine.name], options)
            say(f"{data.name}: {engine.name}: {told_point(points[engine.name][0])}")
            if engine.extension == "quantvec":
                trained[engine.name] = trained_in_place(data, engine, probes[engine.name], options)
        else:
            make_table(data, engine)
    for number in range(1, options.rounds + 1):
        leave, come = churn.round()
        going = [e for e in running if number <= last_round(e, options)]
        databases = sorted({e.database for e in going})
        for database in databases:
            send("leave", leave, database)
            send("come", come, database)
        store_truth(data, churn, near, options.k, databases)
        for engine in going:
            point = move(engine, number)
            points[engine.name].append(point)
            if engine.index:
                if options.anew and (number % options.every == 0 or number == last_round(engine, options)):
                    rebuild(data, engine, point, probes[engine.name], options)
                else:
                    look(data, [(engine, point)], probes[engine.name], options)
            say(f"{data.name}: round {number} of {last_round(engine, options)}, {engine.name}: {told_point(point)}")
    fewer = [e.name for e in running if last_round(e, options) < options.rounds]
    if fewer:
        notes.append(f"{options.peer_rounds} rounds instead of {options.rounds} for {' and '.join(fewer)}")
    return report(data, running, probes, points, trained, [*notes, *skipped], head, options)


def last_round(engine, options):
    return options.rounds if engine.extension == "quantvec" else min(options.rounds, options.peer_rounds)


def told_point(point):
    searched = f"recall {point.recall:.4f}, {point.qps:.0f} queries/s, {point.mib:.1f} MiB, " if point.mib else ""
    return f"{searched}moved in {point.seconds:.1f} s, vacuumed in {point.vacuum_s:.2f} s"


# ---- the report ----

def report(data, running, probes, points, trained, notes, head, options):
    indexed = [e for e in running if e.index]
    picture = options.results and f"{os.path.splitext(options.results)[0]}-{data.name}.svg"
    lines = [f"## {data.title()}", "", *[f"- {note}" for note in notes], ""]
    if picture and plot(data, indexed, points, [*head, *notes], picture):
        lines += [f"![rounds of churn]({os.path.basename(picture)})", ""]
    lines += [f"Beside the mean of {options.anew} indexes built anew on the same rows (now / anew = ratio):", "",
              *fresh_table(indexed, points, trained), ""]
    for engine in running:
        setting = f", {engine.setting} = {probes[engine.name]}" if engine.index else ""
        lines += [f"### {engine.name}{setting}", "", *round_table(engine, points[engine.name]), ""]
    return lines


def churned(point):
    return f"{100 * MOVED * point.round:.0f} %"


def ratio(now, anew, places):
    anew = statistics.mean(anew)
    return f"{now:.{places}f} / {anew:.{places}f} = {now / anew:.3f}"


def fresh_table(indexed, points, trained):
    lines = [f"| engine | churn | index MiB | recall | its range | QPS | {' | '.join(COUNTERS)} | range of scanned |",
             "|---" * 10 + "|"]
    for engine in indexed:
        in_place = [("trained in place", trained[engine.name])] if engine.name in trained else []
        for what, point in in_place + [(churned(point), point) for point in points[engine.name]]:
            if not point.fresh:
                continue
            recalls = [p.recall for p in point.fresh]
            cells = [engine.name, what, ratio(point.mib, [p.mib for p in point.fresh], 1),
                     ratio(point.recall, recalls, 4), f"{min(recalls):.4f} to {max(recalls):.4f}",
                     ratio(point.qps, [p.qps for p in point.fresh], 0)]
            if point.counters:
                anew = list(zip(*(p.counters for p in point.fresh)))
                cells += [*(ratio(now, values, 1) for now, values in zip(point.counters, anew)),
                          f"{min(anew[0]):.0f} to {max(anew[0]):.0f}"]
            else:
                cells += ["-"] * (len(COUNTERS) + 1)
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def round_table(engine, points):
    heads = ["churn", "delete + insert s", "their WAL MB", "VACUUM s", "its WAL MB"]
    if engine.index:
        heads += ["index MiB", "recall", "QPS"]
    if engine.extension == "quantvec" and engine.index:
        heads += [*COUNTERS, "dead share"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for point in points:
        cells = [churned(point)]
        cells += ([f"{point.seconds:.2f}", point.wal.mb(), f"{point.vacuum_s:.2f}", point.vacuum_wal.mb()] if point.wal
                  else ["-"] * 4)
        if engine.index:
            cells += [f"{point.mib:.1f}", f"{point.recall:.4f}", f"{point.qps:.0f}"]
        if point.counters:
            cells += [*(f"{n:.1f}" for n in point.counters), f"{point.dead:.3f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def plot(data, indexed, points, notes, path):
    """Recall, speed, size and VACUUM over rounds; circles are indexes built anew. Returns whether there is a plot."""
    pyplot = plotter()
    if not pyplot:
        return False
    figure, grid = pyplot.subplots(2, 2, figsize=(11, 8), sharex=True, layout="constrained")
    panels = [("recall at 10", "linear", lambda p, _: p.recall), ("queries per second", "log", lambda p, _: p.qps),
              ("index, in sizes of the first", "linear", lambda p, first: p.mib / first.mib),
              ("seconds of VACUUM", "log", lambda p, _: p.vacuum_s or None)]
    for axes, (label, scale, value) in zip(grid.flat, panels):
        for engine, colour in zip(indexed, pyplot.get_cmap("tab10").colors):
            own = points[engine.name]
            shown = [(100 * MOVED * p.round, value(p, own[0])) for p in own]
            axes.plot(*zip(*[s for s in shown if s[1] is not None]), color=colour, label=engine.name, marker=".",
                      linestyle="-" if engine.extension == "quantvec" else "--")
            anew = [(100 * MOVED * p.round, value(fresh, own[0])) for p in own for fresh in p.fresh]
            anew = [a for a in anew if a[1] is not None]
            if anew:
                axes.scatter(*zip(*anew), s=60, facecolors="none", edgecolors=[colour])
        axes.set(ylabel=label, yscale=scale)
        axes.grid(which="both", alpha=0.3)
    for axes in grid[1]:
        axes.set_xlabel("rows deleted and inserted, % of the table")
    grid.flat[0].legend()
    figure.suptitle(f"{data.title()}; circles: built anew on the same rows")
    save_plot(figure, notes, path)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", dest="sets", default="wordnet-384,fashion-mnist", help="with commas (%(default)s)")
    parser.add_argument("--rows", type=int, help="of the set, the table has four fifths of them (all)")
    parser.add_argument("--rounds", type=int, default=50, help="(%(default)s)")
    parser.add_argument("--every", type=int, default=10, help="rounds between indexes built anew (%(default)s)")
    parser.add_argument("--anew", type=int, default=4, help="indexes built anew then (%(default)s)")
    parser.add_argument("--engines", default="quantvec bq 4 bits",
                        help="those of search.py whose name contains one of these, with commas (%(default)s)")
    parser.add_argument("--peers", action="store_true", help="pgvector HNSW and VectorChord too")
    parser.add_argument("--peer-rounds", type=int, default=10, help="at most, as HNSW's VACUUM is slow (%(default)s)")
    parser.add_argument("--queries", type=int, default=1000, help="(%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the best speed counts (%(default)s)")
    parser.add_argument("--results", help="file for the tables, besides standard output; plots are put beside it")
    options = parser.parse_args()
    options.k = 10
    if options.results:
        os.makedirs(os.path.dirname(os.path.abspath(options.results)), exist_ok=True)
    command = this_command()
    head = [f"{machine()}; PostgreSQL {psql('SHOW server_version')[0]}; source tree of quantvec at {source_tree()}",
            f"k = {options.k}, {options.queries:,} queries, warm, one connection, best of {options.repeats} runs",
            f"a round deletes {100 * MOVED:.0f} % of the rows, inserts as many and vacuums; WAL in MB: records + images of "
            "full pages, after a checkpoint before the round"]
    lines = head_of("Churn", command, head)
    for data in known_sets(options):
        lines += run(data, [command, *head], options)
    publish("\n".join(lines), options.results)


if __name__ == "__main__":
    main()
