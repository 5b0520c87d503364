// SPDX-License-Identifier: GPL-2.0-only
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.hpp"
#include "core/mace/graph.hpp"

namespace godiff {

/// The device has not enough memory for a graph: a smaller one may do.
class MaceOutOfMemory : public Error {
public:
  using Error::Error;
};

/// What is known of a model after it has been loaded.
struct MaceInfo {
  std::string kind;                  ///< class of the model in mace-torch, as "ScaleShiftMACE"
  bool single_precision = false;     ///< float32, else float64
  double r_max = 0.0;                ///< cutoff (Angstrom)
  int layers = 0;                    ///< interactions
  std::vector<int> atomic_numbers;   ///< in the order of the species
  std::vector<std::string> heads;    ///< at least one
  int head = 0;                      ///< the one in use
  bool pair_repulsion = false;       ///< ZBL is part of the model
  std::int64_t parameters = 0;       ///< numbers in the weights
  std::string device;                ///< as "cpu", "cuda:0"
  std::string why_not_by_layers;     ///< why evaluate_layers() cannot be used; empty: it can
  std::vector<int> exchange_widths;  ///< numbers per node that travel before layers 1, 2, ...
};

enum class MacePrecision { MODEL, SINGLE, DOUBLE };

/// How a model is to be used.
struct MaceOptions {
  std::string head;  ///< empty: the one that the file was exported with
  MacePrecision precision = MacePrecision::MODEL;  ///< the model is converted after loading
  std::string device = "cpu";                      ///< as LibTorch writes it: "cpu", "cuda:1"
  std::optional<double> charge, spin;              ///< total, for models that need them
  bool jit = false;                                ///< let TorchScript optimise while it runs
};

/// What a model says about a graph; energies in eV.
struct MaceResult {
  std::vector<double> energies;        ///< [n_graphs] sum over the nodes that count
  std::vector<double> node_energies;   ///< [n_nodes] isolated atom included; of all nodes with
                                       ///< evaluate(), of the owned ones with evaluate_layers()
  std::vector<double> edge_gradients;  ///< [3*n_edges] dE/dvector, eV/Angstrom; empty: not wanted
};

/// A graph in the memory of the device of a model, which is looked at where it lies. Numbers mean what
/// those of MaceGraph do. Everything must have been written when a function gets it.
struct MaceDeviceGraph {
  std::int64_t n_graphs = 0;
  std::int64_t n_nodes = 0;
  std::int64_t n_edges = 0;
  const std::int64_t *first_node = nullptr;  ///< [n_graphs + 1], on the host; null: one graph
  const std::int64_t *species = nullptr;     ///< [n_nodes]
  const unsigned char *counted = nullptr;    ///< [n_nodes]; null: all count
  const std::int64_t *ends = nullptr;        ///< senders [n_edges], receivers from `ends_stride` on
  std::int64_t ends_stride = 0;              ///< at least n_edges
  const void *vectors = nullptr;  ///< [n_edges][3] of the precision of the model, Angstrom
  std::int64_t vector_strides[2] = {3, 1};  ///< numbers from edge to edge, from x to y
};

/// What a model says about a graph on its device, in the memory of the model until the next call of any
/// of its functions; complete when the function returns.
struct MaceDeviceResult {
  const double *node_energies = nullptr;  ///< as MaceResult::node_energies
  const void *edge_gradients = nullptr;   ///< [n_edges][3] of the precision of the model; null: not
                                          ///< wanted, or there are no edges
  std::int64_t gradient_strides[2] = {3, 1};
};

/// How the features of nodes travel between ranks, for evaluate_layers(). Rows are numbers of the
/// precision of the model, `width` per node, [n_nodes * width], owned nodes first. Collective: all
/// ranks call with the same widths in the same order, a rank without nodes as well.
class MaceExchange {
public:
  virtual ~MaceExchange() = default;
  /// Whether rows are to be in the memory of the device of the model, else of the host. The rows have been
  /// written when a function gets them, and must be when it returns.
  virtual bool on_device() const { return false; }
  /// The rows of the owned nodes are set; fills those of the ghosts.
  virtual void to_ghosts(float *rows, int width) = 0;
  virtual void to_ghosts(double *rows, int width) = 0;
  /// Adds the rows of the ghosts to those of their owners, of other ranks too.
  virtual void to_owners(float *rows, int width) = 0;
  virtual void to_owners(double *rows, int width) = 0;
};

/// Seconds spent in a model since it was loaded.
struct MaceTimes {
  double forward = 0.0;
  double backward = 0.0;
};

/// A machine-learned potential of the MACE family, behind whatever runs it. Rank-local, no MPI.
/// All functions throw godiff::Error with a complete message.
class MaceModel {
public:
  virtual ~MaceModel() = default;

  virtual const MaceInfo &info() const = 0;
  virtual const MaceTimes &times() const = 0;

  /// Energies of all graphs, and with `gradients` dE/dvector of the energies that count, from one
  /// backward pass. Throws MaceOutOfMemory when the device has not enough.
  virtual void evaluate(const MaceGraph &graph, bool gradients, MaceResult &result) = 0;

  /// As evaluate() of a single graph that several ranks share: the first `n_owned` nodes are theirs,
  /// the others are copies of nodes of other ranks one cutoff deep, with edges into owned nodes only.
  /// `counted` is not looked at. Energies are those of the owned nodes; gradients those of the energy
  /// of all ranks. Only when info().why_not_by_layers is empty.
  virtual void evaluate_layers(const MaceGraph &graph, std::int64_t n_owned, bool gradients,
                               MaceExchange &exchange, MaceResult &result) = 0;

  /// As evaluate() of a graph on the device of the model. Only the numbers of nodes and edges are looked
  /// at before the model gets it: species and ends must be right.
  virtual void evaluate_on_device(const MaceDeviceGraph &graph, bool gradients,
                                  MaceDeviceResult &result) = 0;

  /// As evaluate_layers() of a graph on the device of the model, whose rows may be there as well.
  virtual void evaluate_layers_on_device(const MaceDeviceGraph &graph, std::int64_t n_owned,
                                         bool gradients, MaceExchange &exchange,
                                         MaceDeviceResult &result) = 0;
};

/// Loads a TorchScript file as mace_create_lammps_model of mace-torch writes it (0.3.10 to 0.3.16) and
/// tries it on two small graphs. `bytes` is the content of the file, `name` how messages call it.
/// Throws godiff::Error saying what was found instead, which head or device there is, what is missing.
std::unique_ptr<MaceModel> load_mace(const std::string &bytes, const std::string &name,
                                     const MaceOptions &options);

/// CUDA devices that this LibTorch can use: their number, 0 also for a LibTorch without CUDA.
int count_cuda_devices();

}  // namespace godiff
