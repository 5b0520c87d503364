// SPDX-License-Identifier: GPL-2.0-only
// The data of pair style mace.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pair_mace.h"

#include "core/mace/model.hpp"
#include "core/mace/neighbours.hpp"
#include "pair_mace_batch.hpp"
#include "pair_mace_exchange.hpp"
#include "pair_mace_parse.hpp"

namespace LAMMPS_NS {

struct PairMACE::Impl {
  Impl(LAMMPS *lmp, Pair *pair) : rows(lmp, pair) {}

  GODiff::MaceSettings settings;
  std::unique_ptr<godiff::MaceModel> model;
  std::unique_ptr<GODiff::MaceBatchService> service;  // of `model`, once somebody asks for it
  std::string why_not_by_layers;                      // of any rank
  std::vector<std::int64_t> species;                  // [ntypes + 1] -1: NULL

  GODiff::MaceMode mode = GODiff::MaceMode::AUTO;  // the one in use, not AUTO after init
  std::string printed_mode;                        // what has been said about it
  double energy = 1.0;                             // units of the run per eV
  int threads = 1;
  double raised_cutoff = 0.0;   // that this style has asked of comm_modify cutoff, ...
  double earlier_cutoff = 0.0;  // ... and what it was before

  bigint owners_build = -1;  // neighbor->ncalls when `owners` were found
  std::vector<int> owners;   // [nlocal + nghost]
  godiff::MaceDomain domain;
  godiff::MaceResult result;
  GODiff::MaceRows rows;
  bool announce = false;  // how large the next graph is

  // Seconds since the run began, or since init, in the order of extract("mace_timing").
  enum { GRAPH, FORWARD, BACKWARD, SCATTER, COMMUNICATION, NTIMES };
  std::array<double, NTIMES> times{};
  bigint calls = 0;
};

}  // namespace LAMMPS_NS
