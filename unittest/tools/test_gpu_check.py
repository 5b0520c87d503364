# SPDX-License-Identifier: GPL-2.0-only
"""Tests of benchmarks/gpu_check: what it finds, what it says is missing, time limits and the table. Compilers, cmake,
nvidia-smi and the program that measures are shell scripts here: no GPU is needed and nothing is built."""

import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOOL = ROOT / "benchmarks" / "gpu_check"
sys.path.insert(0, str(ROOT / "benchmarks" / "gpu"))

import session
import surroundings

SMI = """case "$*" in
  *name,memory*) echo "NVIDIA H100 80GB HBM3, 81559 MiB, 580.1" ;;
  *compute_cap*) echo 9.0 ;;
  *) echo "| Driver Version: 580.1   CUDA Version: 13.0 |" ;;
esac
"""
NVCC = 'case "$*" in --version) echo "Cuda compilation tools, release {}, V{}.1" ;; esac\n'
# --build writes the program beside the other results, with what the test wants it to print.
CMAKE = """case "$1" in
  --version) echo "cmake version 3.25.1" ;;
  --build) mkdir -p "$2/benchmarks"; cp "$FAKE/program" "$2/benchmarks/gpu_check"; {build} ;;
  *) {configure} ;;
esac
"""
PROGRAM = """#!/bin/sh
echo "$*" >>"$FAKE/calls"
case "$*" in
  *nothing*) ;;
  *"--only check"*) printf 'check\\tscore S2/16\\t1e-12\\t1e-10\\tok\\n' ;;
  *"--device cpu"*) printf 'time\\ttraining step S2/16\\tcpu\\t4.0\\t\\n' ;;
  *) printf 'note\\tLibTorch: 2.11.0\\ntime\\ttraining step S2/16\\tcuda\\t0.5\\t0.25\\n'
     printf 'time\\treverse step S2/128\\tcuda\\t3.0\\t\\n' ;;
esac
"""


