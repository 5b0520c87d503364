# SPDX-License-Identifier: GPL-2.0-only
# Decides about the styles of KOKKOS and finds what they are compiled with: headers and flags alone. The symbols
# of Kokkos come from the process, like those of LAMMPS: there is never a second Kokkos in it.
#
# Input:  what GodiffLammpsBuild and GodiffLammps have found; without the plugin, and for a LAMMPS that is given by
#         hand, GODIFF_KOKKOS_DIR
# Output: godiff::kokkos where the styles are built, and how KOKKOS of that LAMMPS was built:
#         GODIFF_KOKKOS_PRECISION  double, mixed or single
#         GODIFF_KOKKOS_LAYOUT     legacy or default
#         GODIFF_KOKKOS_APIS       execution spaces, as LAMMPS calls them, a space behind each

set(GODIFF_ENABLE_KOKKOS
    AUTO
    CACHE STRING "Build godiff/kk and mace/kk: AUTO (where LAMMPS has the KOKKOS package), ON or OFF")
set_property(CACHE GODIFF_ENABLE_KOKKOS PROPERTY STRINGS AUTO ON OFF)

set(GODIFF_KOKKOS_DIR
    ""
    CACHE PATH "Prefix of an installed Kokkos (empty: that of GODIFF_LAMMPS_BUILD_DIR)")

set(_missing "")
if(NOT GODIFF_ENABLE_PLUGIN)
  if(NOT GODIFF_KOKKOS_DIR)
    set(_missing "there is no Kokkos for the core alone: type -D GODIFF_KOKKOS_DIR=FOLDER with its prefix")
  endif()
elseif(NOT "LMP_KOKKOS" IN_LIST GODIFF_LAMMPS_DEFINITIONS)
  if(GODIFF_LAMMPS_BUILD_DIR)
    set(_missing "LAMMPS in ${GODIFF_LAMMPS_BUILD_DIR} has no KOKKOS package: build it with -D PKG_KOKKOS=ON")
  else()
    set(_missing "no LAMMPS with KOKKOS is named: type -D GODIFF_LAMMPS_BUILD_DIR=FOLDER with its build folder")
  endif()
else()
  set(_kk_float "")
  if(EXISTS "${GODIFF_LAMMPS_INCLUDE_DIR}/KOKKOS/kokkos_type.h")
    file(STRINGS "${GODIFF_LAMMPS_INCLUDE_DIR}/KOKKOS/kokkos_type.h" _kk_float LIMIT_COUNT 1 REGEX "KK_FLOAT")
  endif()
  if(NOT _kk_float)
    set(_missing "LAMMPS ${GODIFF_LAMMPS_VERSION} in ${GODIFF_LAMMPS_INCLUDE_DIR} is too old for them")
    string(APPEND _missing " (no KK_FLOAT in KOKKOS/kokkos_type.h): take a newer one")
  endif()
endif()

if(_missing)
  if(GODIFF_ENABLE_KOKKOS STREQUAL "AUTO")
    if(GODIFF_LAMMPS_BUILD_DIR)  # else nobody expects them
      message(STATUS "No styles of KOKKOS: ${_missing}")
    endif()
    return()
  elseif(GODIFF_ENABLE_KOKKOS)
    message(FATAL_ERROR "GODIFF_ENABLE_KOKKOS=${GODIFF_ENABLE_KOKKOS}, but ${_missing}, or type "
                        "-D GODIFF_ENABLE_KOKKOS=AUTO")
  endif()
endif()
if(NOT GODIFF_ENABLE_KOKKOS STREQUAL "AUTO" AND NOT GODIFF_ENABLE_KOKKOS)
  return()
endif()

set(_kokkos_includes "")
if(GODIFF_ENABLE_PLUGIN)
  set(_kokkos_includes "${GODIFF_LAMMPS_INCLUDE_DIR}/KOKKOS" ${GODIFF_LAMMPS_BUILT_INCLUDES})
