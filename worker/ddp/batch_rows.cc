#include "worker/ddp/batch_rows.h"

#include <algorithm>
#include <cstring>

#include "worker/data/simd.h"

namespace ferrun::ddp {
namespace {

bool can_have_row(const at::Tensor& tensor) {
  return tensor.defined() && tensor.layout() == at::kStrided && tensor.device().is_cpu() && !tensor.is_quantized() &&
         !tensor.requires_grad() && !tensor.is_conj() && !tensor.is_neg();
}

// Whether `tensor` is channels, height, width over the pixels of a decoded picture: R G B, R G B, …
bool is_interleaved(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kByte && tensor.dim() == 3 && tensor.size(0) == 3 && tensor.stride(0) == 1 &&
         tensor.stride(2) == 3 && tensor.stride(1) == 3 * tensor.size(2);
}

// Several times as fast as Tensor::copy_, which goes byte by byte.
FERRUN_SIMD_CLONES void separate_channels(const uint8_t* __restrict from, int64_t pixels, uint8_t* __restrict red,
                                          uint8_t* __restrict green, uint8_t* __restrict blue) {
  for (int64_t i = 0; i < pixels; ++i) {
    red[i] = from[3 * i];
    green[i] = from[3 * i + 1];
    blue[i] = from[3 * i + 2];
  }
}

void copy_to_row(const at::Tensor& tensor, const at::Tensor& rows, int64_t place) {
  const size_t bytes = tensor.nbytes();
  if (bytes == 0) return;
  auto* const to = static_cast<uint8_t*>(rows.mutable_data_ptr()) + static_cast<size_t>(place) * bytes;
  if (tensor.is_contiguous()) {
    std::memcpy(to, tensor.const_data_ptr(), bytes);
  } else if (is_interleaved(tensor)) {
    const int64_t pixels = tensor.size(1) * tensor.size(2);
    separate_channels(tensor.const_data_ptr<uint8_t>(), pixels, to, to + pixels, to + 2 * pixels);
  } else {
    rows.select(0, place).copy_(tensor);
  }
}

}  // namespace

void BatchRows::begin(std::span<at::Tensor* const> tensors) {
  std::vector<Column> columns(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const at::Tensor& tensor = *tensors[i];
    if (!can_have_row(tensor)) continue;
    c10::DimVector sizes{samples_};
    sizes.append(tensor.sizes().begin(), tensor.sizes().end());
    columns[i].rows = memory_->empty(sizes, tensor.scalar_type());
    columns[i].taken.resize(static_cast<size_t>(samples_));
  }
  columns_ = std::move(columns);
  begun_ = true;
}

void BatchRows::take(std::span<at::Tensor* const> tensors, int64_t place) {
  std::call_once(once_, [&] { begin(tensors); });
  if (tensors.size() != columns_.size()) unlike_ = true;
  for (size_t i = 0; i < std::min(tensors.size(), columns_.size()); ++i) {
    at::Tensor& tensor = *tensors[i];
    Column& column = columns_[i];
    if (!column.rows.defined() || !can_have_row(tensor) || tensor.scalar_type() != column.rows.scalar_type() ||
        tensor.sizes() != column.rows.sizes().slice(1)) {
      unlike_ = true;
      continue;
    }
    copy_to_row(tensor, column.rows, place);
    column.taken[static_cast<size_t>(place)] = 1;
    tensor.reset();
  }
}

std::vector<at::Tensor> BatchRows::batch() const {
  std::vector<at::Tensor> tensors;
  for (const Column& column : columns_) tensors.push_back(column.rows);
  return tensors;
}

void BatchRows::give_back(std::span<at::Tensor* const> tensors, int64_t place) const {
  for (size_t i = 0; i < std::min(tensors.size(), columns_.size()); ++i) {
    const Column& column = columns_[i];
    if (column.rows.defined() && column.taken[static_cast<size_t>(place)] != 0) {
      *tensors[i] = column.rows.select(0, place);
    }
  }
}

}  // namespace ferrun::ddp
