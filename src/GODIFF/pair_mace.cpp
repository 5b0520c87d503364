// SPDX-License-Identifier: GPL-2.0-only
#include "pair_mace.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "atom.h"
#include "citeme.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neighbor.h"
#include "update.h"

#include "core/base/elements.hpp"
#include "godiff_glue.hpp"
#include "pair_mace_impl.hpp"

using namespace LAMMPS_NS;
using GODiff::MaceMode;
using GODiff::MaceNumbers;

static const char cite_mace[] =
    "pair style mace: https://arxiv.org/abs/2206.07697 and https://arxiv.org/abs/2205.06643\n\n"
    "@inproceedings{Batatia2022mace,\n"
    " title={{MACE}: Higher Order Equivariant Message Passing Neural Networks for Fast and "
    "Accurate "
    "Force Fields},\n"
    " author={Batatia, Ilyes and Kovacs, David Peter and Simm, Gregor N. C. and Ortner, Christoph "
    "and Csanyi, Gabor},\n"
    " booktitle={Advances in Neural Information Processing Systems},\n"
    " volume={35},\n"
    " year={2022}\n"
    "}\n\n"
    "@misc{Batatia2022design,\n"
    " title={The Design Space of {E(3)}-Equivariant Atom-Centered Interatomic Potentials},\n"
    " author={Batatia, Ilyes and Batzner, Simon and Kovacs, David Peter and Musaelian, Albert and "
    "Simm, Gregor N. C. and Drautz, Ralf and Ortner, Christoph and Kozinsky, Boris and Csanyi, "
    "Gabor},\n"
    " eprint={2205.06643},\n"
    " archivePrefix={arXiv},\n"
    " year={2022}\n"
    "}\n\n";

PairMACE::PairMACE(LAMMPS *lmp) : Pair(lmp), impl(new Impl(lmp, this)) {
  if (lmp->citeme)
    lmp->citeme->add(cite_mace);
  single_enable = 0;
  restartinfo = 0;
  writedata = 0;
  respa_enable = 0;
  reinitflag = 0;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_AVAIL;
  unit_convert_flag = utils::get_supported_conversions(utils::ENERGY);
  // One slot carries the owners of ghosts; what a model needs is known at init.
  comm_forward = 1;
}

PairMACE::~PairMACE() {
  if (copymode)
    return;
  give_back_cutoff();
  delete impl;
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

void PairMACE::allocate() {
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
  for (int i = 0; i < n; ++i)
    std::fill_n(setflag[i], n, 0);
  map = new int[n];
  allocated = 1;
}

void PairMACE::settings(int narg, char **arg) {
  impl->settings = GODiff::parse_mace(lmp, narg, arg);
  impl->mode = MaceMode::AUTO;
  // Words that change how a model is loaded: pair_coeff has to be repeated.
  impl->service.reset();
  impl->model.reset();
  if (allocated)
    for (int i = 1; i <= atom->ntypes; ++i)
      std::fill_n(setflag[i] + 1, atom->ntypes, 0);
}

namespace {

struct File {
  std::string bytes, problem;
};

File read_file(const std::string &name) {
  File file;
  const std::string path = utils::get_potential_file_path(name);
  FILE *fp = path.empty() ? nullptr : std::fopen(path.c_str(), "rb");
  if (!fp) {
    const char *const folder = std::getenv("LAMMPS_POTENTIALS");
    file.problem =
        fmt::format("cannot open {}: there is no such file that can be read, neither here "
                    "nor in the folders of LAMMPS_POTENTIALS ({})",
                    name, folder ? folder : "not set");
    return file;
  }
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    std::fclose(fp);
    file.problem = fmt::format("{} is a folder: give the name of a model file in it", name);
    return file;
  }
  char buffer[1 << 16];
  while (const std::size_t count = std::fread(buffer, 1, sizeof(buffer), fp))
    file.bytes.append(buffer, count);
  if (std::ferror(fp))
    file.problem = fmt::format("{} cannot be read to its end: {}", name, std::strerror(errno));
  std::fclose(fp);
  return file;
}

// Rank 0 reads. Collective.
File shared_file(LAMMPS *lmp, const std::string &name) {
  File file;
  if (lmp->comm->me == 0)
    file = read_file(name);
  file.problem = GODiff::shared_text(lmp, file.problem);
  bigint size = static_cast<bigint>(file.bytes.size());
  MPI_Bcast(&size, 1, MPI_LMP_BIGINT, 0, lmp->world);
  file.bytes.resize(static_cast<std::size_t>(size));
  constexpr bigint AT_ONCE = 1 << 30;  // MPI counts with int
  for (bigint sent = 0; sent < size; sent += AT_ONCE)
    MPI_Bcast(&file.bytes[sent], static_cast<int>(std::min(AT_ONCE, size - sent)), MPI_BYTE, 0,
              lmp->world);
  return file;
}

std::string symbols_of(const godiff::MaceInfo &info) {
  std::string symbols;
  for (const int z : info.atomic_numbers)
    symbols += std::string(symbols.empty() ? "" : " ") +
               (z >= 1 && z <= godiff::MAX_ATOMIC_NUMBER ? godiff::symbol(z) : std::to_string(z));
  return symbols;
}

}  // namespace

