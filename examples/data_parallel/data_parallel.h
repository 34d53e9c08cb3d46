// One process, several devices: torch.nn.DataParallel's forward for LibTorch, on GPUs or on the CPU, where a "device"
// is a thread with a copy of the module. (LibTorch's own torch::nn::parallel::data_parallel scatters to GPUs alone.)
//
// Each forward copies the weights to all devices (replicate), gives each a part of the batch (scatter), computes the
// parts in a thread for each (parallel_apply), and brings the outputs together on the first device (gather). All of it
// is seen by autograd: backward() of a loss of the output leaves in the module's parameters the sum of all parts'
// gradients, and an optimizer of these parameters knows nothing of the devices. Backwards, autograd has a thread for
// each GPU; replicas on the CPU go one after the other.
//
// As under PyTorch, BatchNorm in training mode normalises each part by itself, and keeps the running statistics of the
// first device's part alone.
#pragma once

#include <c10/core/Device.h>
#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace ferrun::examples {

// Seconds of one forward. What autograd does later, backwards, is in none of them.
struct ForwardTimes {
  double replicate = 0;
  double scatter = 0;
  double compute = 0;
  double gather = 0;
};

class DataParallel {
 public:
  struct Replica {
    std::shared_ptr<torch::nn::Module> module;
    std::function<at::Tensor(const at::Tensor&)> forward;  // of that module
    c10::Device device;                                    // on which that module is
  };

  // `replicas`: the first is the module that is trained, the others have its shape and are written over in each
  // forward. At least one; std::invalid_argument where parameters or buffers differ in number, shape or type.
  // `threads`: of each replica's computation on the CPU; 0: LibTorch's default.
  explicit DataParallel(std::vector<Replica> replicas, int threads = 0);

  // `input`: N samples along dimension 0, N > 0; a batch smaller than the devices leaves the last ones idle. Returns
  // the outputs of all N in their order, on the first replica's device. Its backward() comes before the next forward,
  // which changes the replicas' weights. What a replica throws is thrown here, the first device's first.
  at::Tensor forward(const at::Tensor& input);

  const ForwardTimes& times() const { return times_; }

 private:
  void replicate(size_t count);
  std::vector<at::Tensor> compute(const std::vector<at::Tensor>& parts);

  std::vector<Replica> replicas_;
  int threads_;
  ForwardTimes times_;
};

// For a module holder such as TORCH_MODULE makes: `make` gives another module of the same shape.
template <typename Holder>
DataParallel data_parallel(Holder module, const std::function<Holder()>& make, const std::vector<c10::Device>& devices,
                           int threads = 0) {
  std::vector<DataParallel::Replica> replicas;
  for (size_t i = 0; i < devices.size(); ++i) {
    Holder replica = i == 0 ? module : make();
    replica->to(devices[i]);
    replicas.push_back(
        {replica.ptr(), [replica](const at::Tensor& part) mutable { return replica->forward(part); }, devices[i]});
  }
  return DataParallel(std::move(replicas), threads);
}

}  // namespace ferrun::examples
