#!/usr/bin/env python3
"""What a condition costs and keeps: rows, recall, work and time of WHERE .. ORDER BY .. LIMIT.

    bench/run filtered.py [--data wordnet-384,fashion-mnist] [--queries 50] [--seconds 20] [--results FILE.md]

The PG* variables name a server on this machine, as superuser; the databases bench_quantvec and bench_peers are made
anew. A condition keeps about .5, .1, .01 or .001 of the rows, and they are

    random   drawn evenly: random < .1
    near     one topic, that of the query's nearest row: topic_10 = 7
    far      one topic: of those with half to twice the mean of rows, the one whose center is farthest from the query

Each row belongs to the topic of the nearest of ten random rows, which is split in the same way into ten, and each of these
again; for .5 to one of two. Their sizes differ, so the rows that match are counted. Beside them stands no condition. LIMIT
is 10, 100 and 1,000.

Each query is planned with its constants and run in the server, in three ways, one after the other:

    exact     without the vector index: a scan of the table and a sort. Its answers are the truth
    planner   what the planner takes by itself
    index     the vector index, as sequential scans are switched off

and, with B-trees on the columns of the conditions, again in the first two. A time is the mean over the queries of the best of
five runs, or of as many as begin within 200 ms, planning included. A case ends after --seconds, if three queries are done.

Recall is by distance, as in search.py, of the rows that match up to LIMIT. Lists, rows scanned and rows handed out, most of
which a condition may throw away, are means of quantvec_last_scan.

quantvec has its defaults. The other engines, where the server has them, have the least hnsw.ef_search or
vchordrq.probes that gives recall .95 at 10 without a condition; pgvector has hnsw.iterative_scan = strict_order and the
default of hnsw.max_scan_tuples, VectorChord vchordrq.prefilter = on."""

import argparse
import json
import os
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass

from churn import enough_probes
from report import head_of, machine, plotter, publish, save_plot, source_tree, this_command
from search import EXACT, available, build, known_sets, load, make_databases, say, told
from vectors import psql

SELECTIVITIES = {2: 0.5, 10: 0.1, 100: 0.01, 1000: 0.001}  # by number of topics
PARENTS = {2: 1, 10: 1, 100: 10, 1000: 100}  # of which topics these are parts; 1: all rows
KINDS = ("random", "near", "far")
LIMITS = (10, 100, 1000)
WAYS = ("exact", "planner", "index")
SETTINGS = {"hnsw.ef_search": "SET hnsw.iterative_scan = strict_order;", "vchordrq.probes": "SET vchordrq.prefilter = on;"}
REPEATS, LONG_MS, LEAST = 5, 200, 3  # runs of a query at most; ms after which it is not run again; queries of a case
DEEP = 1000  # rows handed out from which the time of one of them counts


@dataclass(frozen=True)
class Condition:
    kind: str
    topics: int = 1

    def where(self):
        if self.kind == "none":
            return ""
        return f"WHERE b.random < {SELECTIVITIES[self.topics]}" if self.kind == "random" else f"WHERE b.topic_{self.topics} = $2"

    def __str__(self):
        return "none" if self.kind == "none" else f"{self.kind} {SELECTIVITIES[self.topics]}"


CONDITIONS = [Condition("none"), *(Condition(kind, topics) for kind in KINDS for topics in SELECTIVITIES)]


@dataclass
class Answer:
    """A way of asking: means over the queries, and what each of them had."""
    ms: float
    rows: float
    wanted: float
    matching: float
    lists: float
    scanned: float
    returned: float
    recalls: list
    plans: list  # (name of the plan, estimated rows / rows that match)

    @property
    def recall(self):
        return statistics.mean(self.recalls)

    def plan(self):
        names = Counter(name for name, _ in self.plans).most_common()
        return names[0][0] if len(names) == 1 else ", ".join(f"{name} {count}" for name, count in names)

    def estimates(self):
        return min(ratio for _, ratio in self.plans), max(ratio for _, ratio in self.plans)


# ---- the conditions ----