int PairMACE::default_threads() {
  return comm->nprocs > 1 ? 1 : GODiff::count_threads(world);
}

void PairMACE::coeff(int narg, char **arg) {
  if (!allocated)
    allocate();
  const int ntypes = atom->ntypes;
  const auto place = [this](const char *word) { return GODiff::place_of_word(lmp, word); };
  constexpr int FIRST = 3;  // pair_coeff * * FILE symbols
  if (narg < FIRST)
    error->all(FLERR,
               "Pair style mace: the file is missing: pair_coeff * * FILE and a symbol for each "
               "of the {} atom types",
               ntypes);
  for (const int i : {0, 1})
    if (std::strcmp(arg[i], "*") != 0)
      error->all(FLERR, place(arg[i]),
                 "Pair style mace: pair_coeff begins with '{}' but must begin "
                 "with * *: one file is for all types",
                 arg[i]);
  if (narg - FIRST != ntypes)
    error->all(
        FLERR, place(arg[std::min(narg - 1, FIRST + ntypes)]),
        "Pair style mace: pair_coeff has {} symbols but needs one for each of the {} atom types",
        narg - FIRST, ntypes);
  const bool hybrid = force->pair != this;
  for (int i = FIRST; i < narg; ++i)
    if (!hybrid && std::strcmp(arg[i], "NULL") == 0)
      error->all(FLERR, place(arg[i]),
                 "Pair style mace: type {} is NULL, which is for pair_style "
                 "hybrid only: give it a symbol",
                 i - FIRST + 1);

  const File file = shared_file(lmp, arg[2]);
  if (!file.problem.empty())
    error->all(FLERR, place(arg[2]), "Pair style mace: {}", file.problem);
  godiff::MaceOptions options;
  options.head = impl->settings.head;
  options.precision =
      impl->settings.precision == MaceNumbers::SINGLE   ? godiff::MacePrecision::SINGLE
      : impl->settings.precision == MaceNumbers::DOUBLE ? godiff::MacePrecision::DOUBLE
                                                        : godiff::MacePrecision::MODEL;
  options.device = impl->settings.device;
  options.charge = impl->settings.charge;
  options.spin = impl->settings.spin;
  options.jit = impl->settings.jit;
  impl->threads = impl->settings.threads > 0 ? impl->settings.threads : default_threads();
  // What there was before stays until the new one is known to be right.
  std::unique_ptr<godiff::MaceModel> model;
  std::string problem;
  try {
    const GODiff::ThreadScope scope(impl->threads);
    model = godiff::load_mace(file.bytes, arg[2], options);
  } catch (...) {
    problem = GODiff::caught_message();
  }
  problem = GODiff::first_problem(lmp, problem);
  if (!problem.empty())
    error->all(FLERR, place(arg[2]), "Pair style mace: {}", problem);
  const godiff::MaceInfo &info = model->info();

  std::vector<std::int64_t> species(static_cast<std::size_t>(ntypes) + 1, -1);
  for (int type = 1; type <= ntypes; ++type) {
    const char *const symbol = arg[FIRST + type - 1];
    if (std::strcmp(symbol, "NULL") == 0)
      continue;
    const auto &numbers = info.atomic_numbers;
    int z = 0;
    try {
      z = godiff::atomic_number(symbol);
    } catch (const godiff::Error &) {
    }
    const auto found = std::find(numbers.begin(), numbers.end(), z);
    if (found == numbers.end())
      error->all(FLERR, place(symbol),
                 "Pair style mace: element {} of atom type {} is not in the "
                 "model, which knows: {}",
                 symbol, type, symbols_of(info));
    species[type] = found - numbers.begin();
  }
  if (*std::max_element(species.begin(), species.end()) < 0)
    error->all(FLERR, place(arg[FIRST]),
               "Pair style mace: all types are NULL: give at least one of them a symbol");

  map_element2type(narg - FIRST, arg + FIRST);
  impl->service.reset();
  impl->mode = MaceMode::AUTO;
  impl->model = std::move(model);
  impl->species = std::move(species);
  // The trial of a rank may fail by rounding where others do not: all ranks go the same way.
  impl->why_not_by_layers = GODiff::first_problem(lmp, info.why_not_by_layers);
  print_model(arg[2]);
}

