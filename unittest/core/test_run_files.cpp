// SPDX-License-Identifier: GPL-2.0-only
#include "core/search/run_files.hpp"

#include <filesystem>

#include <gtest/gtest.h>

#include "core/base/error.hpp"
#include "core/io/safetensors.hpp"
#include "temporary_folder.hpp"
#include "toy_search.hpp"

namespace {

using godiff::RunFileOptions;
using godiff::RunFiles;
using godiff::SafeTensors;
using godiff::Search;
using godiff::Settings;
using godiff_test::content;
using godiff_test::evaluate_one;
using godiff_test::springs;
using godiff_test::TemporaryFolder;
using godiff_test::toy_settings;
using godiff_test::toy_system;

// A search of many short stages that learns nothing.
Settings many_stages(int stages) {
  Settings s = toy_settings();
  s.stages = stages;
  s.samples = 5;
  s.sample = godiff::SampleKind::PRIOR;
  s.train = false;
  return s;
}

void run_stage(Search &search, RunFiles &files) {
  search.prepare({});
  while (search.has_request()) {
    evaluate_one(search, springs());
    files.record(search);
  }
}

std::int64_t structures_in(const std::string &checkpoint) {
  return SafeTensors::read(checkpoint).get("archive.numbers").size(0);
}

TEST(RunFiles, SmallArchivesAreInACheckpointAfterEveryStage) {
  TemporaryFolder folder;
  RunFileOptions options;
  options.prefix = folder.file("g");
  Search search(toy_system(), many_stages(30));
  search.set_reference(0.0);
  RunFiles files = RunFiles::create(options, toy_system());
  for (int stage = 1; stage <= 30; ++stage) {
    run_stage(search, files);
    EXPECT_TRUE(files.update_checkpoint(search));
    EXPECT_EQ(structures_in(folder.file("g.ckpt")), 5 * stage);
  }
}

TEST(RunFiles, CheckpointsOfALongSearchAreAMultipleOfItsArchive) {
  constexpr int STAGES = 400;
  TemporaryFolder folder;
  RunFileOptions options;
  options.prefix = folder.file("g");
  options.small_archive = 0;
  Search search(toy_system(), many_stages(STAGES));
  search.set_reference(0.0);
  RunFiles files = RunFiles::create(options, toy_system());
  std::int64_t written = 0;
  for (int stage = 1; stage <= STAGES; ++stage) {
    run_stage(search, files);
    const std::int64_t all = 5 * stage;
    if (files.update_checkpoint(search)) {
      EXPECT_EQ(structures_in(folder.file("g.ckpt")), all);
      written += all;
    }
    EXPECT_GT(9 * structures_in(folder.file("g.ckpt")), 8 * all) << "an eighth is missing at most";
  }
  // 1 + 8/9 + (8/9)^2 + ... = 9 times the last; after every stage it would be 200 times.
  EXPECT_LE(written, 9 * 5 * STAGES);
  EXPECT_GT(written, 5 * STAGES);
  files.write_checkpoint(search);
  EXPECT_EQ(structures_in(folder.file("g.ckpt")), 5 * STAGES);
  EXPECT_EQ(search.archive().bytes(),
            static_cast<std::int64_t>(5 * STAGES * (sizeof(godiff::Record) + 6 * sizeof(double))));
}

TEST(RunFiles, ContinueWhereTheStateWasSaved) {
  TemporaryFolder folder;
  RunFileOptions options;
  options.prefix = folder.file("g");
  Search search(toy_system(), many_stages(4));
  search.set_reference(0.0);
  SafeTensors state;
  {
    RunFiles files = RunFiles::create(options, toy_system());
    run_stage(search, files);
    state = search.save();
    files.save(state);
    run_stage(search, files);
  }
  const std::string csv = content(folder.file("g.csv")), xyz = content(folder.file("g.xyz"));
  Search again(toy_system(), many_stages(4));
  again.restore(state);
  {
    RunFiles files = RunFiles::resume(options, toy_system(), state);
    EXPECT_LT(std::filesystem::file_size(folder.file("g.xyz")), xyz.size());
    run_stage(again, files);
  }
  EXPECT_EQ(content(folder.file("g.csv")), csv);
  EXPECT_EQ(content(folder.file("g.xyz")), xyz);
}

TEST(RunFiles, TheTemplateOfAStateMustBeSomewhere) {
  Search search(toy_system(), many_stages(2));
  SafeTensors state = search.save();
  EXPECT_EQ(godiff::template_positions(state), toy_system().template_positions);
  const at::Tensor good = state.get("search.template_positions");
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL, 1e12}) {
    at::Tensor t = good.clone();
    t.data_ptr<double>()[4] = bad;
    state.put("search.template_positions", t);
    const std::string message =
        godiff_test::message_of<godiff::Error>([&] { godiff::template_positions(state); });
    EXPECT_EQ(message.find("the checkpoint is damaged: a coordinate of the template is "), 0u)
        << bad << ": " << message;
  }
  state.put("search.template_positions", good.to(at::kFloat));
  EXPECT_THROW(godiff::template_positions(state), godiff::Error);
}

}  // namespace
