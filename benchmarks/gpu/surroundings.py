# SPDX-License-Identifier: GPL-2.0-only
"""What gpu_check finds on a machine: compilers, LibTorch, Kokkos, LAMMPS and the GPU."""

import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

from session import Stop, first_error

OLDEST_CMAKE = (3, 22)
OLDEST_NVCC = (12, 0)
ASK_TORCH = ("import torch; p = torch.cuda.get_device_properties(0); "
             "print(f'{p.name}, {p.total_memory >> 20} MiB, {p.major}.{p.minor}')")
# Kokkos asks for C++20.
PROBE = "template <class T> concept Any = true;\n__global__ void probe(Any auto *x) { *x = {}; }\n"


def numbers(text):
    """The first version in a text, as (13, 0); () where there is none."""
    found = re.search(r"(\d+)\.(\d+)", text or "")
    return (int(found.group(1)), int(found.group(2))) if found else ()


def first_line(text):
    return text.split("\n")[0].strip()


def processor():
    try:
        names = re.findall(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown"


def folders_named(*variables):
    """The folders that variables of the environment name."""
    found = []
    for variable in variables:
        for word in os.environ.get(variable, "").split(os.pathsep):
            if word:
                found.append(pathlib.Path(word))
    return found


def find_tools(session):
    """Puts the folder of this Python behind the PATH, where pip puts cmake and ninja; the C++ compiler, cmake and
    what it builds with become facts."""
    beside = str(pathlib.Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join(filter(None, [os.environ.get("PATH"), beside]))
    if not os.environ.get("CXX"):
        found = next(filter(shutil.which, ("c++", "g++", "clang++")), None)
        if not found:
            raise Stop("no C++ compiler in the PATH (c++, g++, clang++): set CXX")
        os.environ["CXX"] = found
    if not shutil.which(os.environ["CXX"].split()[0]):
        raise Stop(f"no C++ compiler {os.environ['CXX']} (variable CXX)")
    session.facts["compiler"] = first_line(session.output(os.environ["CXX"].split() + ["--version"]))
    cmake = first_line(session.output(["cmake", "--version"])).replace("cmake version ", "")
    if not cmake:
        raise Stop(f"no cmake in the PATH, nor beside {sys.executable}")
    if numbers(cmake) < OLDEST_CMAKE:
        raise Stop(f"cmake {cmake} is too old, 3.22 is needed")
    session.facts["cmake"] = cmake
    if not shutil.which("ninja") and not shutil.which("make"):
        raise Stop("neither ninja nor make in the PATH")


def find_smi():
    usual = ("/usr/bin/nvidia-smi", "/usr/local/nvidia/bin/nvidia-smi", "/usr/lib/wsl/lib/nvidia-smi")
    return shutil.which("nvidia-smi") or next((path for path in usual if os.access(path, os.X_OK)), "nvidia-smi")


def find_gpu(session):
    """Name, memory, driver and kind of the first GPU as facts; whether there is one. Where nvidia-smi says
    nothing, the PyTorch of this Python is asked."""
    smi = find_smi()

    def ask(what):
        return first_line(session.output([smi, "--query-gpu=" + what, "--format=csv,noheader"]))

    words = [word.strip() for word in ask("name,memory.total,driver_version").split(",")]
    if len(words) == 3:
        session.facts["GPU"] = f"{words[0]}, {words[1]}"
        session.facts["driver"] = words[2]
        newest = re.search(r"CUDA Version: *([0-9.]+)", session.output([smi]))
        if newest:
            session.facts["CUDA of the driver"] = newest.group(1)
        capability = ask("compute_cap")
    else:
        words = first_line(session.output([sys.executable, "-c", ASK_TORCH], limit=90.0)).split(", ")
        if len(words) != 3:
            return False
        session.facts["GPU"] = f"{words[0]}, {words[1]}"
        capability = words[2]
    if re.fullmatch(r"\d+\.\d+", capability):
        session.facts["compute capability"] = capability
    return True


def library(torch, name):
    """A library of LibTorch; distributions keep them one folder deeper."""
    return next((path for folder in ("lib", "lib/*") for path in sorted(torch.glob(f"{folder}/{name}"))), None)


def is_torch(folder):
    return bool(library(folder, "libtorch_cpu.so")) and (folder / "include" / "ATen").is_dir()


def find_torch(session, given, root):
    """The folder of LibTorch: the one given, else the first with CUDA, else the first, of those that the
    environment names, of this Python, of python3 and of build/env."""
    if given:
        if not is_torch(given):
            raise Stop(f"no LibTorch in {given} (--torch): type the folder that holds include/ and lib/")
        return given
    places = folders_named("GODIFF_TORCH_DIR", "Torch_ROOT", "LIBTORCH")
    find = ("import importlib.util as u; s = u.find_spec('torch'); "
            "print(list(s.submodule_search_locations)[0] if s else '')")
    pythons = [sys.executable, shutil.which("python3"), shutil.which("python")]
    pythons += [str(folder / "bin" / "python3") for folder in folders_named("VIRTUAL_ENV", "CONDA_PREFIX")]
    for python in dict.fromkeys(filter(None, pythons)):
        found = session.output([python, "-c", find])
        if found:
            places.append(pathlib.Path(found))
    places += sorted(root.glob("build/env/lib/python3*/site-packages/torch"))
    places += [pathlib.Path(place) for place in ("/opt/libtorch", "/usr/local/libtorch")]
    places = [place for place in places if is_torch(place)]
    if not places:
        raise Stop("no LibTorch, of this Python or elsewhere: type --torch FOLDER with the folder that holds "
                   "include/ and lib/")
    return next((place for place in places if library(place, "libtorch_cuda.so")), places[0])


def cuda_of_torch(torch):
    """The version of CUDA that a LibTorch was built for, as "13.0"; empty where it does not say."""
    for name, pattern in (("version.py", r"^cuda\b[^=]*= *['\"]([0-9.]+)"), ("build-version", r"\+cu(\d+)")):
        try:
            found = re.search(pattern, (torch / name).read_text(), re.MULTILINE)
        except OSError:
            continue
        if found:
            word = found.group(1)
            return word if "." in word else f"{word[:-1]}.{word[-1]}"
    return ""


def find_nvcc():
    """nvcc of CUDACXX, of CUDA_HOME and its kin, of the PATH or of the usual folders."""
    named = os.environ.get("CUDACXX")
    if named and shutil.which(named):
        return shutil.which(named)
    folders = folders_named("CUDA_HOME", "CUDA_PATH", "CUDA_ROOT", "CUDAToolkit_ROOT")
    for folder in folders:
        if (folder / "bin" / "nvcc").exists():
            return str(folder / "bin" / "nvcc")
    if shutil.which("nvcc"):
        return shutil.which("nvcc")
    usual = [pathlib.Path("/usr/local/cuda")] + sorted(pathlib.Path("/usr/local").glob("cuda-*"), reverse=True)
    usual += [pathlib.Path("/opt/cuda")]
    return next((str(folder / "bin" / "nvcc") for folder in usual if (folder / "bin" / "nvcc").exists()), None)


def why_no_nvcc(session, nvcc, torch, probe):
    """Why nothing can be compiled for the device, in one line; empty where it can. With `probe` a small program
    is tried."""
    if not nvcc:
        return "no nvcc in CUDACXX, CUDA_HOME, the PATH or /usr/local/cuda"
    version = re.findall(r"release ([0-9.]+)", session.output([nvcc, "--version"]))
    if not version:
        return f"{nvcc} does not run"
    session.facts["nvcc"] = f"{version[-1]} ({nvcc})"
    if numbers(version[-1]) < OLDEST_NVCC:
        return f"nvcc {version[-1]} is too old, 12.0 is needed"
    of_torch = cuda_of_torch(torch)
    if of_torch and numbers(of_torch)[0] != numbers(version[-1])[0]:
        return f"nvcc {version[-1]} and a LibTorch for CUDA {of_torch}: the major versions must agree"
    if not probe:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "probe.cu"
        source.write_text(PROBE)
        command = [nvcc, "-std=c++20", "-ccbin", os.environ["CXX"].split()[-1], "-c", source,
                   "-o", source.with_suffix(".o")]
        if session.facts.get("compute capability"):
            command.append("-arch=sm_" + session.facts["compute capability"].replace(".", ""))
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = done.stdout + done.stderr
        return f"nvcc {version[-1]} fails with {os.environ['CXX']}: {first_error(said) or first_line(said.strip())}"
    return ""


def kokkos_config(prefix):
    """What KokkosCore_config.h below a prefix defines, as a dict; nothing where there is none."""
    for folder in ("include", "include/kokkos"):
        try:
            text = (prefix / folder / "KokkosCore_config.h").read_text()
        except OSError:
            continue
        return dict(re.findall(r"^#define (KOKKOS_\w+) *(.*?) *$", text, re.MULTILINE))
    return {}


def kokkos_version(config):
    try:
        number = int(config["KOKKOS_VERSION"])
    except (KeyError, ValueError):
        return "unknown"
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def find_kokkos(session, given):
    """Prefix of an installed Kokkos with CUDA, or None; what is wrong with those that are named is said."""
    places = [given] if given else folders_named(
        "GODIFF_KOKKOS_DIR", "Kokkos_ROOT", "KOKKOS_ROOT", "Kokkos_DIR", "KOKKOS_DIR", "CMAKE_PREFIX_PATH")
    named = len(places)
    # Kokkos_DIR is where its CMake package lies: lib/cmake/Kokkos.
    places = [parent for place in places for parent in [place, *list(place.parents)[:3]]]
    named = len(places)
    if not given:
        places += [pathlib.Path(place) for place in ("/usr/local", "/usr", "/opt/kokkos", "/usr/local/kokkos")]
    wrong = ""
    for index, place in enumerate(places):
        config = kokkos_config(place)
        if not config:
            continue
        if "KOKKOS_ENABLE_CUDA" in config:
            session.facts["Kokkos folder"] = f"{place}, {kokkos_version(config)}"
            return place
        if index < named and not wrong:
            wrong = f"Kokkos {kokkos_version(config)} in {place} was built without CUDA"
    session.lacks((wrong or (f"no KokkosCore_config.h below {given} (--kokkos)" if given else
                             "Kokkos with CUDA (--kokkos FOLDER or Kokkos_ROOT)"))
                  + ": the network runs by LibTorch's operations")
    return None


def find_lammps(session, given):
    """Build folder of a LAMMPS, or None."""
    places = [given] if given else folders_named("GODIFF_LAMMPS_BUILD_DIR")
    for place in places:
        if (place / "CMakeCache.txt").is_file():
            return place
    if places:
        session.lacks(f"CMakeCache.txt in {places[0]} (--lammps): no run of godiff/kk and mace/kk")
    else:
        session.lacks("LAMMPS with KOKKOS and CUDA (--lammps FOLDER): no run of godiff/kk and mace/kk")
    return None


def has_header(header):
    command = os.environ["CXX"].split() + ["-E", "-x", "c++", "-"]
    done = subprocess.run(command, input=f"#include <{header}>\n", capture_output=True, text=True)
    return done.returncode == 0