def add_columns(data, database):
    """The columns of the conditions in base; for each number of topics their centers."""
    say(f"{data.name}: topics in {database}")
    columns = {topics: f"topic_{topics}" for topics in PARENTS}
    levels = "".join(f"""CREATE TABLE center_{topics} (topic int, parent int, v vector);
        ALTER TABLE center_{topics} ALTER v SET STORAGE PLAIN;
        INSERT INTO center_{topics} SELECT row_number() OVER (), parent, v
            FROM (SELECT topic_{parent} AS parent, v, row_number() OVER (PARTITION BY topic_{parent}
                ORDER BY hashint4extended(id, {topics})) AS number FROM plain) s WHERE number <= {topics // parent};
        CREATE INDEX ON center_{topics} (parent); ANALYZE center_{topics};
        UPDATE plain SET topic_{topics} = (SELECT topic FROM center_{topics} c WHERE parent = topic_{parent}
            ORDER BY c.v {data.operator} plain.v LIMIT 1);\n""" for topics, parent in PARENTS.items())
    added = ", ".join(f"ADD {column} int" for column in columns.values())
    psql(f"""{EXACT}
        CREATE TABLE plain (id int, topic_1 int DEFAULT 1, v vector);
        ALTER TABLE plain ALTER v SET STORAGE PLAIN, {added};
        INSERT INTO plain (id, v) SELECT id, v FROM base;
        {levels}
        VACUUM ANALYZE plain;
        ALTER TABLE base ADD random real, {added};
        UPDATE base SET random = (hashint4extended(base.id, 1) & 16777215) / 16777216.0,
            {', '.join(f'{column} = plain.{column}' for column in columns.values())}
            FROM plain WHERE plain.id = base.id;""", database)


def store_asked(data, database):
    """The table of what is asked: for each condition and query the topic and how many rows match."""
    counts = "".join(f"""ALTER TABLE center_{topics} ADD rows int DEFAULT 0; UPDATE center_{topics} c SET rows = s.rows
        FROM (SELECT topic_{topics}, count(*) AS rows FROM plain GROUP BY 1) s WHERE topic = topic_{topics};\n""" for topics in PARENTS)
    parts = [f"SELECT id, 'none', 1, NULL::int, {data.rows}, v FROM first"]
    for topics, share in SELECTIVITIES.items():
        mean = data.rows / topics
        parts.append(f"""SELECT id, 'random', {topics}, NULL, (SELECT count(*) FROM base WHERE random < {share}), v FROM first""")
        parts.append(f"""SELECT id, 'near', {topics}, topic, rows, first.v FROM first
            JOIN center_{topics} ON topic = topic_{topics}""")
        parts.append(f"""SELECT id, 'far', {topics}, c.topic, c.rows, first.v FROM first, LATERAL (SELECT * FROM center_{topics} c
            WHERE topic <> topic_{topics} ORDER BY rows BETWEEN {mean / 2} AND {mean * 2} DESC,
                c.v {data.operator} first.v DESC LIMIT 1) c""")
    psql(f"""{EXACT} {counts}
        CREATE TABLE first AS SELECT q.id, q.v, {', '.join(f'topic_{topics}' for topics in PARENTS)}
            FROM {data.queries} q, LATERAL (SELECT * FROM plain ORDER BY plain.v {data.operator} q.v LIMIT 1) nearest;
        CREATE TABLE asked (query int, kind text, topics int, topic int, matching float8, v vector);
        ALTER TABLE asked ALTER v SET STORAGE PLAIN;
        INSERT INTO asked {' UNION ALL '.join(parts)};
        ANALYZE asked; DROP TABLE plain, first""", database)


def index_columns(engine):
    for column in ["random", *(f"topic_{topics}" for topics in SELECTIVITIES)]:
        psql(f"CREATE INDEX ON {engine.table} ({column})", engine.database)
    psql(f"VACUUM ANALYZE {engine.table}", engine.database)


# ---- measuring ----

