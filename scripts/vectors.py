"""Vectors in and out of files and databases, for the demo and the benchmark: standard library and psql only.

Rows travel to the server as binary COPY. A vector there is: int16 dim, int16 0, dim x float4, big-endian."""

import array
import gzip
import os
import re
import struct
import subprocess
import sys

FASHION_MNIST = "/usr/share/datasets/fashion-mnist"  # Debian package dataset-fashion-mnist


def psql(sql, database=None):
    """Runs the statements in one session, stops at the first error, returns the rows as text lines."""
    command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"] + (["-d", database] if database else [])
    done = subprocess.run(command, input=sql, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"psql failed: {done.stderr.strip()}\nin: {sql.strip()[:2000]}")
    return done.stdout.splitlines()


def timed_ms(lines):
    """Milliseconds of each statement that ran under psql's \\timing, in order."""
    return [float(m[1]) for line in lines if (m := re.match(r"Time: ([0-9.]+) ms", line))]


def write_copy(out, rows):
    """Rows, each a list of encoded fields, in the format of binary COPY."""
    out.write(b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0))
    for fields in rows:
        out.write(struct.pack(">h", len(fields)))
        for field in fields:
            out.write(struct.pack(">i", len(field)) + field)
    out.write(struct.pack(">h", -1))


def copy(table, columns, rows, database=None):
    """Sends rows, each a list of encoded fields, as binary COPY."""
    statement = f"COPY {table} ({columns}) FROM STDIN (FORMAT binary)"
    command = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement] + (["-d", database] if database else [])
    with subprocess.Popen(command, stdin=subprocess.PIPE) as pipe:
        write_copy(pipe.stdin, rows)
    if pipe.returncode:
        sys.exit(f"psql failed: {statement}")


def int4(value):
    return struct.pack(">i", value)


def vector(values):
    """values: array('f') in this machine's byte order; it is consumed."""
    if sys.byteorder == "little":
        values.byteswap()
    return struct.pack(">hh", len(values), 0) + values.tobytes()


def idx_items(name):
    """The items of an idx file of fashion-mnist as bytes: an image is 784, a label is 1."""
    path = f"{FASHION_MNIST}/{name}.gz"
    if not os.path.exists(path):
        sys.exit(f"{path} is missing: install the package dataset-fashion-mnist")
    with gzip.open(path) as file:
        _, _, kind, axes = file.read(4)
        shape = struct.unpack(f">{axes}i", file.read(4 * axes))
        if kind != 8:
            sys.exit(f"{path} does not hold bytes")
        size = 1
        for length in shape[1:]:
            size *= length
        for _ in range(shape[0]):
            yield file.read(size)


def half_rows(path):
    """The rows of an f16bin file (uint32 rows, uint32 dim, then little-endian half floats) as array('f')."""
    with open(path, "rb") as file:
        rows, dim = struct.unpack("<II", file.read(8))
        row = struct.Struct(f"<{dim}e")
        for _ in range(rows):
            yield array.array("f", row.unpack(file.read(row.size)))


def int_rows(path):
    """The rows of an ibin file (uint32 rows, uint32 columns, then little-endian int32) as tuples."""
    with open(path, "rb") as file:
        rows, columns = struct.unpack("<II", file.read(8))
        row = struct.Struct(f"<{columns}i")
        for _ in range(rows):
            yield row.unpack(file.read(row.size))
