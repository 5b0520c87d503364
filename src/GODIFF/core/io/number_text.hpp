// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <string>

namespace godiff {

/// The shortest decimal text that reads back as exactly this value ("-110.1"), whatever the locale;
/// "nan", "inf" and "-inf" where it is none.
std::string exact_text(double value);

/// The value with at most `digits` significant digits ("%.6g"), whatever the locale.
std::string short_text(double value, int digits = 6);

/// The value with a fixed number of decimals ("%.10f"), whatever the locale.
std::string fixed_text(double value, int decimals);

}  // namespace godiff