void PairMACE::check_input() {
  if (std::strcmp(update->unit_style, "metal") == 0)
    impl->energy = 1.0;
  else if (std::strcmp(update->unit_style, "real") == 0)
    impl->energy = utils::get_conversion_factor(utils::ENERGY, utils::METAL2REAL);
  else
    error->all(FLERR,
               "Pair style mace: units metal or real are needed, not {}: models are in eV and "
               "Angstrom",
               update->unit_style);
  if (!force->newton_pair)
    error->all(FLERR, "Pair style mace: this needs the command: newton on");
  if (domain->dimension == 2)
    error->all(FLERR, "Pair style mace: this needs the command: dimension 3");
  if (atom->molecular != Atom::ATOMIC)
    for (int k = 1; k <= 3; ++k)
      if (force->special_lj[k] != 1.0)
        error->all(FLERR,
                   "Pair style mace: all neighbors of an atom are needed, bonded ones too: use the "
                   "command: special_bonds lj 1.0 1.0 1.0 coul 1.0 1.0 1.0");
  if (neighbor->includegroup)
    error->all(FLERR, "Pair style mace: all atoms are needed in neighbor lists: use the command: "
                      "neigh_modify include all");
  if (neighbor->nex_type + neighbor->nex_group + neighbor->nex_mol > 0 && comm->me == 0)
    error->warning(FLERR,
                   "Pair style mace: neigh_modify exclude takes edges out of the graph, which "
                   "changes energies and forces of all atoms near by");
  if (impl->model->info().pair_repulsion && force->pair_match("^zbl", 0) && comm->me == 0)
    error->warning(FLERR,
                   "Pair style mace: this model has its own ZBL repulsion, so pair style zbl "
                   "counts it twice");
}

void PairMACE::choose_mode() {
  const MaceMode wanted = impl->settings.mode;
  const std::string &why_not = impl->why_not_by_layers;
  impl->mode = wanted;
  if (wanted == MaceMode::AUTO)
    impl->mode = comm->nprocs == 1 ? MaceMode::IMAGE
                 : why_not.empty() ? MaceMode::MESSAGE
                                   : MaceMode::GHOST;
  if (wanted == MaceMode::IMAGE && comm->nprocs > 1)
    error->all(FLERR,
               "Pair style mace: mode image is for one rank, here are {}: use pair_style mace "
               "mode auto",
               comm->nprocs);
  if (wanted == MaceMode::MESSAGE && !why_not.empty())
    error->all(FLERR,
               "Pair style mace: mode message is not possible with this model ({}): use "
               "pair_style mace mode ghost",
               why_not);
}

