#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The demo: a search for the best place of one Pt adatom on stepped Pt, then pictures of it.
#   demo.sh search FOLDER   runs examples/godiff/adatom in FOLDER (emptied first)
#   demo.sh report FOLDER   draws the pictures and prints the summary
# GODIFF_LMP and GODIFF_PYTHON name the launcher and the Python to use.
set -eu

root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
lmp=${GODIFF_LMP:-$root/build/lmp}
python=${GODIFF_PYTHON:-$root/build/env/bin/python}
action=${1:?search or report}
folder=${2:?folder for the files of the demo}

case $action in
  search)
    rm -rf "$folder"
    mkdir -p "$folder"
    cp "$root"/examples/godiff/adatom/*.adatom "$folder"
    cd "$folder"
    "$lmp" -in in.adatom
    : >search.done
    ;;
  report)
    "$python" "$root/tools/godiff_plot.py" --out "$folder" "$folder/adatom.csv"
    ;;
  *)
    echo "demo.sh: unknown action '$action' (search or report)" >&2
    exit 2
    ;;
esac
