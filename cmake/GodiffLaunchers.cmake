# SPDX-License-Identifier: GPL-2.0-only
# Writes the launchers lmp and mpirun, which need no environment variable to be set.
#
# Input: GODIFF_LAUNCHER_DIR  where they go (default: the build folder)

set(GODIFF_LAUNCHER_DIR
    "${CMAKE_BINARY_DIR}"
    CACHE PATH "Folder for the launchers lmp and mpirun")

if(NOT GODIFF_LAMMPS_EXECUTABLE)
  find_program(_lmp NAMES lmp lmp_mpi NO_CACHE)
  if(_lmp)
    set(GODIFF_LAMMPS_EXECUTABLE "${_lmp}")
  else()
    message(STATUS "No launcher and no tests that run LAMMPS: set GODIFF_LAMMPS_EXECUTABLE to lmp")
    return()
  endif()
endif()

get_filename_component(_lammps_root "${GODIFF_LAMMPS_EXECUTABLE}" DIRECTORY)
set(GODIFF_LAMMPS_POTENTIALS
    ""
    CACHE PATH "Folder of LAMMPS' potential files (empty: that of the installation)")
foreach(_dir "${_lammps_root}/share/lammps/potentials" "${_lammps_root}/../share/lammps/potentials"
             "${GODIFF_LAMMPS_INCLUDE_DIR}/../potentials")
  if(NOT GODIFF_LAMMPS_POTENTIALS AND IS_DIRECTORY "${_dir}")
    get_filename_component(GODIFF_LAMMPS_POTENTIALS "${_dir}" ABSOLUTE)
  endif()
endforeach()

# Text in single quotes for sh.
function(godiff_shell_quote variable text)
  string(REPLACE "'" "'\\''" text "${text}")
  set(${variable} "'${text}'" PARENT_SCOPE)
endfunction()

set(_libraries "")
if(GODIFF_MPI_DIR)
  set(_libraries "${GODIFF_MPI_DIR}/lib")
endif()
godiff_shell_quote(GODIFF_SH_LAMMPS "${GODIFF_LAMMPS_EXECUTABLE}")
godiff_shell_quote(GODIFF_SH_LIBRARIES "${_libraries}")
godiff_shell_quote(GODIFF_SH_PLUGINS "${CMAKE_BINARY_DIR}/plugin")
# The models of the project, then the potentials of LAMMPS.
set(_potentials "${CMAKE_SOURCE_DIR}/potentials")
if(GODIFF_LAMMPS_POTENTIALS)
  string(APPEND _potentials ":${GODIFF_LAMMPS_POTENTIALS}")
endif()
godiff_shell_quote(GODIFF_SH_POTENTIALS "${_potentials}")
godiff_shell_quote(GODIFF_SH_MPIRUN "${GODIFF_MPIRUN}")
# A LAMMPS with its own plain BLAS exports dgemm_, and LibTorch, loaded later with the plugin, would call
# that one instead of its own: LibTorch goes first. The sanitizer must be there before LAMMPS, which is not
# built with it, loads the plugin.
set(_preload "")
set(_sanitized "")
set(GODIFF_PRELOADS_TORCH OFF)
if(GODIFF_SANITIZERS STREQUAL "address")
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=libasan.so OUTPUT_VARIABLE _preload
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(_sanitized yes)
else()
  set(_torch_cpu "${GODIFF_TORCH_DIR}/lib/libtorch_cpu.so")
  execute_process(COMMAND ${CMAKE_COMMAND} -E env "LD_PRELOAD=${_torch_cpu}" ${CMAKE_COMMAND} -E true
                  RESULT_VARIABLE _failed ERROR_VARIABLE _complaint)
  if(NOT _failed AND NOT _complaint)
    set(_preload "${_torch_cpu}")
    set(GODIFF_PRELOADS_TORCH ON)
  endif()
endif()
set(GODIFF_PRELOAD "${_preload}")
godiff_shell_quote(GODIFF_SH_PRELOAD "${GODIFF_PRELOAD}")
godiff_shell_quote(GODIFF_SH_SANITIZED "${_sanitized}")

foreach(_name lmp mpirun)
  configure_file("${CMAKE_CURRENT_LIST_DIR}/${_name}.sh.in" "${GODIFF_LAUNCHER_DIR}/${_name}" @ONLY
                 FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
                                  WORLD_READ WORLD_EXECUTE)
endforeach()
set(GODIFF_LMP "${GODIFF_LAUNCHER_DIR}/lmp")