def ask(data, engine, value, condition, limit, ways, options):
    """The queries in each of these ways. Returns {way: Answer}; the answers of exact are the truth."""
    query = f"""SELECT ARRAY(SELECT b.ctid FROM {engine.table} b {condition.where()}
        ORDER BY b.v {data.operator} $1 LIMIT {limit})"""
    seen = "lists, scanned, returned FROM quantvec_last_scan()" if engine.extension == "quantvec" else "NULL, NULL, NULL"
    seconds = options.seconds if condition.topics > 1 else 3600
    lines = psql(f"""SET jit = off; SET max_parallel_workers_per_gather = 0; {SETTINGS.get(engine.setting, "")}
        {f"SET {engine.setting} = {value};" if value is not None else ""}
        CREATE TEMP TABLE result (way text, query int, v vector, matching float8, plan jsonb, found tid[], ms float8,
            lists float8, scanned float8, returned float8);
        ALTER TABLE result ALTER v SET STORAGE PLAIN;
        DO $$ DECLARE a record; way text; found tid[]; plan jsonb; start timestamptz; taken float8; best float8; spent float8;
            done int := 0;
        BEGIN
            FOR a IN SELECT * FROM asked WHERE kind = '{condition.kind}' AND topics = {condition.topics} ORDER BY query LOOP
                FOREACH way IN ARRAY ARRAY[{', '.join(f"'{way}'" for way in ways)}] LOOP
                    PERFORM set_config('enable_indexscan', (way <> 'exact')::text, true),
                        set_config('enable_seqscan', (way <> 'index')::text, true);
                    EXECUTE $q$EXPLAIN (FORMAT JSON) {query}$q$ INTO plan USING a.v, a.topic;
                    best := NULL; spent := 0;
                    FOR turn IN 1..{REPEATS} LOOP
                        start := clock_timestamp();
                        EXECUTE $q${query}$q$ INTO found USING a.v, a.topic;
                        taken := 1000 * extract(epoch FROM clock_timestamp() - start);
                        best := least(best, taken);
                        spent := spent + taken;
                        EXIT WHEN spent > {LONG_MS};
                    END LOOP;
                    INSERT INTO result SELECT way, a.query, a.v, a.matching, plan, found, best, {seen};
                END LOOP;
                done := done + 1;
                EXIT WHEN done >= {LEAST} AND clock_timestamp() > now() + interval '{seconds} s';
            END LOOP;
        END $$;
        CREATE TEMP TABLE truth AS SELECT query, cardinality(found) AS wanted,
            (SELECT max(b.v {data.operator} r.v) FROM unnest(found) near JOIN {engine.table} b ON b.ctid = near) AS kth
            FROM result r WHERE way = 'exact';
        SELECT json_build_object('way', way, 'plans', json_agg(json_build_object('plan', plan, 'matching', matching) ORDER BY query),
                'answer', json_build_object('ms', avg(ms), 'rows', avg(cardinality(found)), 'wanted', avg(wanted),
                'matching', avg(matching), 'lists', avg(lists), 'scanned', avg(scanned), 'returned', avg(returned),
                'recalls', json_agg(hits / wanted::float8 ORDER BY query)))
            FROM result r JOIN truth USING (query),
                LATERAL (SELECT count(*) AS hits FROM unnest(found) near JOIN {engine.table} b ON b.ctid = near
                    WHERE b.v {data.operator} r.v <= kth + 1e-6 * abs(kth)) hits
            GROUP BY way""", engine.database)
    answers = {}
    for line in map(json.loads, lines):
        plans = [planned(one["plan"][0]["Plan"], one["matching"], engine) for one in line["plans"]]
        answers[line["way"]] = Answer(**line["answer"], plans=plans)
    return answers


def planned(node, matching, engine):
    """The scan of the table in a plan: what it is, and its estimate of rows as a share of those that match."""
    while "Relation Name" not in node:
        node = node["Plans"][0]
    names = {"Seq Scan": "seq scan", "Bitmap Heap Scan": "B-tree"}
    name = names.get(node["Node Type"]) or ("index" if node["Index Name"] == f"{engine.table}_idx" else "B-tree")
    return name, node["Plan Rows"] / matching


