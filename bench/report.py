"""The report of search.py: every point as CSV, tables as Markdown, a plot for each set as SVG.

A speed says nothing alone, so tables and plots carry the machine, the versions, k and the command with them."""

import csv
import os
import re
import shlex
import subprocess
import sys
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
RECALLS = (0.90, 0.95, 0.99)  # the columns of the table


def this_command():
    return f"bench/run {os.path.basename(sys.argv[0])} {shlex.join(sys.argv[1:])}".rstrip()


def head_of(title, command, notes):
    """The lines with which a script's results begin; an empty one comes last."""
    return [f"# {title}, {time.strftime('%Y-%m-%d')}", "", f"    {command}", "", *[f"- {note}" for note in notes], ""]


def publish(text, path=None):
    """Prints what a script measured, and writes it to a file if one is named."""
    print(text)
    if path:
        with open(path, "w") as file:
            file.write(text)


class Report:
    """Files in a folder, all named by date and time. They are written anew with each set that is added."""

    def __init__(self, folder, command):
        os.makedirs(folder, exist_ok=True)
        self.stem = os.path.join(folder, time.strftime("%Y-%m-%d-%H%M%S"))
        self.command, self.tree = command, source_tree()
        self.lines = [f"# Recall and speed, {time.strftime('%Y-%m-%d')}", "", f"    {command}", ""]
        self.rows = [["set", "engine", "k", "queries", "build_s", "index_mib", "setting", "value", "recall", "qps"]]

    def add(self, data, engines, k, queries, notes, all_points):
        """notes: lines of text. all_points: every point goes into the Markdown too."""
        notes = [f"{machine()}; source tree of quantvec at {self.tree}", *notes]
        for engine in engines:
            for value, (recall, qps) in sorted(engine.points.items()):
                self.rows.append([data.name, engine.name, k, queries, engine.build_s, f"{engine.index_mib:.2f}",
                                  engine.setting, value, f"{recall:.4f}", f"{qps:.0f}"])
        self.lines += [f"## {data.title()}", "", *[f"- {note}" for note in notes], "", *speed_table(engines)]
        if all_points:
            for engine in engines:
                self.lines += point_table(engine)
        picture = f"{self.stem}-{re.sub(r'[^a-z0-9]+', '-', data.name.lower())}.svg"
        if plot(data.title(), engines, [*notes, self.command], k, picture):
            self.lines += [f"![recall and speed]({os.path.basename(picture)})", ""]
        with open(self.stem + ".csv", "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(self.rows)
        with open(self.stem + ".md", "w") as file:
            file.write(self.text())

    def text(self):
        return "\n".join(self.lines)


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


def speed_table(engines):
    lines = ["| engine | build s | index MiB | QPS@.90 | QPS@.95 | QPS@.99 | highest recall |",
             "|---|---|---|---|---|---|---|"]
    for engine in engines:
        points = list(engine.points.values())
        cells = [engine.name, engine.build_s or "-", f"{engine.index_mib:.1f}", *(qps_at(points, r) for r in RECALLS)]
        lines.append(f"| {' | '.join(map(str, cells))} | {max(recall for recall, _ in points):.4f} |")
    return lines + [""]


def point_table(engine):
    rows = [f"| {value} | {recall:.4f} | {qps:.0f} |" for value, (recall, qps) in sorted(engine.points.items())]
    return [f"| {engine.setting} | recall | QPS |", "|---|---|---|", *rows, ""]


def plot(title, engines, notes, k, path):
    """Recall against queries per second. Returns whether there is a plot."""
    pyplot = plotter()
    if not pyplot:
        return False
    figure, axes = pyplot.subplots(figsize=(11, 7), layout="constrained")
    for engine, colour in zip(engines, pyplot.get_cmap("tab10").colors):
        ours = engine.extension == "quantvec"
        axes.plot(*zip(*sorted(engine.points.values())), color=colour, label=engine.name, markersize=4,
                  marker="o" if ours else "s", linestyle="-" if ours else "--")
    axes.set(title=title, xlabel=f"recall at {k}", ylabel="queries per second", yscale="log", xlim=(0.8, 1.002))
    for which in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        which(lambda y, _: f"{y:,.0f}" if f"{y:e}"[0] in "125" else "")
    axes.grid(which="both", alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    save_plot(figure, notes, path)
    return True


def plotter():
    """matplotlib's pyplot, for SVG, or None."""
    try:
        import matplotlib
    except ImportError:
        print("==> no plot: this python3 has no matplotlib (package python3-matplotlib)", file=sys.stderr)
        return None
    matplotlib.use("svg")
    from matplotlib import pyplot
    return pyplot


def save_plot(figure, notes, path):
    """With the notes below it."""
    figure.supxlabel("\n".join(notes), fontsize=7, x=0.01, horizontalalignment="left")
    figure.savefig(path)
    plotter().close(figure)


def machine():
    with open("/proc/cpuinfo") as file:
        text = file.read()
    name = re.search(r"model name\s*: (.*)", text)
    simd = next((flag for flag in ("avx512f", "avx2", "asimd") if re.search(rf"\b{flag}\b", text)), "no SIMD known")
    return f"{os.cpu_count()} cores, {name[1] if name else os.uname().machine} ({simd})"


def source_tree():
    """The commit, with -dirty if files differ from it."""
    done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude=*"],
                          capture_output=True, text=True)
    return done.stdout.strip() or "an unknown commit"
