#!/usr/bin/env python3
"""A study in numpy: what calibration, error-aware encoders and learned transforms would do for quantvec's codes.

    encoders.py [--sets PART_OF_A_NAME] [--parts calibration,smoothing,steps,scalar,product] [--results FILE]

Needs numpy, scipy and faiss-cpu in this interpreter (only this folder uses them, and only for measuring) and no
server. Prints one Markdown table a part. Seeds are fixed.

This file is long because all parts of the study stand on the same encoders, each of a few lines.

Each code alone: rows are ordered by an estimate of ||q - x||^2 from the code r^ of the residual r = x - c, all lists
probed, no rerank; recall@10 by exact distance, ties count.

    exact norm   ||q - c||^2 + ||r||^2 - 2 <q - c, r^>
    unbiased     the same with alpha r^, alpha such that <alpha r^, r> = ||r||^2    (what quantvec stores)
    classic      ||q - c - r^||^2                                                  (PQ as in Faiss)

Every encoder decodes to r^ in the space of the rows, whatever space it rounds in, so one estimate serves all. What
is learned of queries is learned of other queries than those that measure."""

import argparse
import copy
import shlex
import sys
import time

import faiss
import numpy as np
from scipy.stats import norm

import load_wordnet
from codes import fashion_matrices, wordnet_matrices
from report import publish

K, LISTS, QUERIES, SAMPLE, SEED = 10, 300, 1000, 10000, 1
# Step of the best uniform quantizer of a standard normal variable, by bits (src/core/quant/bq.cpp).
GAUSSIAN_STEP = [0, 1.59577, 0.99569, 0.58602, 0.33520, 0.18814, 0.10406, 0.05687, 0.03076]
SHARES = (1.0, 0.92, 0.84, 0.76, 0.68, 0.60)  # of a vector's range, tried by sq4