endif()
if(GODIFF_KOKKOS_DIR)
  foreach(_dir include include/kokkos)
    if(EXISTS "${GODIFF_KOKKOS_DIR}/${_dir}/KokkosCore_config.h")
      list(APPEND _kokkos_includes "${GODIFF_KOKKOS_DIR}/${_dir}")
    endif()
  endforeach()
endif()

add_library(godiff_kokkos INTERFACE)
add_library(godiff::kokkos ALIAS godiff_kokkos)
target_include_directories(godiff_kokkos SYSTEM INTERFACE ${_kokkos_includes})
target_compile_definitions(godiff_kokkos INTERFACE GODIFF_KOKKOS)
# Asked for by Kokkos 5; earlier versions allow it.
set(GODIFF_CXX_STANDARD 20)
target_compile_features(godiff_kokkos INTERFACE cxx_std_20)
godiff_host_options(godiff_kokkos -fopenmp)

# Programs of our own have no LAMMPS in their process: they link Kokkos, or the LAMMPS that contains it.
find_library(
  GODIFF_KOKKOS_LIBRARY
  NAMES kokkoscore lammps
  HINTS ${_kokkos_includes} "${GODIFF_LAMMPS_BUILD_DIR}"
  PATH_SUFFIXES ../lib ../../lib ../lib64 ../../lib64
  DOC "Kokkos as LAMMPS uses it, for tests and benchmarks")
if(GODIFF_KOKKOS_LIBRARY)
  target_link_libraries(
    godiff_kokkos
    INTERFACE "$<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:${GODIFF_KOKKOS_LIBRARY};-fopenmp>")
elseif(GODIFF_ENABLE_TESTS)
  message(FATAL_ERROR "Found no library with Kokkos for the tests: set GODIFF_KOKKOS_LIBRARY to "
                      "libkokkoscore.so or liblammps.so, or build with -D GODIFF_ENABLE_KOKKOS=OFF")
endif()

# The defaults are those of kokkos_type.h.
set(GODIFF_KOKKOS_PRECISION double)
if("LMP_KOKKOS_SINGLE_SINGLE" IN_LIST GODIFF_LAMMPS_DEFINITIONS)
  set(GODIFF_KOKKOS_PRECISION single)
elseif("LMP_KOKKOS_SINGLE_DOUBLE" IN_LIST GODIFF_LAMMPS_DEFINITIONS)
  set(GODIFF_KOKKOS_PRECISION mixed)
endif()
set(GODIFF_KOKKOS_LAYOUT legacy)
if("LMP_KOKKOS_LAYOUT_DEFAULT" IN_LIST GODIFF_LAMMPS_DEFINITIONS)
  set(GODIFF_KOKKOS_LAYOUT default)
endif()

set(GODIFF_KOKKOS_APIS "")
foreach(_dir ${_kokkos_includes})
  if(EXISTS "${_dir}/KokkosCore_config.h")
    set(_kokkos_config "${_dir}/KokkosCore_config.h")
    file(STRINGS "${_dir}/KokkosCore_config.h" _spaces REGEX "^#define KOKKOS_ENABLE_[A-Z]+ *$")
    foreach(_api cuda hip sycl openmp serial pthreads)
      string(TOUPPER "${_api}" _name)
      string(REPLACE "PTHREADS" "THREADS" _name "${_name}")
      if("#define KOKKOS_ENABLE_${_name}" IN_LIST _spaces)
        string(APPEND GODIFF_KOKKOS_APIS "${_api} ")
      endif()
    endforeach()
    break()
  endif()
endforeach()
if(NOT GODIFF_KOKKOS_APIS)
  message(FATAL_ERROR "No KokkosCore_config.h with an execution space in '${_kokkos_includes}': is "
                      "GODIFF_LAMMPS_BUILD_DIR='${GODIFF_LAMMPS_BUILD_DIR}' built, or is Kokkos installed in "
                      "GODIFF_KOKKOS_DIR='${GODIFF_KOKKOS_DIR}'?")
endif()
if(GODIFF_KOKKOS_APIS MATCHES "cuda ")
  godiff_enable_cuda("${_kokkos_config}")
endif()
