// SPDX-License-Identifier: GPL-2.0-only
// The batch scripts of examples/cluster, with stand-ins for Slurm.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "testing/small_search.hpp"

using namespace godiff::testing;
namespace fs = std::filesystem;

namespace {

class Batch {
public:
  Batch() : folder_(fresh_folder()) {
    const fs::path examples = fs::path(GODIFF_SOURCE_DIR) / "examples";
    fs::copy(examples / "cluster", folder_ / "cluster");
    fs::create_directories(folder_ / "godiff" / "heptamer");
    fs::copy(examples / "godiff" / "heptamer" / "data.heptamer",
             folder_ / "godiff" / "heptamer" / "data.heptamer");
    script("srun", "exec \"$MPIRUN\" -np \"$SLURM_NTASKS\" \"$@\"");
    script("sbatch", "echo \"$@\" >> submitted; echo 77");
    script("scancel", "echo \"$@\" >> cancelled");
    // Small enough for a test.
    script("lmp", "exec \"$LMP\" -var stages 2 -var samples 6 -var steps 8 "
                  "${LIMIT:+-var limit $LIMIT} \"$@\"");
  }

  // Exit status of a script of the folder with these variables of Slurm.
  int run(const std::string &name, int tasks, const std::string &variables) const {
    const std::string command =
        "cd '" + (folder_ / "cluster").string() + "' && PATH='" + (folder_ / "bin").string() +
        "':$PATH LMP='" + lmp_path() + "' MPIRUN='" + mpirun_path() +
        "' SLURM_NTASKS=" + std::to_string(tasks) + " SLURM_CPUS_PER_TASK=1 " + variables +
        " bash " + name + " > out 2>&1";
    return std::system(command.c_str());
  }

  std::string file(const std::string &name) const { return read_file(folder_ / "cluster" / name); }
  bool has(const std::string &name) const { return fs::exists(folder_ / "cluster" / name); }

private:
  void script(const std::string &name, const std::string &line) const {
    fs::create_directories(folder_ / "bin");
    std::ofstream(folder_ / "bin" / name) << "#!/bin/sh\n" << line << "\n";
    fs::permissions(folder_ / "bin" / name, fs::perms::owner_all);
  }
  fs::path folder_;
};

}  // namespace

TEST(Cluster, OneSearchOnSeveralWorlds) {
  Batch batch;
  ASSERT_EQ(batch.run("one_search.sbatch", 2, "SLURM_JOB_ID=1"), 0) << batch.file("out");
  EXPECT_EQ(parse_csv(batch.file("search.csv")).rows.size(), 12u);
  EXPECT_NE(batch.file("out").find("worlds      2 evaluate"), std::string::npos);
}

TEST(Cluster, AChainGoesOnAndEnds) {
  Batch batch;
  // The limit ends the first job within the search.
  ASSERT_EQ(batch.run("chain.sbatch", 2, "SLURM_JOB_ID=1 LIMIT=0:00:01"), 0) << batch.file("out");
  EXPECT_EQ(lines_of(batch.file("submitted")).size(), 1u);
  ASSERT_EQ(batch.run("chain.sbatch", 2, "SLURM_JOB_ID=2"), 0) << batch.file("out");
  EXPECT_EQ(parse_csv(batch.file("search.csv")).rows.size(), 12u);
  const std::size_t submitted = lines_of(batch.file("submitted")).size();
  ASSERT_EQ(batch.run("chain.sbatch", 2, "SLURM_JOB_ID=3"), 0) << batch.file("out");
  EXPECT_NE(batch.file("out").find("the search is complete"), std::string::npos);
  EXPECT_EQ(lines_of(batch.file("submitted")).size(), submitted);
  EXPECT_EQ(batch.file("submitted").find("--parsable --dependency=afterany:1 chain.sbatch"), 0u);
  EXPECT_FALSE(batch.has("cancelled"));
}

TEST(Cluster, AnInputThatFailsEndsTheChain) {
  Batch batch;
  batch.run("chain.sbatch", 2, "SLURM_JOB_ID=1 LIMIT=never");
  EXPECT_EQ(batch.file("cancelled"), "77\n");
}

TEST(Cluster, SeedsHaveFilesOfTheirOwn) {
  Batch batch;
  ASSERT_EQ(batch.run("seeds.sbatch", 1, "SLURM_ARRAY_TASK_ID=7"), 0) << batch.file("out");
  EXPECT_TRUE(batch.has("seed7.csv"));
  EXPECT_TRUE(batch.has("log.seed7"));
}
