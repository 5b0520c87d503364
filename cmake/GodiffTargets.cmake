# SPDX-License-Identifier: GPL-2.0-only
# Targets demo and docs. The search of the demo runs again only when something it depends on changed.

set(_demo_dir "${GODIFF_LAUNCHER_DIR}/demo")
set(_demo_input "${CMAKE_SOURCE_DIR}/examples/godiff/adatom")
set(_demo_command
    ${CMAKE_COMMAND} -E env "GODIFF_LMP=${GODIFF_LMP}" "GODIFF_PYTHON=${GODIFF_ENV_DIR}/bin/python"
    sh "${CMAKE_SOURCE_DIR}/tools/demo.sh")

if(GODIFF_LMP)
  add_custom_command(
    OUTPUT "${_demo_dir}/search.done"
    COMMAND ${_demo_command} search "${_demo_dir}"
    DEPENDS godiffplugin "${_demo_input}/in.adatom" "${_demo_input}/data.adatom"
            "${CMAKE_SOURCE_DIR}/tools/demo.sh"
    USES_TERMINAL VERBATIM
    COMMENT "Searching for the minimum of a Pt adatom on stepped Pt")
  file(GLOB _plot_tools CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/tools/godiff_*.py")
  add_custom_command(
    OUTPUT "${_demo_dir}/pictures.list"
    COMMAND ${_demo_command} draw "${_demo_dir}"
    DEPENDS "${_demo_dir}/search.done" ${_plot_tools} "${_demo_input}/surface.dat"
    VERBATIM
    COMMENT "Drawing the pictures")
  add_custom_target(
    demo
    COMMAND ${_demo_command} report "${_demo_dir}"
    DEPENDS "${_demo_dir}/pictures.list"
    USES_TERMINAL VERBATIM
    COMMENT "Result of the demo")
endif()

add_custom_target(
  docs
  COMMAND "${GODIFF_ENV_DIR}/bin/python" -m sphinx -q -E -W --keep-going -b html -d
          "${CMAKE_BINARY_DIR}/doctrees" "${CMAKE_SOURCE_DIR}/doc" "${GODIFF_LAUNCHER_DIR}/docs"
  COMMAND ${CMAKE_COMMAND} -E echo "Documentation: ${GODIFF_LAUNCHER_DIR}/docs/index.html"
  USES_TERMINAL VERBATIM
  COMMENT "Building the documentation")
