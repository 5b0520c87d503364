// SPDX-License-Identifier: GPL-2.0-only
// What load_mace() says about files that it cannot use, and what its options do.
#include <cmath>
#include <cstdlib>
#include <sstream>
#include <string>

#include <gtest/gtest.h>
#include <malloc.h>
#include <torch/script.h>

#include "core/mace/host_memory.hpp"
#include "core/mace/model.hpp"
#include "mace/golden_models.hpp"
#include "temporary_folder.hpp"

namespace {

using godiff::Error;
using godiff::load_mace;
using godiff::MaceOptions;
using godiff_test::message_of;

const std::string EXPORT =
    ": export the model with mace_create_lammps_model MODEL, which writes MODEL-lammps.pt";

std::string refusal(const std::string &bytes, const MaceOptions &options = MaceOptions()) {
  return message_of<Error>([&] { load_mace(bytes, "X.pt", options); });
}

std::string bytes_of(const std::string &file) {
  return godiff_test::content(golden_models::path(file));
}

// A model written by hand: its class, one line of its forward function, and what it has.
struct Crafted {
  std::string kind = "MACE";
  // A harmonic spring of each edge.
  std::string energies = "torch.zeros_like(data['positions'][:, 0]).index_add(0, "
                         "data['edge_index'][1], torch.sum(data['shifts'] ** 2, 1)) - 1.0";
  double r_max = 4.0;
  std::vector<std::int64_t> numbers = {78};
  std::int64_t head = 0;
  c10::ScalarType dtype = c10::kDouble;
  std::string without;

