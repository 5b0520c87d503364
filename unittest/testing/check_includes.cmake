# SPDX-License-Identifier: GPL-2.0-only
# The dependency rule: glue -> core -> kernels, never back.
#   core/, kernels/  include no LAMMPS and no MPI header; kernels/ includes nothing of core/
#   *.h              (LAMMPS includes them) reach no header of LibTorch or Kokkos, however indirectly
# cmake -D SOURCE_DIR=src/GODIFF [-D SELFTEST=ON] -P check_includes.cmake
# SELFTEST expects the folder to break every rule.

cmake_policy(VERSION 3.22)

set(problems "")
set(library "^<(torch|ATen|c10|Kokkos)[_/.]")

# Included names of a file, with their quotes or brackets.
function(includes_of file variable)
  file(STRINGS "${file}" lines REGEX "^[ \t]*#[ \t]*include[ \t]*[<\"]")
  set(names "")
  foreach(line IN LISTS lines)
    if(line MATCHES "include[ \t]*([<\"][^>\"]*[>\"])")
      list(APPEND names "${CMAKE_MATCH_1}")
    endif()
  endforeach()
  set(${variable} "${names}" PARENT_SCOPE)
endfunction()

file(GLOB_RECURSE inner "${SOURCE_DIR}/core/*.hpp" "${SOURCE_DIR}/core/*.cpp"
     "${SOURCE_DIR}/kernels/*.hpp" "${SOURCE_DIR}/kernels/*.cpp")
foreach(file IN LISTS inner)
  file(RELATIVE_PATH name "${SOURCE_DIR}" "${file}")
  includes_of("${file}" included)
  foreach(header IN LISTS included)
    if(header MATCHES "^\"" AND NOT header MATCHES "^\"(core|kernels)/")
      list(APPEND problems "${name} includes ${header}, which is not below core/ or kernels/")
    elseif(header MATCHES "mpi\\.h")
      list(APPEND problems "${name} includes ${header}: core knows no MPI")
    elseif(name MATCHES "^kernels/" AND header MATCHES "^\"core/")
      list(APPEND problems "${name} includes ${header}: kernels must not depend on core")
    endif()
  endforeach()
endforeach()

file(GLOB glue "${SOURCE_DIR}/*.h")
foreach(file IN LISTS glue)
  file(RELATIVE_PATH name "${SOURCE_DIR}" "${file}")
  set(waiting "${file}")
  set(seen "")
  while(waiting)
    list(POP_FRONT waiting current)
    list(APPEND seen "${current}")
    file(RELATIVE_PATH through "${SOURCE_DIR}" "${current}")
    includes_of("${current}" included)
    foreach(header IN LISTS included)
      string(REGEX REPLACE "[<>\"]" "" path "${header}")
      if(header MATCHES "${library}")
        list(APPEND problems "${name} reaches ${header} through ${through}")
      elseif(EXISTS "${SOURCE_DIR}/${path}" AND NOT "${SOURCE_DIR}/${path}" IN_LIST seen)
        list(APPEND waiting "${SOURCE_DIR}/${path}")
      endif()
    endforeach()
  endwhile()
endforeach()

foreach(problem IN LISTS problems)
  message(STATUS "${problem}")
endforeach()
list(LENGTH problems count)
if(SELFTEST)
  if(NOT count EQUAL 5)
    message(FATAL_ERROR "expected 5 broken rules, found ${count}")
  endif()
elseif(count GREATER 0)
  message(FATAL_ERROR "${count} includes break the rule glue -> core -> kernels")
elseif(NOT inner OR NOT glue)
  message(FATAL_ERROR "no source files in ${SOURCE_DIR}")
endif()
