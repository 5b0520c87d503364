# SPDX-License-Identifier: GPL-2.0-only
"""Take the source positions out of TorchScript files, which only error messages need.

strip_model.py FILE ...    (any Python; the files are rewritten)

Small models become half as large, and no longer hold the paths of the machine where they were made.
The code, the weights and everything else that LibTorch reads stay as they are.
"""

import os
import sys
import zipfile


def strip(path):
    """Rewrite one file. Raises ValueError if it is not TorchScript."""
    with zipfile.ZipFile(path) as source:
        names = source.namelist()
        if not any(name.endswith("/constants.pkl") for name in names):
            raise ValueError(f"{path} is not a TorchScript file")
        temporary = path + ".stripped"
        with zipfile.ZipFile(temporary, "w") as target:
            for name in names:
                # the second is a checksum of the whole, which LibTorch does not need
                if name.endswith((".debug_pkl", "/.data/serialization_id")):
                    continue
                entry = zipfile.ZipInfo(name)
                entry.compress_type = zipfile.ZIP_DEFLATED
                target.writestr(entry, source.read(name), compresslevel=9)
    os.replace(temporary, path)


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: strip_model.py FILE ...")
    for path in sys.argv[1:]:
        before = os.path.getsize(path)
        try:
            strip(path)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            sys.exit(f"strip_model.py: {error}")
        print(f"{path}: {before / 1e3:.0f} kB, now {os.path.getsize(path) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
