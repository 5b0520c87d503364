// SPDX-License-Identifier: GPL-2.0-only
#include "core/base/settings.hpp"

#include <cmath>
#include <cstdlib>
#include <sstream>

#include "core/base/error.hpp"

namespace godiff {

namespace {

[[noreturn]] void bad_choice(const std::string &name, const std::string &value,
                             const std::string &allowed) {
  throw Error("switch " + name + " is '" + value + "' but must be " + allowed);
}

bool either(const std::string &name, const std::string &value, const char *yes, const char *no) {
  if (value == yes)
    return true;
  if (value == no)
    return false;
  bad_choice(name, value, std::string(yes) + " or " + no);
}

double number(const std::string &name, const std::string &value, double lo, double hi) {
  char *end = nullptr;
  const double x = std::strtod(value.c_str(), &end);
  std::ostringstream range;
  range << "a number from " << lo << " to " << hi;
  if (value.empty() || *end != '\0' || !(x >= lo && x <= hi))
    bad_choice(name, value, range.str());
  return x;
}

std::string text(double x) {
  std::ostringstream out;
  out.precision(17);
  out << x;
  return out.str();
}

constexpr double MAX_ZETA = 100.0;
constexpr double MAX_VAL_FRACTION = 0.9;

}  // namespace

const std::vector<Switch> &switches() {
  static const std::vector<Switch> table = {
      {"score_scale", "reference|rescaled|consistent", "reference", "consistent", "reference",
       "residual of the loss and drift of the sampler"},
      {"g2", "exact|legacy", "exact", "exact", "exact",
       "squared diffusion coefficient: 2 sigma (s_max - s_min), or the older 2 sigma t"},
      {"weights_norm", "buffer|all", "buffer", "buffer", "buffer",
       "Boltzmann weights normalized over the buffer, or over all valid structures"},
      {"loss_weights", "boltzmann|none", "boltzmann", "boltzmann", "boltzmann",
       "weights enter the draw and the loss, or the draw only"},
      {"ffg_dt", "yes|no", "yes", "no", "yes", "guidance step multiplied by dt"},
      {"ffg_zeta", "number", "3", "-", "3", "exponent of (1-t) in the guidance step"},
      {"ffg_atoms", "mobile|all", "mobile", "-", "all", "atoms that enter the L-BFGS history"},
      {"ffg_history", "minimum|raw", "minimum", "-", "raw",
       "displacements of the L-BFGS history by minimum image, or raw"},
      {"force_loss", "all|mobile", "all", "-", "all", "atoms in the loss of the force head"},
      {"mindist_image", "yes|no", "yes", "-", "no", "minimum image in the distance test"},
      {"val_fraction", "number", "0.1", "-", "0.1",
       "part of the buffer that is kept for the plateau rule"},
      {"optim_reset", "yes|no", "yes", "-", "yes", "fresh optimizer and schedule every stage"},
  };
  return table;
}

void set_switch(Settings &s, const std::string &name, const std::string &value) {
  if (name == "score_scale") {
    if (value == "reference")
      s.score_scale = ScoreScale::REFERENCE;
    else if (value == "rescaled")
      s.score_scale = ScoreScale::RESCALED;
    else if (value == "consistent")
      s.score_scale = ScoreScale::CONSISTENT;
    else
      bad_choice(name, value, "reference, rescaled or consistent");
  } else if (name == "g2")
    s.g2_legacy = either(name, value, "legacy", "exact");
  else if (name == "weights_norm")
    s.weights_all = either(name, value, "all", "buffer");
  else if (name == "loss_weights")
    s.loss_weights = either(name, value, "boltzmann", "none");
  else if (name == "ffg_dt")
    s.ffg_dt = either(name, value, "yes", "no");
  else if (name == "ffg_zeta")
    s.ffg_zeta = number(name, value, 0.0, MAX_ZETA);
  else if (name == "ffg_atoms")
    s.ffg_all_atoms = either(name, value, "all", "mobile");
  else if (name == "ffg_history")
    s.ffg_raw_history = either(name, value, "raw", "minimum");
  else if (name == "force_loss")
    s.force_loss_mobile = either(name, value, "mobile", "all");
  else if (name == "mindist_image")
    s.mindist_image = either(name, value, "yes", "no");
  else if (name == "val_fraction")
    s.val_fraction = number(name, value, 0.0, MAX_VAL_FRACTION);
  else if (name == "optim_reset")
    s.optim_reset = either(name, value, "yes", "no");
  else {
    std::string known;
    for (const Switch &entry : switches())
      known += std::string(" ") + entry.name;
    throw Error("unknown switch '" + name + "', known are:" + known);
  }
}

std::string get_switch(const Settings &s, const std::string &name) {
  if (name == "score_scale")
    return s.score_scale == ScoreScale::REFERENCE  ? "reference"
           : s.score_scale == ScoreScale::RESCALED ? "rescaled"
                                                   : "consistent";
  if (name == "g2")
    return s.g2_legacy ? "legacy" : "exact";
  if (name == "weights_norm")
    return s.weights_all ? "all" : "buffer";
  if (name == "loss_weights")
    return s.loss_weights ? "boltzmann" : "none";
  if (name == "ffg_dt")
    return s.ffg_dt ? "yes" : "no";
  if (name == "ffg_zeta")
    return text(s.ffg_zeta);
  if (name == "ffg_atoms")
    return s.ffg_all_atoms ? "all" : "mobile";
  if (name == "ffg_history")
    return s.ffg_raw_history ? "raw" : "minimum";
  if (name == "force_loss")
    return s.force_loss_mobile ? "mobile" : "all";
  if (name == "mindist_image")
    return s.mindist_image ? "yes" : "no";
  if (name == "val_fraction")
    return text(s.val_fraction);
  if (name == "optim_reset")
    return s.optim_reset ? "yes" : "no";
  throw Error("unknown switch '" + name + "'");
}

void validate(const Settings &s) {
  const auto need = [](bool ok, const std::string &message) {
    if (!ok)
      throw Error(message);
  };
  const auto is = [](const char *what, double value) {
    std::ostringstream out;
    out << what << " is " << value << " but must be ";
    return out.str();
  };
  need(s.stages >= 1, is("the number of stages", s.stages) + "at least 1");
  need(s.samples >= 1, is("the number of candidates per stage", s.samples) + "at least 1");
  need(s.kT_stop > 0.0 && s.kT_start > 0.0 && std::isfinite(s.kT_start),
       "temperatures must be positive");
  need(s.kT_start > s.kT_stop || s.stages == 1,
       "the start temperature must be above the stop temperature");
  need(s.mindist >= 0.0 && std::isfinite(s.mindist), is("mindist", s.mindist) + "0 or more");
  need(s.energy_lo < s.energy_hi, "the energy window is empty: lo must be below hi");
  need(s.buffer >= 1, is("buffer", s.buffer) + "at least 1");
  need(s.train_steps >= 1, is("train steps", s.train_steps) + "at least 1");
  need(s.batch >= 1, is("train batch", s.batch) + "at least 1");
  need(s.learning_rate > 0.0 && std::isfinite(s.learning_rate),
       is("optim lr", s.learning_rate) + "positive");
  need(s.lr_factor > 0.0 && s.lr_factor <= 1.0, is("optim factor", s.lr_factor) + "in (0,1]");
  need(s.patience >= 0, is("optim patience", s.patience) + "0 or more");
  need(s.clip > 0.0, is("optim clip", s.clip) + "positive");
  need(s.network.cutoff > 0.0 && std::isfinite(s.network.cutoff),
       is("network cutoff", s.network.cutoff) + "positive");
  need(s.network.nfeat >= 16 && s.network.nfeat % 16 == 0 && s.network.nfeat <= 1024,
       is("network nfeat", s.network.nfeat) + "a multiple of 16 from 16 to 1024");
  need(s.network.nblock >= 1 && s.network.nblock <= 32,
       is("network nblock", s.network.nblock) + "from 1 to 32");
  need(s.network.nrbf >= 2 && s.network.nrbf <= 1024,
       is("network nrbf", s.network.nrbf) + "from 2 to 1024");
  need(s.sample_steps >= 2, is("sample em steps", s.sample_steps) + "at least 2");
  need(s.sample_eps > 0.0 && s.sample_eps < 1.0, is("sample em eps", s.sample_eps) + "in (0,1)");
  need(s.guide >= 0.0 && std::isfinite(s.guide), is("guide", s.guide) + "0 or more");
  need(s.guide_extra >= 0, is("guide extra", s.guide_extra) + "0 or more");
  need(s.guide_extra == 0 || s.guided(), "guide extra needs a guide scale above 0");
  need(!s.guided() || s.sample == SampleKind::EULER_MARUYAMA,
       "guide needs sample em: plain uniform draws have no steps to guide");
  need(s.relax_steps >= 0, is("relax nmax", s.relax_steps) + "0 or more");
  need(s.relax_ftol > 0.0, is("relax ftol", s.relax_ftol) + "positive");
  need(s.unique_tolerance >= 0.0, is("unique", s.unique_tolerance) + "0 or more");
  need(s.annealing == Annealing::GEOMETRIC || s.adaptive_ess >= 1.0,
       is("anneal adaptive", s.adaptive_ess) + "at least 1");
  need(s.val_fraction >= 0.0 && s.val_fraction <= MAX_VAL_FRACTION,
       is("switch val_fraction", s.val_fraction) + "from 0 to 0.9");
}

std::string describe(const Settings &s) {
  std::ostringstream out;
  out.precision(17);
  out << "stages=" << s.stages << "\nsamples=" << s.samples << "\nseed=" << s.seed
      << "\nkT_start=" << s.kT_start << "\nkT_stop=" << s.kT_stop << "\nmindist=" << s.mindist
      << "\nenergy=" << s.energy_lo << " " << s.energy_hi << (s.energy_absolute ? " absolute" : "")
      << "\nbuffer=" << s.buffer << "\ntrain=" << s.train_steps << " " << s.batch
      << "\noptim=" << s.learning_rate << " " << s.lr_factor << " " << s.patience << " " << s.clip
      << "\nnetwork=" << s.network.cutoff << " " << s.network.nfeat << " " << s.network.nblock
      << " " << s.network.nrbf << "\nsample=";
  if (s.sample == SampleKind::PRIOR)
    out << "prior";
  else
    out << "em " << s.sample_steps << " " << s.sample_eps;
  out << "\nguide=" << s.guide << " extra " << s.guide_extra << "\nrelax=" << s.relax_steps << " "
      << s.relax_ftol << "\nunique=" << s.unique_tolerance << "\nanneal="
      << (s.annealing == Annealing::GEOMETRIC ? "geometric" : "adaptive " + text(s.adaptive_ess))
      << "\nprecision=" << (s.double_precision ? "double" : "single")
      << "\nmode=" << (s.train ? "search" : "sample") << "\n";
  for (const Switch &entry : switches())
    out << "switch " << entry.name << "=" << get_switch(s, entry.name) << "\n";
  return out.str();
}

}  // namespace godiff
