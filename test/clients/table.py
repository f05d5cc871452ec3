"""table.py RESULTS SERVER DOCUMENT: puts the results of test/clients/run between the two marks in the document."""
import datetime
import pathlib
import re
import sys

results, server, document = sys.argv[1:]
WAYS = ("quantvec", "quantvec_pgvector", "vector")
BEGIN, END = "<!-- written by make clients -->", "<!-- end -->"

rows = {}
for line in pathlib.Path(results).read_text().splitlines():
    name, way, verdict, about, passed, checks, reason = line.split("\t")
    row = rows.setdefault(name, {"title": name, "versions": ""})
    if about:
        row["title"], row["versions"] = about.split(": ", 1)
    row[way] = {"PASS": f"PASS {passed}", "FAIL": f"FAIL {passed} of {checks}", "SKIP": f"SKIP: {reason}"}[verdict]

lines = [f"PostgreSQL {server}, {datetime.date.today()}. A number counts checks.", "",
         "| client | versions | " + " | ".join(f"`{way}`" for way in WAYS) + " |", "|---|---|---|---|---|"]
for row in sorted(rows.values(), key=lambda row: row["title"].casefold()):
    lines.append("| " + " | ".join([row["title"], row["versions"], *(row.get(way, "-") for way in WAYS)]) + " |")

path = pathlib.Path(document)
text, found = re.subn(f"{BEGIN}.*{END}", lambda _: "\n".join([BEGIN, "", *lines, "", END]), path.read_text(), flags=re.S)
assert found == 1, f"{document} lacks the marks"
path.write_text(text)