// What mode ghost has asked of comm_modify cutoff, unless the user has set another one since.
void PairMACE::give_back_cutoff() {
  if (impl->raised_cutoff > 0.0 && comm->cutghostuser == impl->raised_cutoff)
    comm->cutghostuser = impl->earlier_cutoff;
  impl->raised_cutoff = 0.0;
}

void PairMACE::init_style() {
  if (!impl->model)
    error->all(FLERR, "Pair style mace: pair_coeff is missing after pair_style mace");
  check_input();
  choose_mode();

  const godiff::MaceInfo &info = impl->model->info();
  comm_forward = 1;
  comm_reverse = 0;
  if (impl->mode == MaceMode::MESSAGE)
    for (const int width : info.exchange_widths) {
      comm_forward = std::max(comm_forward, GODiff::slots_of(width, info.single_precision));
      comm_reverse = comm_forward;
    }
  // LAMMPS makes its buffers as large as the outermost style says.
  force->pair->comm_forward = std::max(force->pair->comm_forward, comm_forward);
  force->pair->comm_reverse = std::max(force->pair->comm_reverse, comm_reverse);

  int flags = NeighConst::REQ_FULL;
  give_back_cutoff();
  if (impl->mode == MaceMode::GHOST) {
    flags |= NeighConst::REQ_GHOST;
    const double depth = info.layers * info.r_max + neighbor->skin;
    if (comm->mode != Comm::SINGLE)
      error->all(FLERR, "Pair style mace: mode ghost needs the command: comm_modify mode single");
    if (neighbor->style != Neighbor::BIN && neighbor->style != Neighbor::NSQ)
      error->all(FLERR, "Pair style mace: mode ghost needs the command: neighbor {} bin",
                 neighbor->skin);
    if (comm->cutghostuser < depth) {
      impl->earlier_cutoff = comm->cutghostuser;
      impl->raised_cutoff = comm->cutghostuser = depth;
    }
  }
  neighbor->add_request(this, flags);
  impl->owners_build = -1;
  impl->times.fill(0.0);
  impl->calls = 0;
  print_mode();
}

double PairMACE::init_one(int i, int j) {
  if (setflag[i][j] == 0)
    error->all(FLERR, "Pair style mace: pair_coeff is missing for types {} and {}", i, j);
  return impl->model->info().r_max;
}

void *PairMACE::extract(const char *name, int &dim) {
  if (std::strcmp(name, "mace_timing") == 0) {
    dim = 1;
    return impl->times.data();
  }
  if (std::strcmp(name, "godiff_batch") == 0 && impl->mode != MaceMode::AUTO) {
    dim = 0;
    if (!impl->service) {
      GODiff::MaceServiceOptions options;
      options.species = impl->species;
      options.energy_unit = impl->energy;
      options.max_edges = impl->settings.max_edges;
      options.threads = impl->threads;
      impl->service = std::make_unique<GODiff::MaceBatchService>(*impl->model, options);
    }
    return impl->service->interface();
  }
  return nullptr;
}

int PairMACE::pack_forward_comm(int n, int *list, double *buffer, int, int *) {
  return impl->rows.pack_forward(n, list, buffer);
}

void PairMACE::unpack_forward_comm(int n, int first, double *buffer) {
  impl->rows.unpack_forward(n, first, buffer);
}

int PairMACE::pack_reverse_comm(int n, int first, double *buffer) {
  return impl->rows.pack_reverse(n, first, buffer);
}

void PairMACE::unpack_reverse_comm(int n, int *list, double *buffer) {
  impl->rows.unpack_reverse(n, list, buffer);
}
