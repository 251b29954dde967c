"""A FAKE Rscript for tests: python fake_rscript.py MODE, then the words that Rscript would be given.

It never runs R. Asked for a package (`-e`) it answers version 0.0.7; given run_mashr.R it writes a table
in which every posterior mean is the estimate halved and every lfsr is made up, and reports a mixture of the
point mass and independent effects, half and half; or it misbehaves as MODE says.
"""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

mode, words = sys.argv[1], sys.argv[2:]

if words[0] == "-e":
    if mode == "no package":
        sys.exit("Error in loadNamespace(x) : there is no package called 'mashr'\nExecution halted")
    if mode == "broken package":
        sys.exit("Error: package 'mashr' could not be loaded:\nlibgsl.so.27: cannot open shared object file")
    print("chatter of an environment manager\nversion:0.0.7" + "bye" * (mode == "chatty wrapper"))
    sys.exit(0)

script, in_csv, out_csv, *options = words
beside = Path(out_csv).parent.parent
(beside / "fake_words.json").write_text(json.dumps(words))
if mode == "fails":
    print("first line of R's stderr\nrun_mashr.R: mashr failed: the reason", file=sys.stderr)
    sys.exit(5)
if mode == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if mode == "killed in a shell":
    sys.exit(128 + signal.SIGTERM)
if mode == "hangs":
    nowhere = subprocess.DEVNULL
    child = subprocess.Popen(["sleep", "60"], stdin=nowhere, stdout=nowhere, stderr=nowhere)
    (beside / "fake_child.pid").write_text(str(child.pid))
    time.sleep(60)

with open(in_csv, newline="") as handle:
    rows = list(csv.DictReader(handle))
for row in rows:
    for d in range(sum(name.startswith("betahat_d") for name in row)):
        row[f"postmean_d{d}"] = str(float(row[f"betahat_d{d}"]) / 2)
        row[f"postsd_d{d}"] = row[f"se_d{d}"]
        row[f"lfsr_d{d}"] = row[f"qvalue_d{d}"] = str(0.01 * (d + 1))
if mode == "NaN":
    rows[1]["postmean_d0"] = "nan"
if mode == "lfsr above 1":
    rows[0]["lfsr_d0"] = "1.5"
if mode == "sure means, unsure signs":
    rows[0] |= {"postmean_d0": "5", "postsd_d0": "0.1", "lfsr_d0": "0.4"}
if mode == "other genes":
    rows[0]["gene"] = "somebody"
if mode == "half the rows":
    rows = rows[: len(rows) // 2]
columns = [name for name in rows[0] if name.startswith("qvalue") <= ("--method=ashr" in options)]
if mode == "no lfsr":
    columns.remove("lfsr_d0")
if mode != "writes nothing":
    with open(out_csv, "w", newline="") as handle:
        writer = csv.DictWriter(handle, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
if mode == "cut short":
    os.truncate(out_csv, int(0.8 * os.path.getsize(out_csv)))
print("{ chatter that is no JSON")
n_days = sum(name.startswith("betahat_d") for name in rows[0])
by_itself = "--method=ashr" in options
size = 1 if by_itself else n_days
covariances = [[[scale * (d == e) for e in range(size)] for d in range(size)] for scale in (0.0, 4.0)]
if by_itself:
    covariances = [each[0][0] for each in covariances]
report = {
    "loglik": -1.5,
    "V": None if by_itself else [[float(d == e) for e in range(n_days)] for d in range(n_days)],
    "pi": {"null": 1.0},
    "priors": [{"weights": [0.5, 0.5], "covariances": covariances}] * (n_days if by_itself else 1),
    "versions": {"R": "fake"},
    "notes": ["a fake note"],
}
if mode == "null loglik":
    report["loglik"] = None
if mode == "empty weights":
    report["priors"] = [{"weights": [], "covariances": []}]
print("nothing to tell" if mode == "no report" else json.dumps(report))