class Machine(unittest.TestCase):
    """A machine whose PATH is a folder of scripts."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        for name in ("sh", "cat", "mkdir", "cp", "sleep"):
            where = next(place for place in ("/bin", "/usr/bin") if os.path.exists(f"{place}/{name}"))
            (self.bin / name).symlink_to(f"{where}/{name}")
        self.environment = {"PATH": str(self.bin), "FAKE": str(self.folder), "HOME": str(self.folder),
                            "CUDA_HOME": str(self.folder / "cuda")}

    def script(self, name, text, folder=None):
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return path

    def make_torch(self, cuda="13.0"):
        torch = self.folder / "torch"
        (torch / "include" / "ATen").mkdir(parents=True)
        (torch / "lib").mkdir()
        (torch / "lib" / "libtorch_cpu.so").touch()
        (torch / "version.py").write_text(f"__version__ = '2.11.0'\ncuda: Optional[str] = '{cuda}'\n")
        if cuda:
            (torch / "lib" / "libtorch_cuda.so").touch()
        return torch

    def make_kokkos(self, *lines):
        prefix = self.folder / "kokkos"
        (prefix / "include").mkdir(parents=True)
        (prefix / "include" / "KokkosCore_config.h").write_text("\n".join(lines) + "\n")
        return prefix

    def make_machine(self, program=PROGRAM, configure=":", build=":", headers=False):
        """With `headers` those of GoogleTest and nlohmann-json are there."""
        self.script("c++", "case $* in *-E*) cat >/dev/null; exit %d ;; esac" % (0 if headers else 1))
        self.script("nvidia-smi", SMI)
        self.script("ninja", "")
        self.script("cmake", CMAKE.format(configure=configure, build=build))
        path = self.folder / "program"
        path.write_text(program)
        path.chmod(0o755)

    def command(self, *words):
        return [sys.executable, str(TOOL), "--build", str(self.folder / "out"), *map(str, words)]

    def run_tool(self, *words):
        done = subprocess.run(self.command(*words), env=self.environment, capture_output=True, text=True, timeout=120)
        self.assertEqual(done.stderr, "")
        return done

    def results(self):
        return json.loads((self.folder / "out" / "results.json").read_text())


class Missing(Machine):
    def check(self, text, *words):
        done = self.run_tool(*words)
        self.assertEqual(done.returncode, 1)
        self.assertEqual([line for line in self.results()["failed"] if text in line], self.results()["failed"])
        self.assertIn(f"- FAILED: {self.results()['failed'][0]}", done.stdout)

    def test_compiler(self):
        self.check("no C++ compiler in the PATH")

    def test_compiler_of_the_environment(self):
        self.environment["CXX"] = "/nowhere/g++"
        self.check("no C++ compiler /nowhere/g++ (variable CXX)")

    def test_old_cmake(self):
        self.script("c++", "")
        self.script("cmake", "echo cmake version 3.10.2")
        self.check("cmake 3.10.2 is too old, 3.22 is needed")

    def test_neither_ninja_nor_make(self):
        self.make_machine()
        (self.bin / "ninja").unlink()
        if os.path.exists(pathlib.Path(sys.executable).parent / "ninja") or \
                os.path.exists(pathlib.Path(sys.executable).parent / "make"):
            self.skipTest("ninja or make lies beside this Python")
        self.check("neither ninja nor make")

    def test_torch(self):
        self.make_machine()
        self.check("no LibTorch in /nowhere (--torch)", "--torch", "/nowhere")

    def test_folder_of_results(self):
        (self.folder / "file").touch()
        done = subprocess.run(self.command() + ["--build", str(self.folder / "file" / "out")], env=self.environment,
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot write into", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)

    def test_error_of_cmake_is_one_line(self):
        said = r"printf 'CMake Error at a.cmake:3 (message):\n  No LibTorch in\n  /there\n\n\n'; exit 1"
        self.make_machine(configure=said)
        self.run_tool("--torch", self.make_torch())
        self.assertEqual(self.results()["failed"], ["cmake: No LibTorch in /there",
                                                    "there is no program to compare and to measure with"])

    def test_tests_that_cannot_be_configured_are_left_out(self):
        said = r"case \"$*\" in *TESTS=ON*) printf 'CMake Error at a.cmake:3 (find):\n  No GTest\n\n'; exit 1 ;; esac"
        self.make_machine(configure=said, headers=True)
        done = self.run_tool("--torch", self.make_torch())
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("the tests of the core: cmake: No GTest", self.results()["missing"])

    def test_error_of_the_compiler_is_one_line(self):
        self.make_machine(build="echo 'a.cpp:1:2: error: no such thing'; echo more; exit 1")
        self.run_tool("--torch", self.make_torch())
        self.assertEqual(self.results()["failed"][0], "build of gpu_check: a.cpp:1:2: error: no such thing")

    def test_gpu(self):
        self.make_machine()
        (self.bin / "nvidia-smi").unlink()
        if os.path.exists("/usr/bin/nvidia-smi") or os.path.exists("/usr/local/nvidia/bin/nvidia-smi"):
            self.skipTest("this machine has a GPU")
        self.run_tool("--torch", self.make_torch())
        self.assertTrue(any(line.startswith("a GPU (") for line in self.results()["missing"]))
        calls = (self.folder / "calls").read_text()
        self.assertNotIn("--device cuda", calls)
        self.assertIn("--device cpu", calls)

    def test_cuda_of_torch(self):
        self.make_machine()
        self.run_tool("--torch", self.make_torch(cuda=""))
        self.assertTrue(any(line.startswith("CUDA in LibTorch") for line in self.results()["missing"]))


class Kokkos(Machine):
    CUDA = ("#define KOKKOS_VERSION 50202", "#define KOKKOS_ENABLE_CUDA")

    def test_is_found_by_the_environment_and_used(self):
        self.make_machine(configure='echo "-- Kokkos computes on CUDA: nvcc"; echo "$*" >"$FAKE/configured"')
        self.script("nvcc", NVCC.format("13.0", "13.0"), self.folder / "cuda" / "bin")
        prefix = self.make_kokkos(*self.CUDA)
        self.environment["Kokkos_DIR"] = str(prefix / "lib" / "cmake" / "Kokkos")
        done = self.run_tool("--torch", self.make_torch())
        self.assertEqual(done.returncode, 0, done.stdout)
        configured = (self.folder / "configured").read_text().strip()
        self.assertIn(f"GODIFF_KOKKOS_DIR={prefix} ", configured + " ")
        self.assertIn("CMAKE_CUDA_ARCHITECTURES=90", configured)
        self.assertIn(f"CMAKE_CUDA_COMPILER={self.folder}/cuda/bin/nvcc", configured)
        self.assertEqual(self.results()["facts"]["Kokkos folder"], f"{prefix}, 5.2.2")
        names = [row["time"] for row in self.results()["times"]]
        self.assertIn("training step S2/16", names)
        self.assertIn("training step S2/16 (without Kokkos)", names)

    def left_out(self, text, prefix):
        done = self.run_tool("--torch", self.make_torch(), "--kokkos", prefix)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(len([line for line in self.results()["missing"] if text in line]), 1, done.stdout)
        self.assertIn("--device cuda", (self.folder / "calls").read_text())

    def test_without_cuda(self):
        self.make_machine()
        self.left_out("was built without CUDA", self.make_kokkos("#define KOKKOS_ENABLE_OPENMP"))

    def test_is_not_there(self):
        self.make_machine()
        self.left_out("no KokkosCore_config.h below", self.folder / "nothing")

    def test_needs_nvcc(self):
        self.make_machine()
        if os.path.exists("/usr/local/cuda/bin/nvcc"):
            self.script("nvcc", "exit 1", self.folder / "cuda" / "bin")
            self.left_out("nvcc does not run", self.make_kokkos(*self.CUDA))
        else:
            self.left_out("no nvcc in CUDACXX", self.make_kokkos(*self.CUDA))

    def test_needs_a_new_nvcc(self):
        self.make_machine()
        self.script("nvcc", NVCC.format("11.8", "11.8"), self.folder / "cuda" / "bin")
        self.left_out("nvcc 11.8 is too old", self.make_kokkos(*self.CUDA))

    def test_needs_the_cuda_of_torch(self):
        self.make_machine()
        self.script("nvcc", NVCC.format("12.4", "12.4"), self.folder / "cuda" / "bin")
        self.left_out("nvcc 12.4 and a LibTorch for CUDA 13.0", self.make_kokkos(*self.CUDA))

    def test_needs_a_compiler_that_nvcc_takes(self):
        self.make_machine()
        broken = 'case "$*" in *probe*) echo "host.h:1: error: unsupported GNU version"; exit 1 ;; esac\n'
        broken += NVCC.format("13.0", "13.0")
        self.script("nvcc", broken, self.folder / "cuda" / "bin")
        self.left_out("host.h:1: error: unsupported GNU version", self.make_kokkos(*self.CUDA))

    def test_fails_to_build_and_the_rest_is_done(self):
        (self.bin / "rm").symlink_to("/bin/rm")
        configure = ('case "$*" in *KOKKOS_DIR*) echo "-- Kokkos computes on CUDA: nvcc"; : >"$FAKE/with" ;; '
                     '*) rm -f "$FAKE/with" ;; esac')
        self.make_machine(configure=configure,
                          build='if [ -e "$FAKE/with" ]; then echo "x.cpp:9: error: of Kokkos"; exit 1; fi')
        self.script("nvcc", NVCC.format("13.0", "13.0"), self.folder / "cuda" / "bin")
        done = self.run_tool("--torch", self.make_torch(), "--kokkos", self.make_kokkos(*self.CUDA))
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.results()["failed"], ["build of gpu_check: x.cpp:9: error: of Kokkos"])
        self.assertTrue(self.results()["times"])


    def test_does_not_start_and_the_rest_is_done(self):
        configure = ('case "$*" in *KOKKOS_DIR*) echo "-- Kokkos computes on CUDA: nvcc"; : >"$FAKE/with" ;; '
                     '*) rm -f "$FAKE/with" ;; esac')
        start = 'if [ -e "$FAKE/with" ]; then echo "gpu_check: libcuda.so.1: cannot open"; exit 127; fi\n'
        self.make_machine(PROGRAM.replace("echo", start + "echo", 1), configure)
        (self.bin / "rm").symlink_to("/bin/rm")
        self.script("nvcc", NVCC.format("13.0", "13.0"), self.folder / "cuda" / "bin")
        done = self.run_tool("--device", "cpu", "--torch", self.make_torch(), "--kokkos", self.make_kokkos(*self.CUDA))
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("a start of the program: gpu_check: libcuda.so.1: cannot open", self.results()["missing"])
        self.assertTrue(self.results()["checks"])


class Table(Machine):
    def test_targets_and_ratios(self):
        self.make_machine()
        done = self.run_tool("--torch", self.make_torch())
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("| training step S2/16 | 0.500 | 1 | met | 4.00 | 8.0 | 0.25 |", done.stdout)
        self.assertIn("| reverse step S2/128 | 3.000 | 1 | missed |  |  |  |", done.stdout)
        self.assertIn("| score S2/16 | 1.0e-12 | 1.0e-10 | ok |", done.stdout)
        for fact in ("| GPU | NVIDIA H100 80GB HBM3, 81559 MiB |", "| driver | 580.1 |", "| LibTorch | 2.11.0 |",
                     "| CUDA of the driver | 13.0 |", "| CUDA of LibTorch | 13.0 |", "| compute capability | 9.0 |"):
            self.assertIn(fact, done.stdout)
        # This program has not timed it.
        self.assertIn("- missing: a time of medium MACE energies", done.stdout)
        self.assertEqual((self.folder / "out" / "results.md").read_text().strip(),
                         done.stdout[done.stdout.index("# gpu_check"):done.stdout.rindex("gpu_check: ")].strip())

    def test_a_failed_check_fails(self):
        self.make_machine(PROGRAM.replace("1e-12", "1e-3").replace("ok", "FAILED"))
        done = self.run_tool("--torch", self.make_torch())
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(self.results()["failed"]), 1)

    def test_a_program_that_ends_early_leaves_its_rows(self):
        text = PROGRAM + "case \"$*\" in *cuda*time*) echo 'gpu_check: LibTorch finds no CUDA device'; exit 2 ;; esac\n"
        self.make_machine(text)
        done = self.run_tool("--torch", self.make_torch())
        self.assertEqual(self.results()["failed"],
                         ["times: gpu_check ended with status 2: gpu_check: LibTorch finds no CUDA device"])
        self.assertIn("| training step S2/16 | 0.500 |", done.stdout)

    def test_time_limit_leaves_the_table(self):
        self.make_machine(PROGRAM + 'case "$*" in *cuda*time*) sleep 60 & sleep 60 ;; esac\n')
        begin = time.monotonic()
        done = self.run_tool("--torch", self.make_torch(), "--minutes", "0.15")
        # The sleeps are killed, and with them everything that holds the pipe.
        self.assertLess(time.monotonic() - begin, 45)
        self.assertEqual(done.returncode, 1)
        self.assertIn("| training step S2/16 | 0.500 | 1 | met |", done.stdout)
        self.assertTrue(self.results()["failed"][0].startswith("times took longer"))

    def test_no_time_is_said(self):
        self.make_machine(configure="sleep 60")
        done = self.run_tool("--torch", self.make_torch(), "--minutes", "0.03")
        self.assertEqual(done.returncode, 1)
        self.assertIn("there is no program", done.stdout)

    def test_a_signal_leaves_the_table(self):
        self.make_machine(PROGRAM + 'case "$*" in *cuda*time*) sleep 60 ;; esac\n')
        process = subprocess.Popen(self.command("--torch", self.make_torch()), env=self.environment, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for line in process.stdout:
            if line.startswith("[") and "reverse step S2/128" in line:
                process.send_signal(signal.SIGTERM)
                break
        rest = process.communicate(timeout=60)[0]
        self.assertEqual(process.returncode, 1)
        self.assertIn("| training step S2/16 | 0.500 | 1 | met |", rest)
        self.assertIn("FAILED: stopped by SIGTERM", rest)


class FirstError(unittest.TestCase):
    def test_of_a_linker(self):
        self.assertEqual(session.first_error("ld: a.o: in f():\na.cpp:(.text+1): undefined reference to `g()'\n"),
                         "a.cpp:(.text+1): undefined reference to `g()'")

    def test_of_nvcc(self):
        self.assertEqual(session.first_error("x\nnvcc fatal   : Unsupported gpu architecture 'sm_70'\n"),
                         "nvcc fatal   : Unsupported gpu architecture 'sm_70'")

    def test_of_nothing(self):
        self.assertEqual(session.first_error("[1/2] Building errors.cpp.o\nall fine\n"), "")


class CudaOfTorch(Machine):
    def test_of_a_zip_archive(self):
        (self.folder / "build-version").write_text("2.11.0+cu128\n")
        self.assertEqual(surroundings.cuda_of_torch(self.folder), "12.8")

    def test_of_a_build_for_the_cpu(self):
        (self.folder / "version.py").write_text("cuda: Optional[str] = None\n")
        self.assertEqual(surroundings.cuda_of_torch(self.folder), "")


if __name__ == "__main__":
    unittest.main()
