// SPDX-License-Identifier: GPL-2.0-only
// Breaks the rules on purpose: input of the self-test of check_includes.cmake.
#include "atom.h"
#include "core/good.hpp"
#include <mpi.h>
