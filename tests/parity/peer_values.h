// Values that the Python peer saved with torch.save, read by our reader, and how far ours are from them.
#pragma once

#include <string>
#include <vector>

#include "tests/parity/data_peer.h"
#include "worker/checkpoint/value.h"

namespace ferrun::parity {

// An entry that must be there; fails the test and returns an empty value otherwise.
const checkpoint::Value& entry(const checkpoint::Value& dict, const std::string& key);
at::Tensor tensor(const checkpoint::Value& dict, const std::string& key);
std::vector<at::Tensor> tensors(const checkpoint::Value& dict, const std::string& key);

// Reads a checkpoint that must be readable; fails the test and returns an empty value otherwise.
checkpoint::Value read_file(const std::filesystem::path& path);

double largest_difference(const at::Tensor& ours, const at::Tensor& theirs);
// The norm of the difference as a part of theirs.
double relative_difference(const at::Tensor& ours, const at::Tensor& theirs);

// A test whose peer leaves its results as checkpoints.
class PeerValueTest : public PeerTest {
 protected:
  checkpoint::Value load(const std::string& name) const { return read_file(result(name)); }
};

}  // namespace ferrun::parity
