// SPDX-License-Identifier: GPL-2.0-only
// Searches with fix godiff/kk in one process, which has one Kokkos: they do not see each other.
#include "library/instance.hpp"
#include "library/search_files.hpp"

#include <fstream>
#include <string>

#include <gtest/gtest.h>

using godiff::testing::contents;
using godiff::testing::contents_alone;
using godiff::testing::definition;
using godiff::testing::expect_same_files;
using godiff::testing::Instance;
using godiff::testing::kokkos_args;
using godiff::testing::RunOptions;
using godiff::testing::SmallSearch;
using godiff::testing::WorkingFolder;

namespace {

RunOptions with_kokkos() {
  RunOptions options;
  options.args = kokkos_args();
  return options;
}

// Another number of atoms, another network, another pair style, forces asked for, another precision.
SmallSearch other_search() {
  SmallSearch search;
  search.mobile = 3;
  search.seed = "99";
  search.temperatures = "8000 500";
  search.potential = "pair_style eam\npair_coeff 1 1 Pt_u3.eam\n";
  search.settings = "confine above 1.0 4.0 buffer 4 train 3 2 network 3.5 16 2 6 sample em 4 0.02 "
                    "guide 0.01 precision double relax 2 1e-6";
  return search;
}

}  // namespace

// The second evaluates structure by structure, and whole stages.
TEST(SearchesKokkos, TwoInstancesInTurnsDoNotSeeEachOther) {
  SKIP_WITHOUT_KOKKOS_ON_THE_HOST();
  for (const char *evaluate : {"", "evaluate batch stacked"}) {
    SCOPED_TRACE(evaluate);
    SmallSearch first, second = other_search();
    second.words = evaluate;
    first.commands = second.commands = "run 1\nrun 1\nrun 1\nrun 1\nrun 1\nrun 1\n";
    const auto first_alone = contents_alone(first, with_kokkos()),
               second_alone = contents_alone(second, with_kokkos());
    first.words += " save first";
    second.words += " save second";

    const WorkingFolder folder(first.data());
    {
      Instance a("a", kokkos_args()), b("b", kokkos_args());
      a.run(definition(first));
      std::ofstream("data.slab") << second.data();
      b.run(definition(second));
      for (int k = 0; k < 6; ++k) {
        a.run("run 1");
        b.run("run 1");
      }
      a.run("info fixes");
      EXPECT_NE(a.screen().find("style = godiff/kk"), std::string::npos) << a.screen();
    }
    expect_same_files(contents("first"), first_alone);
    expect_same_files(contents("second"), second_alone);
  }
}

// The style of the host beside that of KOKKOS.
TEST(SearchesKokkos, AnInstanceWithoutKokkosBesideOneWithIt) {
  SKIP_WITHOUT_KOKKOS_ON_THE_HOST();
  SmallSearch first = other_search(), second = other_search();
  second.seed = "100";
  const auto first_alone = contents_alone(first),
             second_alone = contents_alone(second, with_kokkos());
  first.words += " save first";
  second.words += " save second";
  const WorkingFolder folder(first.data());
  {
    Instance plain("plain"), kokkos("kokkos", kokkos_args());
    plain.run(definition(first));
    kokkos.run(definition(second));
    for (int k = 0; k < 3; ++k) {
      plain.run("run 2");
      kokkos.run("run 2");
    }
  }
  expect_same_files(contents("first"), first_alone);
  expect_same_files(contents("second"), second_alone);
}
