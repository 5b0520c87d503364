# SPDX-License-Identifier: GPL-2.0-only
# What changes where Kokkos computes on CUDA: files that include Kokkos are compiled as CUDA, and LibTorch must
# have CUDA as well. Nothing changes elsewhere.
#
# Output: godiff_enable_cuda(), godiff_compile_for_device(), godiff_host_options()

set(GODIFF_KOKKOS_CUDA OFF)

# godiff_host_options(TARGET OPTION...) gives users of an interface target options of the C++ compiler, which
# nvcc hands on to the compiler it calls for the host.
function(godiff_host_options target)
  string(REPLACE ";" "," options "${ARGN}")
  target_compile_options(
    ${target} INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${ARGN}>"
                        "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${options}>")
endfunction()

# godiff_compile_for_device(SOURCE...) marks what includes headers of Kokkos. For sources of targets of the
# folder that calls it.
function(godiff_compile_for_device)
  if(GODIFF_KOKKOS_CUDA AND ARGN)
    set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CUDA SKIP_PRECOMPILE_HEADERS ON)
  endif()
endfunction()

# godiff_enable_cuda(CONFIG) switches all this on. CONFIG is KokkosCore_config.h, which says what GPU Kokkos
# was built for. A macro, since a language is enabled for a file.
macro(godiff_enable_cuda config)
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    file(STRINGS "${config}" _arches REGEX "^#define KOKKOS_ARCH_[A-Z]+[0-9]+ *$")
    set(CMAKE_CUDA_ARCHITECTURES "")
    foreach(_line ${_arches})
      if(_line MATCHES "(KEPLER|MAXWELL|PASCAL|VOLTA|TURING|AMPERE|ADA|HOPPER|BLACKWELL)([0-9]+)")
        list(APPEND CMAKE_CUDA_ARCHITECTURES "${CMAKE_MATCH_2}")
      endif()
    endforeach()
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 80 90)
    endif()
  endif()
  # One runtime of CUDA in the process: that of LibTorch and Kokkos.
  set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
  enable_language(CUDA)
  find_package(CUDAToolkit 12.0 REQUIRED)
  # As Kokkos asks for. The standard is an option because CMake 3.25 does not know that of nvcc.
  target_compile_options(
    godiff_kokkos INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;--extended-lambda;--expt-relaxed-constexpr>")
  # LibTorch's headers include those of CUDA.
  target_include_directories(godiff_kokkos SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(godiff_kokkos INTERFACE CUDA::cudart)
  if(GODIFF_KOKKOS_LIBRARY MATCHES "\\.a$")  # it does not say itself what it needs
    target_link_libraries(
      godiff_kokkos INTERFACE "$<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:CUDA::cuda_driver;${CMAKE_DL_LIBS}>")
  endif()
  set(GODIFF_KOKKOS_CUDA ON)
  message(STATUS "Kokkos computes on CUDA: nvcc ${CMAKE_CUDA_COMPILER_VERSION}, "
                 "architectures ${CMAKE_CUDA_ARCHITECTURES}")
endmacro()
