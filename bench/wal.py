"""How much WAL was written between two positions, images of full pages apart from the rest.

The first change of a page after a checkpoint logs an image of it, so their share says how long ago the checkpoint was
and not what an index needs: scripts ask for checkpoints at known moments (bench/run switches timed ones off). Other
activity of the server is counted too. Needs the extension pg_walinspect, of PostgreSQL 15 and newer."""

from dataclasses import dataclass

from vectors import psql  # found by the path that load_wordnet adds


@dataclass
class Wal:
    records: int = 0  # bytes, without images
    images: int = 0  # bytes

    def mb(self):
        return f"{self.records / 1e6:.1f} + {self.images / 1e6:.1f}"


def count_wal(database):
    psql("CREATE EXTENSION pg_walinspect", database)


def wal_position(database):
    """A VACUUM may leave its last records unflushed; the message's commit flushes all."""
    return psql("SELECT pg_logical_emit_message(true, 'bench', ''); SELECT pg_current_wal_flush_lsn()", database)[-1]


def wal_written(start, end, database):
    line = psql(f"SELECT sum(record_size)::int8, sum(fpi_size)::int8 FROM pg_get_wal_stats('{start}', '{end}')", database)
    return Wal(*map(int, line[0].split("|")))
