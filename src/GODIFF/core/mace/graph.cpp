// SPDX-License-Identifier: GPL-2.0-only
#include "core/mace/graph.hpp"

namespace godiff {

void MaceGraph::clear() {
  first_node.assign(1, 0);
  species.clear();
  counted.clear();
  senders.clear();
  receivers.clear();
  vectors.clear();
}

}  // namespace godiff