def say(text):
    print(f"==> {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


# ---- rows, truth, recall ----

def scaled(load):
    """Three dimensions, at the upper quartile of variance, times 100."""
    rows, queries = (x.copy() for x in load())
    dims = np.argsort(rows.var(0))[int(0.75 * rows.shape[1]):][:3]
    rows[:, dims] *= 100
    queries[:, dims] *= 100
    return rows, queries


def rotation(dim):
    """A random rotation (dense; quantvec's is a fast transform)."""
    q, r = np.linalg.qr(np.random.default_rng(SEED).standard_normal((dim, dim)))
    return (q * np.sign(np.diag(r))).astype(np.float32)


class Data:
    """Rows as residuals to the centroids of their lists, test queries with the truth, and queries to learn from."""

    def __init__(self, name, load):
        say(f"{name}: lists and truth")
        self.name = name
        self.rows, queries = load()
        self.queries, self.learn = queries[:QUERIES], queries[QUERIES:2 * QUERIES]
        kmeans = faiss.Kmeans(self.rows.shape[1], LISTS, niter=10, seed=SEED)
        kmeans.train(self.rows)
        self.centroids = kmeans.centroids
        self.list = kmeans.index.search(self.rows, 1)[1][:, 0]
        self.r = self.rows - self.centroids[self.list]
        self.rr = (self.r ** 2).sum(1)
        self.sample = np.random.default_rng(SEED).choice(len(self.r), SAMPLE, replace=False)
        self.rotate = rotation(self.r.shape[1])
        near = faiss.knn(self.queries, self.rows, 4 * K)[1]
        self.kth = np.sort(self.distances(near), axis=1)[:, K - 1:K]

    def distances(self, found, part=slice(None)):
        """Exact and squared, of a part of the queries to their found rows."""
        return ((self.rows[found].astype(np.float64) - self.queries[part, None, :]) ** 2).sum(2)

    def differences(self, queries=None):
        """q - c of queries and the centroids of their ten nearest lists: what an error meets. `queries`: those to
        learn from, or rows in their place, whose own list does not count."""
        first, queries = (0, self.learn) if queries is None else (1, queries)
        near = faiss.knn(queries, self.centroids, 10 + first)[1][:, first:]
        return (queries[:, None, :] - self.centroids[near]).reshape(-1, self.r.shape[1])

    def moments(self):
        """E (q - c)(q - c)' of queries to learn from, and of as many rows in their place."""
        return second_moment(self.differences()), second_moment(self.differences(self.rows[self.sample[:QUERIES]]))

    def as_one_list(self):
        """The same rows in one list around their mean."""
        one = copy.copy(self)
        one.centroids, one.list = self.rows.mean(0, keepdims=True), np.zeros(len(self.rows), int)
        one.r = self.rows - one.centroids
        one.rr = (one.r ** 2).sum(1)
        return one

    def error(self, codes):
        """Mean squared error as a share of the residuals' mean square."""
        return float(((codes - self.r) ** 2).sum(1, dtype=np.float64).sum() / self.rr.sum(dtype=np.float64))

    def recall(self, codes, queries=None):
        """Recall@10 of codes [rows, dim] by each estimate; `queries`: rounded ones, for <q, r^>."""
        queries = self.queries if queries is None else queries
        alpha = self.rr / np.maximum((codes * self.r).sum(1), 1e-20)
        # ||q - c||^2 = ||q||^2 - 2 <q, c> + ||c||^2, of which ||q||^2 orders nothing.
        cross = 2 * (self.centroids[self.list] * codes).sum(1)
        add = {"exact norm": self.rr + cross, "unbiased": self.rr + alpha * cross,
               "classic": (codes ** 2).sum(1) + cross}
        hits = dict.fromkeys(add, 0)
        for i in range(0, QUERIES, 100):
            part = slice(i, i + 100)
            lists = (self.centroids ** 2).sum(1) - 2 * self.queries[part] @ self.centroids.T
            base, dots = lists[:, self.list], -2 * queries[part] @ codes.T
            for estimate in add:
                key = base + (dots * alpha if estimate == "unbiased" else dots) + add[estimate]
                found = np.argpartition(key, K, axis=1)[:, :K]
                hits[estimate] += (self.distances(found, part) <= self.kth[part] * (1 + 2e-6)).sum()
        return {estimate: count / (QUERIES * K) for estimate, count in hits.items()}


# ---- scalar codes: [rows, dim] -> decoded [rows, dim] ----

def in_chunks(encode):
    """Applies an encoder to some rows at a time, to bound its memory."""
    def whole(r, *arguments):
        out = np.empty_like(r)
        for i in range(0, len(r), 8192):
            out[i:i + 8192] = encode(r[i:i + 8192], *arguments)
        return out
    return whole


def on_grid(r, step, bits):
    """The uniform grid around zero: odd multiples of step / 2."""
    half = 2 ** (bits - 1)
    return (np.clip(np.floor(r / step), -half, half - 1) + np.float32(0.5)) * step


def between(r, low, high, bits):
    """Uniform levels from low to high, both of them levels; what is outside is clipped."""
    step = np.maximum((high - low) / np.float32(2 ** bits - 1), np.float32(1e-20))
    return low + step * np.clip(np.round((r - low) / step), 0, 2 ** bits - 1)


def cosine(r, g):
    return (r * g).sum(1) / np.sqrt(np.maximum((g * g).sum(1), 1e-30))


def best_of(r, candidates):
    """For each row the candidate with the largest cosine to it."""
    best = None
    for g in candidates:
        cos = cosine(r, g)
        if best is None:
            best, best_cos = g.copy(), cos
        else:
            better = cos > best_cos
            best[better], best_cos[better] = g[better], cos[better]
    return best


def constant_step(r, bits):
    """Of each row: the step that is best for a normal variable of its length."""
    length = np.sqrt(np.maximum((r * r).sum(1, keepdims=True), np.float32(1e-20)))
    return np.float32(GAUSSIAN_STEP[bits] / np.sqrt(r.shape[1])) * length


@in_chunks
def constant(r, bits):
    return on_grid(r, constant_step(r, bits), bits)


@in_chunks
def swept(r, bits):
    """The best of 40 steps for each row."""
    step = constant_step(r, bits)
    return best_of(r, (on_grid(r, step * f, bits) for f in np.linspace(0.7, 1.4, 40, dtype=np.float32)))


@in_chunks
def own_range(r, bits, shares=(1.0,)):
    """Each row's range, or the best share of it (0 lies in it)."""
    low, high = np.minimum(r.min(1, keepdims=True), 0), np.maximum(r.max(1, keepdims=True), 0)
    return best_of(r, (between(r, np.float32(s) * low, np.float32(s) * high, bits) for s in shares))


def lloyd_max(bits):
    """Levels with the least mean square error for a standard normal variable, and the borders between them."""
    level = norm.ppf((np.arange(2 ** bits) + 0.5) / 2 ** bits)
    for _ in range(3000):
        border = np.concatenate([[-np.inf], (level[1:] + level[:-1]) / 2, [np.inf]])
        level = (norm.pdf(border[:-1]) - norm.pdf(border[1:])) / np.diff(norm.cdf(border))
    return level.astype(np.float32), border[1:-1].astype(np.float32)


@in_chunks
def on_levels(r, bits):
    """Lloyd-Max levels at the best of five scales for each row."""
    level, border = lloyd_max(bits)
    sigma = np.sqrt((r * r).mean(1, keepdims=True))
    return best_of(r, (level[np.searchsorted(border, r / (sigma * np.float32(f)))] * sigma * np.float32(f)
                       for f in (0.9, 0.95, 1.0, 1.05, 1.1)))


@in_chunks
def adjusted(r, bits, rounds=4):
    """Coordinate descent from the constant step: one step up or down where the cosine grows (SAQ's CAQ)."""
    step, half = constant_step(r, bits), 2 ** (bits - 1) - 0.5
    x = np.ascontiguousarray((r / step).T)
    g = np.clip(np.floor(x) + np.float32(0.5), -half, half)
    xg, gg = (x * g).sum(0), (g * g).sum(0)
    for _ in range(rounds):
        for j in range(len(x)):
            best, delta = xg / np.sqrt(gg), np.zeros_like(xg)
            for d in (-1, 1):
                cos = (xg + d * x[j]) / np.sqrt(gg + 2 * d * g[j] + 1)
                ok = (cos > best) & (np.abs(g[j] + d) <= half)
                delta[ok], best[ok] = d, cos[ok]
            xg += delta * x[j]
            gg += 2 * delta * g[j] + delta * delta
            g[j] += delta
    return g.T * step


# ---- encoders that know the queries or the data ----

def second_moment(x):
    return (x.T @ x / len(x)).astype(np.float64)


def power(matrix, exponent, damping):
    """Of a symmetric matrix, its diagonal raised by a share of the mean first; [dim, dim] float32, determinant 1."""
    value, vector = np.linalg.eigh(matrix + damping * np.trace(matrix) / len(matrix) * np.eye(len(matrix)))
    value = np.exp(exponent * (np.log(value) - np.log(value).mean()))
    return ((vector * value) @ vector.T).astype(np.float32)


def feedback(r, bits, hessian, damping):
    """GPTQ: dimensions in order, each one's error spread over those to come in the metric of the queries."""
    dim = r.shape[1]
    h = hessian + damping * np.trace(hessian) / dim * np.eye(dim)
    upper = np.linalg.cholesky(np.linalg.inv(h)).T
    rows = (upper / np.diag(upper)[:, None]).astype(np.float32)
    left, step, out = np.ascontiguousarray(r.T), constant_step(r, bits)[:, 0], np.empty_like(r.T)
    for begin in range(0, dim, 64):
        end = min(begin + 64, dim)
        for j in range(begin, end):
            out[j] = on_grid(left[j], step, bits)
            error = left[j] - out[j]
            left[j + 1:end] -= rows[j, j + 1:end, None] * error
            left[j] = error
        left[end:] -= rows[begin:end, end:].T @ left[begin:end]
    return np.ascontiguousarray(out.T)


def allotted(variance, sizes, bits):
    """Reverse water-filling with whole bits (0 to 8) a segment, the same total as `bits` for every dimension."""
    given, left = np.zeros(len(sizes), int), bits * sum(sizes)
    distortion = np.array([1.0] + [norm_error(b) for b in range(1, 9)])
    while True:
        gain = [variance[s] * (distortion[g] - distortion[g + 1]) if g < 8 and sizes[s] <= left else 0
                for s, g in enumerate(given)]
        s = int(np.argmax(gain))
        if gain[s] <= 0:
            return given
        given[s] += 1
        left -= sizes[s]


def norm_error(bits):
    """Mean squared error of the best uniform quantizer of a standard normal variable."""
    x = norm.ppf((np.arange(20000) + 0.5) / 20000)
    return float(((on_grid(x, GAUSSIAN_STEP[bits], bits) - x) ** 2).mean())


def by_segments(data, bits, weights=None, width=64, own_scales=False):
    """PCA of the residuals in segments of about `width` dimensions, each rotated, with bits by variance (times the
    queries', if `weights` is their second moment). One scale a row, or one a segment and row."""
    value, basis = np.linalg.eigh(second_moment(data.r[data.sample]))
    value, basis = value[::-1], basis[:, ::-1]
    segments = np.array_split(np.arange(len(value)), round(len(value) / width))
    if weights is not None:
        value = value * np.einsum("ij,ij->j", basis, weights @ basis)
    variance = [value[s].mean() for s in segments]
    given = allotted(variance, [len(s) for s in segments], bits)
    length = np.sqrt(np.maximum(data.rr, np.float32(1e-20)))[:, None]
    out = np.zeros_like(data.r)
    for s, b in zip(segments, given):
        if b:
            turn = basis[:, s].astype(np.float32) @ rotation(len(s))
            x = data.r @ turn
            scale = np.sqrt((x * x).mean()) / np.sqrt((length ** 2).mean()) * length
            out += (constant(x, b) if own_scales else on_grid(x, GAUSSIAN_STEP[b] * scale, b)) @ turn.T
    return out


# ---- product quantization: [rows, dim] -> decoded [rows, dim] ----

class Product:
    """m codebooks of 256 codewords, by Faiss's k-means on a sample."""

    def __init__(self, x, m):
        self.pq = faiss.ProductQuantizer(x.shape[1], m, 8)
        self.pq.train(x[np.random.default_rng(SEED).choice(len(x), 256 * 100, replace=False)])
        self.books = faiss.vector_to_array(self.pq.centroids).reshape(m, 256, -1)

    def nearest(self, x):
        return self.pq.decode(self.pq.compute_codes(x))

    def descend(self, x, loss, rounds=2):
        """Coordinate descent from the nearest codewords, over sub-spaces, of a loss of ||x||^2, <x, g> and ||g||^2."""
        return in_chunks(self._descend)(x, loss, rounds)

    def _descend(self, x, loss, rounds):
        m, _, width = self.books.shape
        codes, row = self.pq.compute_codes(x).astype(int), np.arange(len(x))
        norms = (self.books ** 2).sum(2)
        xx, g = (x * x).sum(1)[:, None], self.nearest(x)
        xg, gg = (x * g).sum(1), (g * g).sum(1)
        for _ in range(rounds):
            for j in range(m):
                dots = x[:, j * width:(j + 1) * width] @ self.books[j].T
                xg_without, gg_without = xg - dots[row, codes[:, j]], gg - norms[j, codes[:, j]]
                codes[:, j] = np.argmin(loss(xx, xg_without[:, None] + dots, gg_without[:, None] + norms[j]), axis=1)
                xg, gg = xg_without + dots[row, codes[:, j]], gg_without + norms[j, codes[:, j]]
        return self.books[np.arange(m), codes].reshape(x.shape)


def across(xx, xg, gg):
    """What is left of the error after the unbiased scale: the angle."""
    return -xg / np.sqrt(gg)


def anisotropic(dim, threshold=0.2):
    """ScaNN's loss, with eta of section 3 of Guo et al., ICML 2020."""
    eta = (dim - 1) * threshold ** 2 / (1 - threshold ** 2)
    return lambda xx, xg, gg: xx - 2 * xg + gg + (eta - 1) * (xx - xg) ** 2 / xx


def opq(x, m):
    """A learned rotation [dim, dim] (Ge et al., TPAMI 2014, by Faiss)."""
    learned = faiss.OPQMatrix(x.shape[1], m)
    learned.niter = 20
    learned.train(x[np.random.default_rng(SEED).choice(len(x), 256 * 100, replace=False)])
    return faiss.vector_to_array(learned.A).reshape(x.shape[1], x.shape[1]).T


def balanced(x, m):
    """PCA with the dimensions dealt out so that every sub-space has about the same product of variances (the
    parametric form in the same paper): one eigenvalue problem, no training. [dim, dim]"""
    value, basis = np.linalg.eigh(second_moment(x[:: max(1, len(x) // 20000)]))
    logs = np.log(np.maximum(value, 1e-9 * value.max()))
    total, dealt = np.zeros(m), [[] for _ in range(m)]
    for dims in np.argsort(-value).reshape(-1, m):  # the largest to whoever has least
        for j, i in zip(np.argsort(total, kind="stable"), dims):
            dealt[j].append(i)
            total[j] += logs[i]
    return np.ascontiguousarray(basis[:, np.concatenate(dealt)]).astype(np.float32)


# ---- ranges learned from a sample, for every dimension ----

KEPT = np.linspace(1, 0.1, 46)  # shares of the sample's range that are tried


def shrunk(x, kept):
    """The sample's range, shrunk to a share of it around the mean."""
    mean = x.mean(0)
    return mean + kept * (x.min(0) - mean), mean + kept * (x.max(0) - mean)


def by_least(loss, x):
    """For each dimension the shrunk range with the least loss [dim]."""
    losses = np.array([loss(*shrunk(x, kept)) for kept in KEPT])
    return shrunk(x, KEPT[losses.argmin(0)].astype(np.float32))


def mse_range(x, bits):
    return by_least(lambda low, high: ((between(x, low, high, bits) - x) ** 2).mean(0), x)


def kl_range(x, bits, bins=2048):
    """TensorRT's calibration: the histogram with its outliers in the end bins, against the same in 2^bits levels."""
    low, high = shrunk(x, 1)
    width = np.maximum(high - low, 1e-20) / bins
    at = np.minimum(((x - low) / width).astype(int), bins - 1)
    counts = np.stack([np.bincount(column, minlength=bins) for column in at.T]).astype(float)

    def divergence(clip_low, clip_high):
        out = np.empty(len(counts))
        first = np.round((clip_low - low) / width).astype(int)
        last = np.clip(np.round((clip_high - low) / width).astype(int), first + 1, bins)
        for j, (count, a, b) in enumerate(zip(counts, first, last)):
            p = count[a:b].copy()
            level = np.arange(b - a) * 2 ** bits // (b - a)
            there = p > 0
            q = np.where(there, (np.bincount(level, p) / np.maximum(np.bincount(level, there), 1))[level], 0)
            p[0] += count[:a].sum()
            p[-1] += count[b:].sum()
            p, q = p / p.sum(), np.maximum(q / max(q.sum(), 1e-9), 1e-9)
            out[j] = (p * np.log(np.maximum(p, 1e-30) / q)).sum()
        return out
    return by_least(divergence, x)


RANGES = {
    "minmax": lambda x, bits: shrunk(x, 1),
    "quantile .999": lambda x, bits: np.quantile(x, (0.0005, 0.9995), axis=0).astype(np.float32),
    "quantile .9999": lambda x, bits: np.quantile(x, (0.00005, 0.99995), axis=0).astype(np.float32),
    "mse": mse_range,
    "kl": kl_range,
}


# ---- the parts: each yields the rows of a table, its head first ----

def calibration(data):
    """Where the range of a scalar code comes from"""
    yield "range", "basis", "8 bits: error", "exact norm", "unbiased", "4 bits: error", "exact norm", "unbiased"
    for basis, turn in (("rotated", data.rotate), ("as is", np.eye(data.r.shape[1], dtype=np.float32))):
        x = data.r @ turn

        def figures(encode):
            for bits in (8, 4):
                codes = encode(bits) @ turn.T
                recall = data.recall(codes)
                yield from (f"{data.error(codes):.1e}", recall["exact norm"], recall["unbiased"])
        yield "each row's own", basis, *figures(lambda bits: own_range(x, bits))
        yield "each row's own, best share", basis, *figures(lambda bits: own_range(x, bits, SHARES))
        for name, learn in RANGES.items():
            yield f"{name}, per dimension", basis, *figures(lambda bits: between(x, *learn(x[data.sample], bits), bits))


def smoothing(data):
    """Integer queries, before and after SmoothQuant's scales"""
    widest = np.abs(data.differences()).max(0), np.abs(data.r[data.sample]).max(0)
    smooth = np.sqrt(np.maximum(widest[0], 1e-3 * widest[0].max()) / np.maximum(widest[1], 1e-3 * widest[1].max()))
    mean, one = data.rows.mean(0), np.eye(len(smooth), dtype=np.float32)
    yield "space of the codes", "8-bit codes, float query", "8-bit query", "4-bit codes, float query", "4-bit query"
    for name, there, back in (("as is", one, one), ("smoothed", one * smooth, one / smooth),
                              ("rotated", data.rotate, data.rotate.T)):
        figures = []
        for bits in (8, 4):
            codes = own_range(data.r @ there, bits, SHARES) @ back
            q = (data.queries - mean) @ back.T
            unit = np.abs(q).max(1, keepdims=True) / (2 ** (bits - 1) - 1)
            rounded = mean + np.round(q / unit) * unit @ there.T
            figures += [data.recall(codes)["unbiased"], data.recall(codes, rounded.astype(np.float32))["unbiased"]]
        yield name, *figures


def steps(data):
    """Scalar codes of rotated residuals, unbiased: how the step is chosen"""
    x, turn = data.r @ data.rotate, data.rotate.T
    encoders = {"the row's range": own_range, "constant step": constant, "best step of 40": swept,
                "coordinate descent": adjusted, "Lloyd-Max levels": on_levels}
    yield "bits", *encoders
    for bits in range(2, 9):
        yield str(bits), *(data.recall(encode(x, bits) @ turn)["unbiased"] for encode in encoders.values())


def scalar(data):
    """Scalar codes that know the queries or the data"""
    x, turn = data.r @ data.rotate, data.rotate
    of_queries, of_rows = data.moments()
    yield "encoder", *(f"{bits} bit{'s' * (bits > 1)}: {what}" for bits in (4, 2, 1)
                       for what in ("error", "exact norm", "unbiased"))

    def figures(encode, least=1):
        for bits in (4, 2, 1):
            codes = encode(bits) if bits >= least else None
            recall = data.recall(codes) if bits >= least else {}
            yield from (f"{data.error(codes):.3f}" if recall else "", recall.get("exact norm", ""),
                        recall.get("unbiased", ""))

    yield "constant step, rotated (`bq`)", *figures(lambda bits: constant(x, bits) @ turn.T)
    yield "range, best share, rotated (`sq4`)", *figures(lambda bits: own_range(x, bits, SHARES) @ turn.T, 4)
    yield "range, best share, as is", *figures(lambda bits: own_range(data.r, bits, SHARES), 4)
    for a in (0.25, 0.5, 1):
        s = power(np.diag(np.diag(of_queries)), a / 2, 0.01).diagonal()
        yield f"the same, dimensions scaled by E q^2 (AWQ, a = {a})", *figures(
            lambda bits: own_range(data.r * s, bits, SHARES) / s, 4)
    whole, back = power(of_queries, 0.125, 0.05), power(of_queries, -0.125, 0.05)
    yield "constant step, rotated after the whole E qq' ^ 1/8", *figures(
        lambda bits: constant(data.r @ whole @ turn, bits) @ turn.T @ back)
    for damping in (0.01, 0.1, 1):
        yield f"error feedback (GPTQ), delta {damping}", *figures(
            lambda bits: feedback(x, bits, turn.T @ of_queries @ turn, damping) @ turn.T)
    yield "error feedback, rows for queries, delta 0.1", *figures(
        lambda bits: feedback(x, bits, turn.T @ of_rows @ turn, 0.1) @ turn.T)
    for width in (64, 16):
        for name, moment in (("", None), (" and queries", of_queries), (" and rows for queries", of_rows)):
            yield f"PCA, {width} dimensions a segment, bits by variance{name}", *figures(
                lambda bits: by_segments(data, bits, moment, width))
    yield "PCA, 64 a segment, bits by variance, a scale each", *figures(
        lambda bits: by_segments(data, bits, None, 64, True))


def product(data):
    """Product quantization"""
    dim, one = data.r.shape[1], data.as_one_list()
    of_rows = data.moments()[1]
    weigh, back = power(of_rows, 0.25, 0.05), power(of_rows, -0.25, 0.05)
    widths = (8, 12) if dim == 384 else (8, 16)
    yield "residual of", "space", "encoder", *(f"{dim // width} bytes: {what}" for width in widths
                                               for what in ("error", "classic", "exact norm", "unbiased"))
    loss = {"angle": across, "anisotropic": anisotropic(dim)}
    for view, space, encoders in (
            (one, "as is", ["nearest"]), (one, "OPQ", ["nearest"]), (one, "balanced PCA", ["nearest"]),
            (data, "as is", ["nearest"]), (data, "rotated", ["nearest", "angle", "anisotropic"]),
            (data, "OPQ", ["nearest"]), (data, "balanced PCA", ["nearest", "angle", "anisotropic"]),
            (data, "balanced PCA after E qq' ^ 1/4", ["nearest"])):
        figures = {encoder: [] for encoder in encoders}
        for width in widths:
            m = dim // width
            x, undo = (view.r @ weigh, back) if space.endswith("1/4") else (view.r, np.eye(dim, dtype=np.float32))
            turn = (np.eye(dim, dtype=np.float32) if space == "as is" else data.rotate if space == "rotated" else
                    opq(x, m) if space == "OPQ" else balanced(x, m))
            x = np.ascontiguousarray(x @ turn)
            books = Product(x, m)
            for encoder in encoders:
                codes = (books.descend(x, loss[encoder]) if encoder in loss else books.nearest(x)) @ turn.T @ undo
                recall = view.recall(codes)
                figures[encoder] += [f"{view.error(codes):.3f}"] + [recall[e] for e in ("classic", "exact norm",
                                                                                        "unbiased")]
        for encoder in encoders:
            yield "the mean" if view is one else f"{LISTS} lists", space, encoder, *figures[encoder]


SETS = {"wordnet": wordnet_matrices, "fashion": fashion_matrices,
        "wordnet, three dimensions x 100": lambda: scaled(wordnet_matrices),
        "fashion, three dimensions x 100": lambda: scaled(fashion_matrices)}
PARTS = {"calibration": calibration, "smoothing": smoothing, "steps": steps, "scalar": scalar, "product": product}


def table(title, rows):
    """Markdown of rows of strings and recalls."""
    lines = [f"### {title}", ""]
    for number, row in enumerate(rows):
        say(f"{title}: {row}")
        lines.append("| " + " | ".join(cell if isinstance(cell, str) else f"{cell:.4f}" for cell in row) + " |")
        if number == 0:
            lines.append("|" + "---|" * len(row))
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="", help="only sets whose name contains this")
    parser.add_argument("--parts", default=",".join(PARTS), help="with commas (%(default)s)")
    parser.add_argument("--results", help="file for the tables, besides standard output")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    report = [f"{QUERIES:,} queries, {LISTS} lists, all probed; Faiss {faiss.__version__}, numpy {np.__version__}\n\n"
              f"    bench/encoders.py {shlex.join(sys.argv[1:])}".rstrip() + "\n"]
    for name, load in SETS.items():
        if options.sets not in name or ("wordnet" in name and not load_wordnet.available()):
            continue
        data = Data(name, load)
        for part in options.parts.split(","):
            if "x 100" not in name or part in ("calibration", "smoothing"):
                report.append(table(f"{PARTS[part].__doc__}: {name}", PARTS[part](data)))
    publish("\n".join(report), options.results)


if __name__ == "__main__":
    main()
