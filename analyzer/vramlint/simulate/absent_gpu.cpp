// A CUDA device that exists in name only, so that autograd, autocast and the optimizers of a torch without CUDA,
// or of one without a GPU, accept tensors that have a device but no data. Nothing here ever runs a kernel.
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

namespace {

constexpr auto kind = c10::DeviceType::CUDA;

// torch's own guard without effect names device -1; autograd wants streams of the device that tensors are on.
struct AbsentGuard final : c10::impl::NoOpDeviceGuardImpl<kind> {
  c10::Device getDevice() const override { return {kind, 0}; }
  c10::Device exchangeDevice(c10::Device) const override { return {kind, 0}; }
  c10::Stream getStream(c10::Device) const noexcept override { return only(); }
  c10::Stream getDefaultStream(c10::Device) const override { return only(); }
  c10::Stream getNewStream(c10::Device, int) const override { return only(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return only(); }
  void record(void**, const c10::Stream&, const c10::DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }

 private:
  static c10::Stream only() { return c10::Stream(c10::Stream::DEFAULT, c10::Device(kind, 0)); }
};

c10::impl::DeviceGuardImplRegistrar guard(kind, new AbsentGuard());

// What torch asks before it looks at a CUDA tensor: whether there is a device, and which convolutions cuDNN would take.
// They go before those of a torch with CUDA, which find no device.
struct AbsentHooks final : at::CUDAHooksInterface {
  explicit AbsentHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasCUDA() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return false; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  bool compiledWithCuDNN() const override { return true; }
  bool hasCuDNN() const override { return true; }
  // not in every version of torch, so without `override`
  long versionCuDNN() const { return 90000; }
  long versionRuntimeCuDNN() const { return 90000; }
  bool supportsDilatedConvolutionWithCuDNN() const override { return true; }
  bool supportsDepthwiseConvolutionWithCuDNN() const override { return true; }
  double batchnormMinEpsilonCuDNN() const override { return 1e-5; }
};

using at::CUDAHooksArgs;
using at::CUDAHooksRegistry;
using at::RegistererCUDAHooksRegistry;
C10_REGISTER_CLASS_WITH_PRIORITY(CUDAHooksRegistry, CUDAHooks, c10::REGISTRY_PREFERRED, AbsentHooks)

}  // namespace
