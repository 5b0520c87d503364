# SPDX-License-Identifier: GPL-2.0-only
"""What the pictures share: colours, fonts, units and number formats."""

# Okabe-Ito colours: distinct for every common colour vision.
BLUE, ORANGE, GREEN, RED, BLACK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#222222"
UNITS = {  # energy unit, Boltzmann constant in it per K
    "metal": ("eV", 8.617333262e-5),
    "real": ("kcal/mol", 1.987204259e-3),
}
STYLE = {
    "font.size": 11,
    "axes.labelsize": 11.5,
    "axes.titlesize": 11,
    "legend.fontsize": 10,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "figure.dpi": 100,
    "savefig.dpi": 200,
}


def kt_text(value):
    """Two significant digits, without an exponent for the range of the method."""
    text = f"{value:.2g}"
    return f"{float(text):g}" if "e" in text else text