def run(data, head, options):
    """A set. Returns lines of the report; head are those that stand above all sets."""
    names = options.engines.split(",") + [f"VectorChord {int(data.rows ** 0.5)} lists"]
    running, skipped = available(data, names, make_databases())
    for database in sorted({e.database for e in running}):
        load(data, database, options)
        add_columns(data, database)
        store_asked(data, database)
    measured = {}  # (engine, condition, limit): answers without, with B-trees
    settings = []
    for engine in running:
        build(data, engine, options)
        value = None if engine.extension == "quantvec" else enough_probes(data, engine, options)
        settings.append(f"{engine.name}: {'its defaults' if value is None else f'{engine.setting} = {value}'}")
        for indexed, ways in enumerate((WAYS, WAYS[:2])):
            if indexed:
                index_columns(engine)
            for condition in CONDITIONS[indexed:]:
                for limit in LIMITS:
                    answers = ask(data, engine, value, condition, limit, ways, options)
                    measured.setdefault((engine.name, condition, limit), []).append(answers)
                    say(f"{data.name}: {engine.name}{', B-trees' * indexed}: {condition}, LIMIT {limit}: "
                        + "; ".join(f"{way} {a.ms:.2f} ms, recall {a.recall:.3f}, {a.plan()}" for way, a in answers.items()))
    return report(data, running, measured, [*told(running), "; ".join(settings), *skipped], head, options)


# ---- the report ----

def report(data, running, measured, notes, head, options):
    lines = [f"## {data.title()}", "", *[f"- {note}" for note in notes], ""]
    picture = options.results and f"{os.path.splitext(options.results)[0]}-{data.name}.svg"
    if picture and plot(data, running, measured, [*head, *notes], picture):
        lines += [f"![conditions]({os.path.basename(picture)})", ""]
    for engine in running:
        lines += [f"### {engine.name}", "", *table(engine, measured), "", *short(engine, measured), ""]
    return lines


def ms(value):
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def per_row(answer):
    """Microseconds a row handed out."""
    return 1000 * answer.ms / answer.returned if answer.returned else None


