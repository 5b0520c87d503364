# SPDX-License-Identifier: GPL-2.0-only
# Imports LibTorch by hand as godiff::torch.
#
# find_package(Torch) of a CUDA build of LibTorch insists on a CUDA toolkit. But for Kokkos with CUDA,
# GODIFF compiles no device code, so headers, libtorch_cpu and libc10 are all it takes, for CPU and CUDA
# builds alike.
#
# Input:  GODIFF_TORCH_DIR   folder with include/ and lib/ (default: the wheel in GODIFF_ENV_DIR)
#         GODIFF_TORCH_CUDA  also link libtorch_cuda, so that device cuda can be used
# Output: godiff::torch, GODIFF_TORCH_VERSION, GODIFF_CXX_STANDARD, GODIFF_TORCH_RPATH

set(GODIFF_TORCH_DIR
    ""
    CACHE PATH "LibTorch: the folder with include/ and lib/ (empty: the wheel in GODIFF_ENV_DIR)")
if(NOT GODIFF_TORCH_DIR)
  godiff_wheel_dir(GODIFF_TORCH_DIR torch)
endif()

set(_torch_version_header "")
foreach(_header torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
  if(NOT _torch_version_header AND EXISTS "${GODIFF_TORCH_DIR}/include/${_header}")
    file(STRINGS "${GODIFF_TORCH_DIR}/include/${_header}" _lines
         REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
    if(_lines)
      set(_torch_version_header "${_header}")
      set(_torch_version_lines "${_lines}")
    endif()
  endif()
endforeach()
if(NOT _torch_version_header)
  message(
    FATAL_ERROR
      "No LibTorch in GODIFF_TORCH_DIR='${GODIFF_TORCH_DIR}'. Run ./quickstart once, or type "
      "-D GODIFF_TORCH_DIR=FOLDER with the folder that holds include/ and lib/")
endif()
string(REGEX REPLACE ".*MAJOR ([0-9]+).*" "\\1" _major "${_torch_version_lines}")
string(REGEX REPLACE ".*MINOR ([0-9]+).*" "\\1" _minor "${_torch_version_lines}")
string(REGEX REPLACE ".*PATCH ([0-9]+).*" "\\1" _patch "${_torch_version_lines}")
set(GODIFF_TORCH_VERSION "${_major}.${_minor}.${_patch}")
if(GODIFF_TORCH_VERSION VERSION_LESS 2.3)
  message(FATAL_ERROR "LibTorch ${GODIFF_TORCH_VERSION} in ${GODIFF_TORCH_DIR} is too old: "
                      "GODIFF needs 2.3 or newer")
endif()

# LibTorch's headers ask for C++20 from 2.13 on.
if(GODIFF_TORCH_VERSION VERSION_LESS 2.13)
  set(GODIFF_CXX_STANDARD 17)
else()
  set(GODIFF_CXX_STANDARD 20)
endif()

set(_torch_lib "${GODIFF_TORCH_DIR}/lib")
if(NOT EXISTS "${_torch_lib}/libtorch_cpu.so")  # packages of a distribution
  set(_torch_lib "${GODIFF_TORCH_DIR}/lib/${CMAKE_LIBRARY_ARCHITECTURE}")
endif()
foreach(_lib torch_cpu c10)
  if(NOT EXISTS "${_torch_lib}/lib${_lib}.so")
    message(FATAL_ERROR "LibTorch in ${GODIFF_TORCH_DIR} has no lib/lib${_lib}.so "
                        "(a shared LibTorch for Linux is needed)")
  endif()
endforeach()

# std::string of LibTorch and of the plugin must have the same layout; the flag is in its config.
set(_torch_abi 1)
set(_torch_config "${GODIFF_TORCH_DIR}/share/cmake/Torch/TorchConfig.cmake")
if(EXISTS "${_torch_config}")
  file(STRINGS "${_torch_config}" _abi_lines REGEX "_GLIBCXX_USE_CXX11_ABI=0")
  if(_abi_lines)
    set(_torch_abi 0)
  endif()
endif()

# libtorch_cpu of a CUDA build needs libcudart and libcupti. The wheels keep them beside torch and
# libtorch finds them there by itself; anywhere else the folder goes into the run path here.
set(GODIFF_CUDA_LIBRARY_DIR
    ""
    CACHE PATH "Folder of libcudart and libcupti, where LibTorch does not find them by itself")
set(GODIFF_TORCH_RPATH "${_torch_lib}")
file(GLOB _cuda_wheel_libs "${GODIFF_TORCH_DIR}/../nvidia/cu*/lib"
     "${GODIFF_TORCH_DIR}/../nvidia/cuda_runtime/lib" "${GODIFF_TORCH_DIR}/../nvidia/cuda_cupti/lib")
foreach(_dir ${GODIFF_CUDA_LIBRARY_DIR} ${_cuda_wheel_libs})
  get_filename_component(_dir "${_dir}" ABSOLUTE)
  list(APPEND GODIFF_TORCH_RPATH "${_dir}")
endforeach()

add_library(godiff_torch INTERFACE)
add_library(godiff::torch ALIAS godiff_torch)
target_include_directories(
  godiff_torch SYSTEM INTERFACE "${GODIFF_TORCH_DIR}/include"
                                "${GODIFF_TORCH_DIR}/include/torch/csrc/api/include")
target_compile_definitions(godiff_torch INTERFACE _GLIBCXX_USE_CXX11_ABI=${_torch_abi})
target_compile_features(godiff_torch INTERFACE cxx_std_${GODIFF_CXX_STANDARD})
target_link_libraries(godiff_torch INTERFACE "${_torch_lib}/libtorch_cpu.so"
                                             "${_torch_lib}/libc10.so")
# at::parallel_for is inline: without OpenMP it would run serially in our files. The runtime is the
# one LibTorch uses, never a second one beside it. clang has no code for that of GCC: fuzzers, which are
# built with clang, take one thread.
if(NOT GODIFF_ENABLE_FUZZERS)
  godiff_host_options(godiff_torch -fopenmp)
endif()
if(EXISTS "${_torch_lib}/libgomp.so.1")
  target_link_libraries(godiff_torch INTERFACE "${_torch_lib}/libgomp.so.1")
else()
  target_link_options(godiff_torch INTERFACE -fopenmp)
endif()
# Without this the linker would look through libtorch_cpu's own dependencies and complain about
# CUDA libraries that a CPU run never touches.
target_link_options(godiff_torch INTERFACE "LINKER:--allow-shlib-undefined")

if(EXISTS "${_torch_lib}/libtorch_cuda.so")
  option(GODIFF_TORCH_CUDA "Link libtorch_cuda (needs the CUDA libraries of that LibTorch)" OFF)
  if(GODIFF_TORCH_CUDA OR GODIFF_KOKKOS_CUDA)
    # Nothing refers to it by name: its constructors register the CUDA backend.
    target_link_libraries(
      godiff_torch INTERFACE "-Wl,--push-state,--no-as-needed" "${_torch_lib}/libtorch_cuda.so"
                             "${_torch_lib}/libc10_cuda.so" "-Wl,--pop-state")
  endif()
elseif(GODIFF_KOKKOS_CUDA)
  message(FATAL_ERROR "Kokkos computes on CUDA, but LibTorch in ${GODIFF_TORCH_DIR} has no lib/libtorch_cuda.so: "
                      "type -D GODIFF_TORCH_DIR=FOLDER with a LibTorch for CUDA, or -D GODIFF_ENABLE_KOKKOS=OFF")
endif()
