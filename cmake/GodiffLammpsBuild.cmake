# SPDX-License-Identifier: GPL-2.0-only
# Reads from the build folder of a LAMMPS (CMake, Ninja or Makefiles) what a plugin for it must agree
# with: where its sources are, and how its library was compiled.
#
# Input:  GODIFF_LAMMPS_BUILD_DIR
# Output: GODIFF_LAMMPS_BUILT_SOURCES      its src/ folder
#         GODIFF_LAMMPS_BUILT_DEFINITIONS  macros that shape its classes: atom IDs, OpenMP, KOKKOS
#         GODIFF_LAMMPS_BUILT_INCLUDES     folders with headers of KOKKOS and of Kokkos

set(GODIFF_LAMMPS_BUILD_DIR
    ""
    CACHE PATH "Build folder of LAMMPS (CMakeCache.txt, lmp): sets all that must agree with it")

set(GODIFF_LAMMPS_BUILT_SOURCES "")
set(GODIFF_LAMMPS_BUILT_DEFINITIONS "")
set(GODIFF_LAMMPS_BUILT_INCLUDES "")
if(NOT GODIFF_LAMMPS_BUILD_DIR)
  return()
endif()

if(NOT EXISTS "${GODIFF_LAMMPS_BUILD_DIR}/CMakeCache.txt")
  message(FATAL_ERROR "No CMakeCache.txt in GODIFF_LAMMPS_BUILD_DIR='${GODIFF_LAMMPS_BUILD_DIR}': type the "
                      "folder in which cmake built LAMMPS")
endif()
file(STRINGS "${GODIFF_LAMMPS_BUILD_DIR}/CMakeCache.txt" _line REGEX "^CMAKE_HOME_DIRECTORY:")
string(REGEX REPLACE "^[^=]*=" "" _home "${_line}")
get_filename_component(GODIFF_LAMMPS_BUILT_SOURCES "${_home}/../src" ABSOLUTE)

# How the target lammps is compiled: Ninja and Makefiles write it down in their own ways.
if(EXISTS "${GODIFF_LAMMPS_BUILD_DIR}/build.ninja")
  set(_rules "${GODIFF_LAMMPS_BUILD_DIR}/build.ninja")
  set(_prefix "^  ")
else()
  set(_rules "${GODIFF_LAMMPS_BUILD_DIR}/CMakeFiles/lammps.dir/flags.make")
  set(_prefix "^CXX_")
endif()
if(EXISTS "${_rules}")
  file(STRINGS "${_rules}" _definitions LIMIT_COUNT 1
       REGEX "${_prefix}DEFINES = .*-DLAMMPS_(SMALLBIG|BIGBIG)")
  file(STRINGS "${_rules}" _includes LIMIT_COUNT 1 REGEX "${_prefix}INCLUDES = .*/src( |$)")
endif()
if(NOT _definitions OR NOT _includes)
  message(FATAL_ERROR "GODIFF_LAMMPS_BUILD_DIR='${GODIFF_LAMMPS_BUILD_DIR}' does not say how LAMMPS is compiled "
                      "(looked into ${_rules}): type -D GODIFF_LAMMPS_INCLUDE_DIR=FOLDER with its src/ and "
                      "-D GODIFF_LAMMPS_DEFINITIONS=... instead")
endif()
separate_arguments(_definitions)
foreach(_word ${_definitions})
  if(_word MATCHES "^-D((LAMMPS_(SMALLBIG|BIGBIG|MEMALIGN|OMP_COMPAT)|LMP_KOKKOS).*)$")
    list(APPEND GODIFF_LAMMPS_BUILT_DEFINITIONS "${CMAKE_MATCH_1}")
  endif()
endforeach()
# Headers of Kokkos lie in different places when it is built with LAMMPS and when it is installed.
separate_arguments(_includes)
foreach(_word ${_includes})
  string(REGEX REPLACE "^-(I|isystem=)" "" _word "${_word}")
  if(EXISTS "${_word}/kokkos_type.h" OR EXISTS "${_word}/Kokkos_Macros.hpp"
     OR EXISTS "${_word}/KokkosCore_config.h" OR EXISTS "${_word}/Kokkos_DualView.hpp"
     OR EXISTS "${_word}/Kokkos_Sort.hpp" OR EXISTS "${_word}/Kokkos_SIMD.hpp"
     OR EXISTS "${_word}/desul/atomics.hpp" OR EXISTS "${_word}/mdspan/mdspan.hpp")
    list(APPEND GODIFF_LAMMPS_BUILT_INCLUDES "${_word}")
  endif()
endforeach()
