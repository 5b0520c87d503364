#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The demo: a search for the best place of one Pt adatom on stepped Pt, then pictures of it.
#   demo.sh search FOLDER   runs examples/godiff/adatom in FOLDER (emptied first)
#   demo.sh draw FOLDER     draws the pictures
#   demo.sh report FOLDER   names them and compares the result with the known minimum
# GODIFF_LMP and GODIFF_PYTHON name the launcher and the Python to use.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
example=$root/examples/godiff/adatom
lmp=${GODIFF_LMP:-$root/build/lmp}
python=${GODIFF_PYTHON:-$root/build/env/bin/python}
action=${1:?search, draw or report}
folder=${2:?folder for the files of the demo}

# Prints the verdict: the last RESULT line of the log against the independent reference.
compare() {
  "$python" - "$folder/log.lammps" "$example/reference.json" <<'EOF'
import json
import re
import sys

log, reference = sys.argv[1:]
with open(reference, encoding="utf-8") as file:
    known = json.load(file)["global_minimum"]["energy"]
with open(log, encoding="utf-8") as file:
    results = re.findall(
        r"^RESULT \S+ found (\S+) minimized (\S+) evaluations (\d+)", file.read(), re.MULTILINE
    )
if not results:
    sys.exit("demo: the log has no RESULT line")
found, minimized, evaluations = results[-1]
hit = abs(float(minimized) - known) < 1e-3
for what, energy in (
    ("Known minimum (grid of starts, each minimized)", known),
    (f"Best candidate of {evaluations} evaluations", float(found)),
    ("The same after minimize", float(minimized)),
):
    print(f"{what:<48}{energy:.4f} eV")
print("The search found the known minimum." if hit else "The search MISSED the known minimum.")
sys.exit(not hit)
EOF
}

case $action in
  search)
    rm -rf "$folder"
    mkdir -p "$folder"
    cp "$example/in.adatom" "$example/data.adatom" "$folder"
    cd "$folder"
    "$lmp" -in in.adatom
    : >search.done
    ;;
  draw)
    # the first energy of the reference is the global minimum
    target=$(sed -n 's/.*"energy": *\(-[0-9.]*\).*/\1/p' "$example/reference.json" | head -n 1)
    "$python" "$root/tools/godiff_plot.py" --out "$folder" --surface "$example/surface.dat" \
      --target "$target" "$folder/adatom.csv" >"$folder/pictures.list"
    ;;
  report)
    echo "Pictures:"
    cat "$folder/pictures.list"
    compare
    ;;
  *)
    echo "demo.sh: unknown action '$action' (search, draw or report)" >&2
    exit 2
    ;;
esac