def table(engine, measured):
    heads = ["condition", "match", "LIMIT", "queries", "rows", "recall", "lists", "scanned", "handed out", "exact ms", "planner ms", "its plan",
             "estimate / match", "index ms", "us a row", "B-trees: exact ms", "planner ms", "its plan"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for condition in CONDITIONS:
        for limit in LIMITS:
            plain, *trees = measured[engine.name, condition, limit]
            index, planner = plain["index"], plain["planner"]
            counted = index.returned is not None
            low, high = planner.estimates()
            cells = [str(condition), f"{index.matching:.0f}", f"{limit:,}", str(len(index.recalls)), f"{index.rows:.1f} of {index.wanted:.1f}", f"{index.recall:.3f}",
                     *([f"{n:.0f}" for n in (index.lists, index.scanned, index.returned)] if counted else "---"),
                     ms(plain["exact"].ms), ms(planner.ms), planner.plan(), f"{low:.2f} to {high:.2f}", ms(index.ms),
                     f"{per_row(index):.1f}" if counted else "-"]
            cells += [ms(trees[0]["exact"].ms), ms(trees[0]["planner"].ms), trees[0]["planner"].plan()] if trees else "---"
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def short(engine, measured):
    """The cases of an engine that are worse than they should be, by what is wrong."""
    reference = measured[engine.name, CONDITIONS[0], LIMITS[0]][0]["index"]
    broken = {"Fewer rows than match, up to LIMIT": [],
              "Recall below that of the same queries' ten nearest without a condition less .03, or below .9": [],
              "By the planner's own choice slower than twice exact search": [],
              f"With the index more than 2 us a row, where at least {DEEP:,} are handed out": []}
    rows, recall, choice, each = broken.values()
    for (name, condition, limit), both in measured.items():
        if name != engine.name:
            continue
        what, index = f"{condition}, LIMIT {limit:,}", both[0]["index"]
        if index.rows < index.wanted:
            rows.append(f"{what}: {index.rows:.1f} of {index.wanted:.1f}")
        ten = statistics.mean(reference.recalls[:len(index.recalls)])
        if index.recall < max(ten - .03, .9):
            recall.append(f"{what}: {index.recall:.3f}, without a condition {ten:.3f}")
        for answers, trees in zip(both, ("", ", B-trees")):
            exact, planner = answers["exact"], answers["planner"]
            if planner.ms > 2 * exact.ms:
                low, high = planner.estimates()
                choice.append(f"{what}{trees}: {ms(planner.ms)} ms by {planner.plan()}, {ms(exact.ms)} ms by {exact.plan()}; "
                              f"estimate / match {low:.2f} to {high:.2f}")
        if index.returned and index.returned >= DEEP and per_row(index) > 2:
            each.append(f"{what}: {per_row(index):.1f} us for each of {index.returned:.0f}")
    lines = []
    for rule, cases in broken.items():
        lines += [f"{rule}:" if cases else f"{rule}: none.", *([""] if cases else []), *(f"- {case}" for case in cases), ""]
    return lines[:-1]


def plot(data, running, measured, notes, path):
    """Time and recall over the share of rows that match. Returns whether there is a plot."""
    pyplot = plotter()
    if not pyplot:
        return False
    figure, grid = pyplot.subplots(2, len(KINDS), figsize=(16, 9), sharex=True, sharey="row", layout="constrained")
    colours = pyplot.get_cmap("tab10").colors
    for kind, (times, recalls) in zip(KINDS, grid.T):
        conditions = [c for c in CONDITIONS if c.kind in ("none", kind)]
        for number, engine in enumerate(running):
            for limit, colour in zip(LIMITS, colours):
                plain = [measured[engine.name, c, limit][0] for c in conditions]
                share = [answers["index"].matching / data.rows for answers in plain]
                style = {"color": colour, "linestyle": ("-", "--", ":")[number % 3], "marker": ".",
                         "label": f"{engine.name}, LIMIT {limit:,}"}
                times.plot(share, [answers["index"].ms for answers in plain], **style)
                recalls.plot(share, [answers["index"].recall for answers in plain], **style)
                times.scatter(share, [answers["planner"].ms for answers in plain], s=60, facecolors="none", edgecolors=[colour])
            if not number:
                exact = [measured[engine.name, c, LIMITS[0]][0]["exact"].ms for c in conditions]
                times.plot(share, exact, color="grey", label=f"exact search, LIMIT {LIMITS[0]}")
        times.set(title=kind, xscale="log", yscale="log")
        recalls.set(xlabel="share of the rows that match", xscale="log")
        for axes in (times, recalls):
            axes.grid(which="both", alpha=0.3)
    grid[0][0].set_ylabel("ms a query, with the index")
    grid[1][0].set_ylabel("recall, with the index")
    grid[0][-1].legend(loc="upper left", bbox_to_anchor=(1, 1))
    figure.suptitle(f"{data.title()}; circles: what the planner takes by itself")
    save_plot(figure, notes, path)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", dest="sets", default="wordnet-384,fashion-mnist", help="with commas (%(default)s)")
    parser.add_argument("--engines", default="quantvec bq 4 bits,hnsw",
                        help="those of search.py whose name contains one of these, besides VectorChord (%(default)s)")
    parser.add_argument("--queries", type=int, default=50, help="at most (%(default)s)")
    parser.add_argument("--seconds", type=int, default=20, help="for a condition and LIMIT (%(default)s)")
    parser.add_argument("--results", help="file for the tables, besides standard output; plots are put beside it")
    options = parser.parse_args()
    options.k = 10
    if options.results:
        os.makedirs(os.path.dirname(os.path.abspath(options.results)), exist_ok=True)
    command = this_command()
    head = [f"{machine()}; PostgreSQL {psql('SHOW server_version')[0]}; source tree of quantvec at {source_tree()}",
            f"at most {options.queries:,} queries, {options.seconds} s for a case; warm, one connection, one process"]
    lines, loads = [], [os.getloadavg()[0]]
    for data in known_sets(options):
        lines += run(data, [command, *head], options)
        loads.append(os.getloadavg()[0])
    head.append(f"load average before and after each set: {', '.join(f'{load:.1f}' for load in loads)}")
    publish("\n".join([*head_of("Conditions", command, head), *lines]), options.results)


if __name__ == "__main__":
    main()
