# SPDX-License-Identifier: GPL-2.0-only
# godiff::options: what all targets of the project are compiled with, and the precompiled header.
#
# No -march=native and no -ffast-math: the same binary must give the same bits on every machine,
# and the hot loops choose their instruction set at run time.

add_library(godiff_options INTERFACE)
add_library(godiff::options ALIAS godiff_options)
# LAMMPS loads plugins with their symbols made global: hidden ones cannot meet those of another plugin.
godiff_host_options(godiff_options -fPIC -fvisibility=hidden -fvisibility-inlines-hidden -Wall -Wextra)
if(GODIFF_WARNINGS_AS_ERRORS)
  godiff_host_options(godiff_options -Werror)
endif()
if(GODIFF_SANITIZERS)
  if(GODIFF_SANITIZERS STREQUAL "address")
    set(_sanitize -fsanitize=address,undefined,float-cast-overflow
                  -fno-sanitize-recover=undefined,float-cast-overflow)
  elseif(GODIFF_SANITIZERS STREQUAL "thread")
    set(_sanitize -fsanitize=thread)
  else()
    message(FATAL_ERROR "GODIFF_SANITIZERS is address or thread, not '${GODIFF_SANITIZERS}'")
  endif()
  list(APPEND _sanitize -fno-omit-frame-pointer)
  godiff_host_options(godiff_options ${_sanitize})
  target_link_options(godiff_options INTERFACE ${_sanitize})
endif()

if(GODIFF_ENABLE_FUZZERS)
  target_compile_options(
    godiff_options
    INTERFACE -fsanitize=fuzzer-no-link,address,undefined,float-cast-overflow
              -fno-sanitize-recover=undefined,float-cast-overflow -fno-omit-frame-pointer)
  target_link_options(godiff_options INTERFACE -fsanitize=address,undefined)
endif()

# ATen's headers take most of the compile time of a file (7-9 s each, 2-3 s with the precompiled
# header), so they are compiled once and shared. <torch/torch.h> would be no gain: loading it costs 6 s. No
# source may rely on it: each includes what it uses, and GODIFF_ENABLE_PCH=OFF must build as well.
if(GODIFF_ENABLE_PCH)
  file(WRITE "${CMAKE_BINARY_DIR}/godiff_pch.cpp.in" "// Carrier of the precompiled header.\n")
  configure_file("${CMAKE_BINARY_DIR}/godiff_pch.cpp.in" "${CMAKE_BINARY_DIR}/godiff_pch.cpp" COPYONLY)
  add_library(godiff_pch OBJECT "${CMAKE_BINARY_DIR}/godiff_pch.cpp")
  target_link_libraries(godiff_pch PRIVATE godiff::options godiff::torch)
  if(TARGET godiff::kokkos)
    target_link_libraries(godiff_pch PRIVATE godiff::kokkos)
  endif()
  target_precompile_headers(godiff_pch PRIVATE <ATen/ATen.h>)
endif()

# Lets TARGET use the precompiled header. Its flags must equal those of godiff::options.
function(godiff_use_pch target)
  if(TARGET godiff_pch)
    target_precompile_headers(${target} REUSE_FROM godiff_pch)
  endif()
endfunction()
