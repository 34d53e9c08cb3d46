#include "worker/data/dataset.h"

#include <cstdio>
#include <string_view>

#include "worker/data/random.h"

namespace ferrun::data {
namespace {

// FNV-1a over the bytes of what comes, each value closed off by its length, so that "ab", "c" is not "a", "bc".
class Fingerprint {
 public:
  void add(std::string_view text) {
    for (const char byte : text) step(static_cast<uint8_t>(byte));
    add(static_cast<uint64_t>(text.size()));
  }
  void add(uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) step(static_cast<uint8_t>(number >> shift));
  }
  void add(const Dataset& dataset) {
    add(static_cast<uint64_t>(dataset.classes().size()));
    for (const std::string& name : dataset.classes()) add(name);
    add(static_cast<uint64_t>(dataset.size()));
    for (int64_t i = 0; i < dataset.size(); ++i) {
      add(dataset.identity(i));
      add(static_cast<uint64_t>(dataset.label(i)));
    }
  }

  std::string text() const {
    char digits[24];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(mix64(state_)));
    return digits;
  }

 private:
  void step(uint8_t byte) { state_ = (state_ ^ byte) * 0x100000001b3u; }

  uint64_t state_ = 0xcbf29ce484222325u;
};

}  // namespace

std::string dataset_fingerprint(const Dataset& dataset) {
  Fingerprint fingerprint;
  fingerprint.add(dataset);
  return fingerprint.text();
}

std::string dataset_fingerprint(const Split& split) {
  Fingerprint fingerprint;
  for (const Dataset* part : {split.train.get(), split.val.get(), split.test.get()}) {
    fingerprint.add(uint64_t{part != nullptr});
    if (part != nullptr) fingerprint.add(*part);
  }
  return fingerprint.text();
}

}  // namespace ferrun::data
