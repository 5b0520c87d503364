# SPDX-License-Identifier: GPL-2.0-only
# The same binary gives the same bits on every machine it runs on: no flag asks for the machine that it
# is built on or gives up IEEE arithmetic, and only the row kernels use more than the base instructions.
# cmake -D COMMANDS=compile_commands.json [-D EXTRA_FLAGS=...] [-D SELFTEST=ON] -P check_flags.cmake
# EXTRA_FLAGS are looked at like those of one more source file; SELFTEST expects them to be refused.

cmake_policy(VERSION 3.22)

file(STRINGS "${COMMANDS}" lines REGEX "\"command\":")
list(LENGTH lines count)
if(count EQUAL 0)
  message(FATAL_ERROR "no commands in ${COMMANDS}")
endif()

set(extra "")
if(EXTRA_FLAGS)
  set(extra "c++ ${EXTRA_FLAGS} -c extra.cpp\"")
endif()

set(loose "-ffast-math|-Ofast|-f(unsafe|finite|associative|reciprocal)-math[^ ]*")
set(problems 0)
foreach(line IN LISTS extra lines)
  string(REGEX MATCH "-c ([^ ]*\\.c(pp|xx)?)[\" ]" _ "${line}")
  set(source "${CMAKE_MATCH_1}")
  string(REGEX MATCHALL "-(march|mcpu|mtune)=[^ ]*|${loose}" flags "${line}")
  if(NOT source MATCHES "/row_kernels_avx[0-9]+\\.cpp$")
    string(REGEX MATCHALL " -m(avx|fma|f16c|sse4)[^ ]*" wide "${line}")
    list(APPEND flags ${wide})
  endif()
  foreach(flag IN LISTS flags)
    message(STATUS "${source}: ${flag}")
    math(EXPR problems "${problems} + 1")
  endforeach()
endforeach()

if(SELFTEST)
  string(REPLACE " " ";" expected "${EXTRA_FLAGS}")
  list(LENGTH expected expected)
  if(NOT problems EQUAL expected)
    message(FATAL_ERROR "expected ${expected} refused flags, found ${problems}")
  endif()
elseif(problems GREATER 0)
  message(FATAL_ERROR "${problems} flags tie the build to one machine")
endif()
