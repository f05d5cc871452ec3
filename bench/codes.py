#!/usr/bin/env python3
"""Each code alone, beside Faiss's codes of the same bytes on the same vectors.

    codes.py [--sets wordnet,fashion] [--queries 1000] [--results FILE]

quantvec's half needs psql and a server that has the extension: the PG* variables name it, as superuser, and the
database bench_codes is made there anew. Faiss's half needs numpy and faiss-cpu in this interpreter and is skipped
without them (nothing else of quantvec uses them). Wordnet needs QUANTVEC_DATA, as bench/README.md says.

Alone means: all lists probed and rows ordered by the code's estimate, without the exact vectors (quantvec.rerank =
off). Recall@10 is by exact distance: a row as near as the tenth nearest counts, whichever it is. Both sides have
the same number of lists, quantvec's default. For cosine, Faiss gets rows of unit length; its better metric of
L2 and inner product counts."""

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
from report import publish
import vectors
from vectors import psql, timed_ms

try:
    import faiss
    import numpy as np
except ImportError:
    faiss = None

K = 10
DATABASE = "bench_codes"
HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass
class Set:
    name: str
    load: object  # (table, query_table, queries, database)
    matrices: object  # (queries) -> rows, queries as float32 arrays
    operator: str
    operator_class: str
    dim: int


@dataclass
class Code:
    name: str
    options: str
    code_bytes: int  # of the code itself at the set's dimension, without factors and padding
    beside: list  # names of Faiss's codes
    larger: list = field(default_factory=list)  # of those that are as long as this code with its factors
    lists: int = 0
    alone: float = 0
    cells: list = field(default_factory=list)