  std::string bytes() const {
    torch::jit::Module inner("__torch__." + kind);
    inner.define("def forward(self, data: Dict[str, Tensor]) -> Dict[str, Tensor]:\n"
                 "  return {'node_energy': " +
                 energies + "}\n");
    torch::jit::Module outer("__torch__.LAMMPS_MACE");
    outer.register_module("model", inner);
    const auto add = [&](const char *name, const at::Tensor &tensor) {
      if (name != without)
        outer.register_buffer(name, tensor);
    };
    add("atomic_numbers", at::tensor(numbers, c10::kLong));
    add("r_max", at::scalar_tensor(r_max, dtype));
    add("num_interactions", at::scalar_tensor(1, c10::kLong));
    add("head", at::full({1}, head, c10::kLong));
    std::ostringstream stream;
    outer.save(stream);
    return stream.str();
  }
};

TEST(MaceFiles, OtherFilesAreNamed) {
  EXPECT_EQ(refusal(""), "model file X.pt is empty" + EXPORT);
  EXPECT_EQ(refusal("# units: metal\n"), "model file X.pt is not a TorchScript file" + EXPORT);
  EXPECT_EQ(refusal(bytes_of("refused/pickled.model")),
            "model file X.pt is a pickled Python model, not TorchScript" + EXPORT);
  EXPECT_EQ(refusal("\x80\x02}q"),
            "model file X.pt is a pickled Python model, not TorchScript" + EXPORT);
  EXPECT_EQ(refusal(bytes_of("refused/mliap.pt")),
            "model file X.pt is a model for pair_style mliap, which needs Python" + EXPORT);
  EXPECT_EQ(refusal(bytes_of("refused/linear.pt")),
            "model file X.pt is TorchScript of class Linear but no MACE model for LAMMPS, it lacks "
            "model, atomic_numbers, r_max, num_interactions, head" +
                EXPORT);
}

TEST(MaceFiles, DamagedFilesAreRefused) {
  const std::string whole = golden_models::bytes("pt_one_layer");
  for (const double part : {0.01, 0.3, 0.7, 0.999}) {
    const std::string message = refusal(
        whole.substr(0, static_cast<std::size_t>(part * static_cast<double>(whole.size()))));
    EXPECT_EQ(message.rfind("model file X.pt is damaged or cut off", 0), 0u) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  // Zeros in the table of contents, at the end.
  std::string damaged = whole;
  damaged.replace(damaged.size() - 2000, 1000, 1000, '\0');
  const std::string message = refusal(damaged);
  EXPECT_EQ(message.rfind("model file X.pt is damaged or cut off (", 0), 0u) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

// What torch.save writes of a model that has TorchScript in it, as those of e3nn.
TEST(MaceFiles, PickledModelsWithScripts) {
  std::string pickle = golden_models::bytes("pt_one_layer");
  const std::string name = "/constants.pkl";
  for (auto at = pickle.find(name); at != std::string::npos; at = pickle.find(name, at + 1))
    pickle.replace(at, name.size(), "/more_data.pkl");
  EXPECT_EQ(refusal(pickle), "model file X.pt is a pickled Python model, not TorchScript" + EXPORT);
}

TEST(MaceFiles, DamagedNumbersAreRefused) {
  const std::string whole = golden_models::bytes("pt_one_layer");
  int refused = 0;
  constexpr int PLACES = 30;
  for (int k = 1; k < PLACES; ++k) {
    std::string damaged = whole;
    damaged[whole.size() * static_cast<std::size_t>(k) / PLACES] ^= 0x10;
    const std::string message = refusal(damaged);
    if (message.empty())
      continue;  // between the parts
    ++refused;
    EXPECT_EQ(message.rfind("model file X.pt is damaged or cut off (", 0), 0u) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
  EXPECT_GT(refused, PLACES / 2);
}

TEST(MaceFiles, ModelsThatLackSomething) {
  EXPECT_EQ(refusal(Crafted().bytes()), "");
  for (const char *name : {"atomic_numbers", "r_max", "num_interactions", "head"}) {
    Crafted model;
    model.without = name;
    EXPECT_EQ(refusal(model.bytes()),
              "model file X.pt is TorchScript of class LAMMPS_MACE but no MACE model for LAMMPS, "
              "it lacks " +
                  std::string(name) + EXPORT);
  }
  Crafted model;
  model.r_max = -1.0;
  EXPECT_EQ(refusal(model.bytes()),
            "model file X.pt has cutoff -1.000000, 1 layers and 1 elements" + EXPORT);
  model = Crafted();
  model.numbers.clear();
  EXPECT_EQ(refusal(model.bytes()),
            "model file X.pt has cutoff 4.000000, 1 layers and 0 elements" + EXPORT);
  model = Crafted();
  model.head = 1;
  EXPECT_EQ(refusal(model.bytes()), "model file X.pt was exported with head 1 of 1" + EXPORT);
  model = Crafted();
  model.dtype = c10::kHalf;
  EXPECT_EQ(refusal(model.bytes()), "model file X.pt has numbers of type Half: add the keyword "
                                    "'precision' with single or double");
}

TEST(MaceFiles, ModelsOfOtherKinds) {
  EXPECT_EQ(
      refusal(bytes_of("refused/dipoles.pt")),
      "model file X.pt does not work: a model of class Dipoles gives no energies of atoms, it "
      "is not supported");
  for (const char *kind : {"PolarMACE", "MACELES"}) {
    Crafted model;
    model.kind = kind;
    EXPECT_EQ(refusal(model.bytes()), "model file X.pt is a model of class " + std::string(kind) +
                                          ", which is not supported: use one of class MACE or "
                                          "ScaleShiftMACE");
  }
  Crafted model;
  model.energies = "data['fermi_level'] * data['positions'][:, 0]";
  EXPECT_EQ(refusal(model.bytes()),
            "model file X.pt needs the input 'fermi_level', which is not supported");
}

// What the trial at loading finds: energies that depend on other structures, on the orientation, that
// are not numbers; scripts that fail.
TEST(MaceFiles, ModelsThatAreNoPotentials) {
  const auto message = [](const std::string &energies) {
    Crafted model;
    model.energies = energies;
    return refusal(model.bytes());
  };
  const std::string failed = "model file X.pt does not work: ";
  EXPECT_EQ(message("torch.sum(data['shifts'] ** 2) * torch.ones_like(data['positions'][:, 0])")
                .rfind(failed + "energies of two clusters together and one by one differ: ", 0),
            0u);
  EXPECT_EQ(message("torch.zeros_like(data['positions'][:, 0]).index_add(0, data['edge_index'][1], "
                    "data['shifts'][:, 0] ** 2)")
                .rfind(failed + "a cluster has a torque of ", 0),
            0u);
  EXPECT_EQ(
      message("torch.sqrt(-1.0 - data['positions'][:, 0] ** 2) + 0.0 * torch.sum(data['shifts'])"),
      failed + "the energy of a small cluster is not finite");
  EXPECT_EQ(message("data['positions'][:, 0] - 1.0"),
            failed +
                "the energies of atoms do not depend on their positions, export the model with "
                "another version of mace-torch");
  EXPECT_EQ(message("torch.ones(2) + torch.ones(3)")
                .rfind(failed + "the MACE model failed (5 atoms, 8 edges in a call): The size of "
                                "tensor a (2) must match the size of tensor b (3)",
                       0),
            0u);
}

// A class that is not known is evaluated as a whole only.
TEST(MaceFiles, WhyNotByLayers) {
  Crafted model;
  EXPECT_EQ(load_mace(model.bytes(), "X.pt", MaceOptions())->info().why_not_by_layers,
            "the model has no parts 'interactions'");
  model.kind = "Other";
  const auto other = load_mace(model.bytes(), "X.pt", MaceOptions());
  EXPECT_EQ(other->info().why_not_by_layers, "the class Other is unknown");
  class Nothing : public godiff::MaceExchange {
    void to_ghosts(float *, int) override {}
    void to_ghosts(double *, int) override {}
    void to_owners(float *, int) override {}
    void to_owners(double *, int) override {}
  } exchange;
  godiff::MaceResult result;
  EXPECT_EQ(message_of<Error>(
                [&] { other->evaluate_layers(godiff::MaceGraph(), 0, false, exchange, result); }),
            "the MACE model cannot be evaluated by layers: the class Other is unknown");
}

TEST(MaceFiles, ChargeAndSpin) {
  const std::string bytes = bytes_of("refused/needs_charge.pt");
  MaceOptions options;
  EXPECT_EQ(refusal(bytes, options),
            "model file X.pt needs the total charge of the structures: add "
            "the keyword 'charge' with its value");
  options.charge = -2.0;
  EXPECT_EQ(refusal(bytes, options), "model file X.pt needs the total spin of the structures: add "
                                     "the keyword 'spin' with its value");
  options.spin = 3.0;
  const auto model = load_mace(bytes, "X.pt", options);
  godiff::MaceGraph graph;
  graph.species = {0, 0};
  graph.first_node = {0, 1, 2};
  godiff::MaceResult result;
  model->evaluate(graph, false, result);
  // An atom alone: -1 + 0.5 q^2 + 0.25 s.
  const double energy = -1.0 + 0.5 * 4.0 + 0.25 * 3.0;
  EXPECT_EQ(result.energies, (std::vector<double>{energy, energy}));
  EXPECT_NE(model->info().why_not_by_layers, "");
}

TEST(MaceFiles, Heads) {
  MaceOptions options;
  options.head = "bulk";
  EXPECT_EQ(refusal(golden_models::bytes("pto_two_heads"), options),
            "model file X.pt has no head 'bulk', use one of: surface oxide");
  EXPECT_EQ(refusal(golden_models::bytes("pt_one_layer"), options),
            "model file X.pt has no head 'bulk', use one of: Default");
}

TEST(MaceFiles, ChargeAndSpinThatNobodyAskedFor) {
  MaceOptions options;
  options.charge = 1.0;
  EXPECT_EQ(refusal(golden_models::bytes("pt_one_layer"), options),
            "model file X.pt knows no total charge: leave out the keyword 'charge'");
  options = MaceOptions();
  options.spin = 2.0;
  EXPECT_EQ(refusal(golden_models::bytes("pt_one_layer"), options),
            "model file X.pt knows no total spin: leave out the keyword 'spin'");
}

TEST(MaceFiles, Devices) {
  MaceOptions options;
  const std::string bytes = golden_models::bytes("pt_one_layer");
  options.device = "gpu";
  EXPECT_EQ(refusal(bytes, options), "device is 'gpu' but must be auto, cpu, cuda or cuda:N");
  options.device = "cuda:99";
  EXPECT_EQ(refusal(bytes, options).rfind("device cuda:99: ", 0), 0u);
  EXPECT_GE(godiff::count_cuda_devices(), 0);
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// Whether a block of 64 MB has memory of its own, which goes back when it is freed.
bool large_blocks_go_back() {
  const auto before = mallinfo2().hblks;
  void *volatile block = std::malloc(64 << 20);
  const bool mapped = mallinfo2().hblks > before;
  std::free(block);
  return mapped;
}

[[noreturn]] void keep_memory_and_exit(const char *wish) {
  if (wish)
    setenv("GODIFF_MALLOPT", wish, 1);
  else
    unsetenv("GODIFF_MALLOPT");
  const bool before = large_blocks_go_back();
  godiff::keep_freed_memory();
  std::_Exit((before ? 2 : 0) + (large_blocks_go_back() ? 1 : 0));
}

TEST(MaceFilesDeathTest, FreedMemoryIsKept) {
  // Each in a process of its own, as what is set stays.
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(keep_memory_and_exit(nullptr), testing::ExitedWithCode(2), "");
  EXPECT_EXIT(keep_memory_and_exit("0"), testing::ExitedWithCode(3), "");
}
#else
TEST(MaceFilesDeathTest, FreedMemoryIsKept) {
  GTEST_SKIP() << "memory is not that of glibc, or a sanitizer has it";
}
#endif

}  // namespace
