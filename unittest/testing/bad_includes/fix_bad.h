// SPDX-License-Identifier: GPL-2.0-only
#include "core/good.hpp"
#include "fix.h"
#include <ATen/ATen.h>