def codes(dim):
    """quantvec's codes, each with Faiss's codes of the same family and bytes."""
    made = [Code("sq8", "quantizer = 'sq8'", dim, ["SQ8"])]
    for levels in ("uniform", "lloydmax", "nf4"):
        made.append(Code(f"sq4 {levels}", f"quantizer = 'sq4', levels = '{levels}'", dim // 2, ["SQ4"]))
    for bits in (8, 6, 4, 3, 2, 1):
        made.append(Code(f"bq {bits}", f"quantizer = 'bq', bits = {bits}", dim * bits // 8, [f"RaBitQ {bits}"]))
    for m, bits, kinds in ((dim // 8, 8, ("residual", "plain", "OPQ")), (32, 8, ("residual", "plain", "OPQ")),
                           (dim // 4, 4, ("residual", "plain"))):
        made.append(Code(f"pq {m} x {bits}", f"quantizer = 'pq', pq_m = {m}, pq_bits = {bits}", m * bits // 8,
                         [f"PQ {m} x {bits} {kind}" for kind in kinds],
                         [f"PQ {m + 64 // bits} x {bits} {kinds[-1]}"]))  # Faiss's PQ has no factors, ours 8 bytes
    return made


def say(text):
    print(f"==> {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


# ---- quantvec ----

def load(data, queries):
    """A database with the rows, the queries and each query's distance to its k-th nearest row."""
    psql(f"DROP DATABASE IF EXISTS {DATABASE}")
    psql(f"CREATE DATABASE {DATABASE}")
    psql("CREATE EXTENSION quantvec", DATABASE)
    say(f"{data.name}: loading")
    data.load("base", "sentence", queries, DATABASE)
    say(f"{data.name}: exact search for {queries:,} queries")
    psql(f"""SET max_parallel_workers_per_gather = 0;
        ALTER TABLE base ADD PRIMARY KEY (id);
        CREATE TABLE plain (v vector); ALTER TABLE plain ALTER v SET STORAGE PLAIN;
        INSERT INTO plain SELECT v FROM base;
        CREATE TABLE query AS SELECT id, v, (SELECT p.v {data.operator} s.v FROM plain p
            ORDER BY p.v {data.operator} s.v OFFSET {K - 1} LIMIT 1) AS kth FROM sentence s;
        DROP TABLE plain, sentence; VACUUM ANALYZE;
        -- Recall over all queries, and what a scan did on average.
        CREATE FUNCTION measure(OUT recall float8, OUT refined float8, OUT reranked float8) LANGUAGE plpgsql AS $$
        DECLARE q record; found int[]; n float8 := 0; hits bigint; scan record;
        BEGIN
            recall := 0; refined := 0; reranked := 0;
            FOR q IN SELECT * FROM query LOOP
                found := ARRAY(SELECT b.id FROM base b ORDER BY b.v {data.operator} q.v LIMIT {K});
                SELECT count(*) INTO hits FROM unnest(found) AS near JOIN base b ON b.id = near
                    WHERE b.v {data.operator} q.v <= q.kth + 1e-6 * abs(q.kth);
                SELECT * INTO scan FROM quantvec_last_scan();
                IF scan.index IS DISTINCT FROM 'base_v_idx'::regclass THEN RAISE 'not by the index'; END IF;
                recall := recall + hits; n := n + 1;
                refined := refined + scan.refined; reranked := reranked + scan.reranked;
            END LOOP;
            recall := recall / (n * {K}); refined := refined / n; reranked := reranked / n;
        END $$""", DATABASE)


def measure_quantvec(data, code):
    """Builds the index and fills the code's figures."""
    lines = psql(f"""DROP INDEX IF EXISTS base_v_idx;
        \\timing on
        CREATE INDEX base_v_idx ON base USING quantvec (v {data.operator_class}) WITH ({code.options});
        \\timing off
        VACUUM ANALYZE base;
        SELECT lists, (pg_relation_size('base_v_idx') / rows::float8)::numeric(10, 1)
            FROM quantvec_index_info('base_v_idx')""", DATABASE)
    lists, row_bytes = lines[-1].split("|")
    settings = "SET enable_seqscan = off; SET enable_sort = off;"
    alone = psql(f"""{settings} SET quantvec.rerank = off; SET quantvec.probes = 1000000;
        SELECT recall FROM measure()""", DATABASE)
    default = psql(f"{settings} SELECT * FROM measure()", DATABASE)
    recall, refined, reranked = map(float, default[-1].split("|"))
    code.lists, code.alone = int(lists), float(alone[-1])
    code.cells = [lists, row_bytes, f"{timed_ms(lines)[-1] / 1000:.1f}", f"{recall:.4f}", f"{refined:.0f}",
                  f"{reranked:.1f}"]
    say(f"{data.name}: {code.name} {code.alone:.4f}, by default {recall:.4f}")


# ---- Faiss ----

def wordnet_matrices(queries=None):
    """Rows and queries of unit length."""
    def unit(part, limit=None):
        rows, dim = np.fromfile(load_wordnet.file(part), np.uint32, 2)
        x = np.fromfile(load_wordnet.file(part), np.float16, offset=8).reshape(rows, dim)[:limit].astype(np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)
    return unit("base.f16bin"), unit("query.f16bin", queries)


def fashion_matrices(queries=None):
    """Training images, and test images as queries."""
    def images(name):
        return np.frombuffer(b"".join(vectors.idx_items(name)), np.uint8).reshape(-1, 784).astype(np.float32)
    return images("train-images-idx3-ubyte"), images("t10k-images-idx3-ubyte")[:queries]


class Peer:
    """Faiss over one set; coarse quantizers and OPQ rotations are trained once."""

    def __init__(self, data, queries):
        faiss.omp_set_num_threads(1)
        self.name = data.name
        self.rows, self.queries = data.matrices(queries)
        self.metrics = {"L2": faiss.METRIC_L2}
        if data.operator == "<=>":
            self.metrics["IP"] = faiss.METRIC_INNER_PRODUCT
        _, near = faiss.knn(self.queries, self.rows, 4 * K)  # more than K, because its distances are rounded
        self.kth = np.sort(self.distances(near), axis=1)[:, K - 1:K]
        self.centroids, self.rotations, self.measured = {}, {}, {}

    def distances(self, found):
        """Squared, of each query to its found rows, in double precision."""
        return ((self.rows[found].astype(np.float64) - self.queries[:, None, :]) ** 2).sum(2)

    def recall(self, found):
        return float((self.distances(found) <= self.kth * (1 + 2e-6)).mean())

    def coarse(self, lists):
        if lists not in self.centroids:
            kmeans = faiss.Kmeans(self.rows.shape[1], lists, niter=25, seed=1)
            kmeans.train(self.rows)
            self.centroids[lists] = kmeans.centroids
        return self.centroids[lists]

    def before(self, name, m):
        """What comes before the lists: zeros up to a multiple of m, a random rotation, or a learned one."""
        dim = self.rows.shape[1]
        if name.startswith("RaBitQ"):
            rotation = faiss.RandomRotationMatrix(dim, dim)
            rotation.init(1)
            return rotation
        padded = -(-dim // m) * m if m else dim
        if name.endswith("OPQ"):
            if m not in self.rotations:
                say(f"{self.name}: training OPQ for {m} sub-spaces")
                self.rotations[m] = faiss.OPQMatrix(dim, m, padded)
                self.rotations[m].niter = 20
                self.rotations[m].train(self.rows)
            return self.rotations[m]
        if padded != dim:
            return faiss.RemapDimensionsTransform(dim, padded, False)
        return None

    def build(self, name, lists, metric):
        """An index by the name of its code; the rows are in it."""
        kind, *rest = name.split()
        m = int(rest[0]) if kind == "PQ" else 0
        before = self.before(name, m)
        rows = before.apply(self.rows) if before else self.rows
        dim = rows.shape[1]
        quantizer = faiss.IndexFlat(dim, metric)
        quantizer.add(before.apply(self.coarse(lists)) if before else self.coarse(lists))
        if kind == "PQ":
            index = faiss.IndexIVFPQ(quantizer, dim, lists, m, int(rest[2]), metric)
            index.by_residual = rest[3] != "plain"
        elif kind == "RaBitQ":
            index = faiss.IndexIVFRaBitQ(quantizer, dim, lists, metric, True, int(rest[0]))
            index.qb = 8  # bits of the query, at most; floats (0) take forty times as long
        else:
            scalar = faiss.ScalarQuantizer
            index = faiss.IndexIVFScalarQuantizer(quantizer, dim, lists,
                                                  {"SQ8": scalar.QT_8bit, "SQ4": scalar.QT_4bit}[kind], metric)
        index.train(rows)
        index.add(rows)
        index.nprobe = lists
        return index, before

    def measure(self, name, lists):
        """The best recall over the metrics, and the bytes of a code with its factors."""
        if (name, lists) in self.measured:
            return self.measured[name, lists]
        best = (0, "", 0)
        for metric_name, metric in self.metrics.items():
            index, before = self.build(name, lists, metric)
            queries = before.apply(self.queries) if before else self.queries
            _, found = index.search(queries, K)
            best = max(best, (self.recall(found), metric_name, index.code_size))
        say(f"{self.name}: Faiss {name}, {lists} lists, {best[1]}: {best[0]:.4f}")
        self.measured[name, lists] = best
        return best


# ---- the tables ----

def compare(data, options):
    """Measures one set; returns its Markdown table."""
    load(data, options.queries)
    ours = [code for code in codes(data.dim) if options.codes in code.name]
    for code in ours:
        measure_quantvec(data, code)
    if faiss is None:
        say(f"{data.name}: Faiss skipped, numpy or faiss is not importable")
    peer = Peer(data, options.queries) if faiss else None
    lines = [f"### {data.name}, {data.dim} dimensions, `{data.operator}`", "",
             "| bytes | code | alone | Faiss alone | ahead by | with factors | lists | bytes a row | build s | "
             "by default: recall | refined | reranked |", "|" + "---|" * 12]
    for code in ours:
        theirs = {name: peer.measure(name, code.lists) for name in code.beside + code.larger} if peer else {}
        beside = "; ".join(f"{name}{f' ({metric})' if len(peer.metrics) > 1 else ''} {recall:.4f}, {size} B"
                           for name, (recall, metric, size) in theirs.items()) or "skipped"
        ahead = [f"{code.alone - max(theirs[name][0] for name in names):+.4f}" if names and theirs else ""
                 for names in (code.beside, code.larger)]
        lines.append(f"| {code.code_bytes} | {code.name} | {code.alone:.4f} | {beside} | "
                     f"{' | '.join(ahead + code.cells)} |")
    return "\n".join(lines) + "\n"


def head(options):
    """Machine, versions, commit and command."""
    with open("/proc/cpuinfo") as file:
        cpu = re.search(r"model name\s*: (.*)", file.read())
    commit = subprocess.run(["git", "-C", HERE, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return (f"{os.cpu_count()} x {cpu[1] if cpu else os.uname().machine}, PostgreSQL "
            f"{psql('SHOW server_version')[0]}, quantvec at {commit.stdout.strip() or 'unknown'}, "
            f"{f'Faiss {faiss.__version__}' if faiss else 'no Faiss'}; k = {K}, {options.queries:,} queries\n\n"
            f"    bench/codes.py {shlex.join(sys.argv[1:])}".rstrip() + "\n\n"
            "`bytes`: of the code, without factors and padding. `alone`: recall@10 of its estimates, all lists probed, no\n"
            "rerank. `ahead by`: of Faiss's best code of the same bytes; `with factors`: of one as long as this code and its\n"
            "factors (8 bytes of pq; Faiss's `B` has factors, where it has any, and no id). `bytes a row`: the index by\n"
            "rows, with padding to 64 dimensions, factors, row pointers and page heads. `build s`: one run, whatever else\n"
            "the machine does. `refined`, `reranked`: rows for one query.\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="wordnet,fashion", help="which data, with commas (%(default)s)")
    parser.add_argument("--codes", default="", help="only codes whose name contains this")
    parser.add_argument("--queries", type=int, default=1000, help="how many (%(default)s)")
    parser.add_argument("--results", help="file for the tables, besides standard output")
    options = parser.parse_args()
    report = [head(options)]
    if "wordnet" in options.sets:
        if load_wordnet.available():
            report.append(compare(Set("wordnet", load_wordnet.load, wordnet_matrices, "<=>", "vector_cosine_ops",
                                      384), options))
        else:
            say("wordnet: skipped, QUANTVEC_DATA does not name the folder of wordnet-384.*")
    if "fashion" in options.sets:
        report.append(compare(Set("fashion", load_fashion_mnist.load, fashion_matrices, "<->", "vector_l2_ops", 784),
                              options))
    psql(f"DROP DATABASE IF EXISTS {DATABASE}")
    publish("\n".join(report), options.results)


if __name__ == "__main__":
    main()
