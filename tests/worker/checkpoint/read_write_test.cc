// Values and tensors through a file and back.
#include <ATen/ops/arange.h>
#include <ATen/ops/conj.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/imag.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/quantize_per_tensor.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/zeros.h>
#include <caffe2/serialize/inline_container.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/temporary_directory.h"
#include "worker/checkpoint/archive_writer.h"
#include "worker/checkpoint/background_writer.h"
#include "worker/checkpoint/reader.h"
#include "worker/checkpoint/writer.h"
#include "worker/checkpoint/zip_writer.h"

namespace ferrun::checkpoint {
namespace {

namespace fs = std::filesystem;

class ReadWrite : public ::testing::Test {
 protected:
  Value round_trip(const Value& value) const {
    const Status wrote = write_atomically(path_, value);
    EXPECT_TRUE(wrote.ok()) << wrote.error().message;
    auto back = read(path_);
    EXPECT_TRUE(back.ok()) << back.error().message;
    return back.ok() ? *back : Value();
  }
  std::string content(const fs::path& path) const {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  const testing::TemporaryDirectory directory_;
  const fs::path& folder_ = directory_.path();
  std::string path_ = (folder_ / "a.pt").string();
};

TEST_F(ReadWrite, TensorsOfEveryTypeComeBackBitForBit) {
  for (at::ScalarType type : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort,
                              at::kChar, at::kByte, at::kBool, at::kComplexFloat, at::kComplexDouble}) {
    const at::Tensor given = at::rand({3, 5}).mul(100).to(type);
    const Value back = round_trip(given);
    const at::Tensor* tensor = back.get<at::Tensor>();
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->scalar_type(), type);
    EXPECT_TRUE(tensor->equal(given)) << type;
  }
}

TEST_F(ReadWrite, ScalarsAndEmptyTensorsKeepTheirShape) {
  const Value back = round_trip(List{at::zeros({}), at::zeros({0}), at::zeros({2, 0, 3})});
  const List& list = *back.get<List>();
  EXPECT_EQ(list[0].get<at::Tensor>()->dim(), 0);
  EXPECT_EQ(list[1].get<at::Tensor>()->sizes().vec(), (std::vector<int64_t>{0}));
  EXPECT_EQ(list[2].get<at::Tensor>()->sizes().vec(), (std::vector<int64_t>{2, 0, 3}));
}

TEST_F(ReadWrite, ASliceDoesNotDragItsStorageAlong) {
  const at::Tensor large = at::rand({1000, 1000});
  const Value back = round_trip(large.select(1, 7).slice(0, 10, 20));
  EXPECT_TRUE(back.get<at::Tensor>()->equal(large.select(1, 7).slice(0, 10, 20)));
  EXPECT_LT(fs::file_size(path_), 10000u);
}

TEST_F(ReadWrite, TheFileDoesNotDependOnStridesGradientsOrTheName) {
  const at::Tensor plain = at::rand({2, 3, 4, 5});
  const at::Tensor other = plain.contiguous(at::MemoryFormat::ChannelsLast).set_requires_grad(true);
  ASSERT_TRUE(write_atomically(path_, Dict{{"w", plain}}).ok());
  ASSERT_TRUE(write_atomically(path_ + ".other", Dict{{"w", other}}).ok());
  EXPECT_EQ(content(path_), content(path_ + ".other"));
}

TEST_F(ReadWrite, TheArchiveIsPyTorchsOwnByteForByte) {
  const at::Tensor data = at::arange(1000).to(at::kFloat);
  const std::string pickle = "not looked at";
  // Without a name of its own PyTorch's writer calls the root folder "archive", as torch.save does for a buffer.
  std::string theirs;
  caffe2::serialize::PyTorchStreamWriter writer([&](const void* bytes, size_t size) {
    theirs.append(static_cast<const char*>(bytes), size);
    return size;
  });
  writer.writeRecord("data.pkl", pickle.data(), pickle.size());
  writer.writeRecord("data/0", data.const_data_ptr(), data.nbytes());
  writer.writeEndOfFile();

  class Sink final : public ByteSink {
   public:
    Status write(std::span<const uint8_t> bytes) override {
      text.append(bytes.begin(), bytes.end());
      return ok_status();
    }
    std::string text;
  } sink;
  ZipWriter zip(sink, "archive");
  const auto bytes = [](const void* begin, size_t size) { return std::span(static_cast<const uint8_t*>(begin), size); };
  ASSERT_TRUE(zip.add("data.pkl", bytes(pickle.data(), pickle.size())).ok());
  ASSERT_TRUE(zip.add("data/0", bytes(data.const_data_ptr(), data.nbytes())).ok());
  // These two, and then the identity, PyTorch's writer adds by itself.
  ASSERT_TRUE(zip.add("version", bytes("3\n", 2)).ok());
  ASSERT_TRUE(zip.add("byteorder", bytes("little", 6)).ok());
  ASSERT_TRUE(zip.finish().ok());

  // The identity is a hash of the content; ours is another, at the same place. Its checksum follows from it.
  ASSERT_EQ(sink.text.size(), theirs.size());
  const size_t identity = theirs.find("archive/.data/serialization_id");
  EXPECT_EQ(sink.text.substr(0, identity), theirs.substr(0, identity));
  size_t different = 0;
  for (size_t i = 0; i < theirs.size(); ++i) different += sink.text[i] != theirs[i];
  EXPECT_LE(different, 40u + 4u + 4u) << "40 digits, and their checksum twice";
}

TEST_F(ReadWrite, TensorsThatShareAStorageInTheFileShareItInMemory) {
  const at::Tensor storage = at::arange(6).to(at::kFloat);
  class Sink final : public ByteSink {
   public:
    explicit Sink(const std::string& path) : file(path, std::ios::binary) {}
    Status write(std::span<const uint8_t> bytes) override {
      file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
      return ok_status();
    }
    std::ofstream file;
  };
  {
    Sink sink(path_);
    const StoredTensor whole{ElementType::kFloat32, "0", 24, 0, {2, 3}, {3, 1}};
    const StoredTensor column{ElementType::kFloat32, "0", 24, 1, {2}, {3}};
    const std::span<const uint8_t> bytes(static_cast<const uint8_t*>(storage.const_data_ptr()), 24);
    ASSERT_TRUE(write_archive(sink, StoredTree::List{whole, column}, {bytes}).ok());
  }
  auto back = read(path_);
  ASSERT_TRUE(back.ok()) << back.error().message;
  const at::Tensor whole = *(*back->get<List>())[0].get<at::Tensor>();
  at::Tensor column = *(*back->get<List>())[1].get<at::Tensor>();
  EXPECT_TRUE(column.equal(storage.view({2, 3}).select(1, 1)));
  column.fill_(9);
  EXPECT_EQ(whole.index_select(1, at::arange(1, 2)).sum().item<float>(), 18.0f);
}

TEST_F(ReadWrite, ErrorsNameTheFile) {
  for (const char* name : {"absent.pt", "."}) {
    auto back = read((folder_ / name).string());
    ASSERT_FALSE(back.ok());
    EXPECT_NE(back.error().message.find(folder_.string()), std::string::npos) << back.error().message;
    EXPECT_EQ(back.error().message.find('\n'), std::string::npos);
  }
}

TEST_F(ReadWrite, ATruncatedOrDamagedFileIsRefused) {
  ASSERT_TRUE(write_atomically(path_, Dict{{"w", at::rand({100, 100})}}).ok());
  const std::string whole = content(path_);
  std::ofstream(path_, std::ios::binary | std::ios::trunc) << whole.substr(0, whole.size() / 2);
  EXPECT_NE(read(path_).error().message.find("truncated"), std::string::npos);
  std::string damaged = whole;
  damaged[whole.size() / 2] ^= 1;
  std::ofstream(path_, std::ios::binary | std::ios::trunc) << damaged;
  EXPECT_NE(read(path_).error().message.find("checksum of its record data/0"), std::string::npos);
}

TEST_F(ReadWrite, AModelInSeveralFilesIsReadByItsIndex) {
  const at::Tensor weight = at::rand({2, 3}), bias = at::rand({2});
  const std::string index = (folder_ / "model.safetensors.index.json").string();
  const std::string first = (folder_ / "model-1.safetensors").string(), second = (folder_ / "model-2.bin").string();
  ASSERT_TRUE(write_safetensors_atomically(first, Dict{{"weight", weight}, {"other", bias}}, {}).ok());
  ASSERT_TRUE(write_atomically(second, Dict{{"bias", bias}}).ok());
  const auto write_index = [&](const std::string& text) { std::ofstream(index) << text; };
  write_index(R"({"weight_map": {"weight": "model-1.safetensors", "bias": "model-2.bin"}})");
  const auto whole = read(index);
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  const Value& state = *whole->find("state_dict");
  EXPECT_EQ(state.get<Dict>()->size(), 2u) << "what the index does not name is another's";
  EXPECT_TRUE(state.find("weight")->get<at::Tensor>()->equal(weight));
  EXPECT_TRUE(state.find("bias")->get<at::Tensor>()->equal(bias));
  write_index(R"({"weight_map": {"weight": "model-2.bin"}})");
  EXPECT_EQ(read(index).error().message,
            "checkpoint " + index + " says that model-2.bin has 'weight', which it has not");
  write_index(R"({"weight_map": {"weight": "model-3.bin"}})");
  EXPECT_NE(read(index).error().message.find("model-3.bin cannot be opened"), std::string::npos);
  write_index(R"({"weight_map": {"weight": "model.safetensors.index.json"}})");
  EXPECT_NE(read(index).error().message.find("which is an index as well"), std::string::npos);
}

// Whose memory holds other numbers than they have.
TEST_F(ReadWrite, LazyConjugatesAndNegativesAreSavedAsTheyLook) {
  const at::Tensor complex = at::rand({20000}, at::kComplexFloat), conjugate = at::conj(complex);
  const at::Tensor negative = at::imag(conjugate);
  ASSERT_TRUE(conjugate.is_conj() && negative.is_neg());
  const auto expect_equal = [&](const Value& back) {
    const List& list = *back.get<List>();
    EXPECT_TRUE(list[0].get<at::Tensor>()->equal(conjugate));
    EXPECT_TRUE(list[1].get<at::Tensor>()->equal(negative));
  };
  expect_equal(round_trip(List{conjugate, negative}));
  BackgroundWriter writer;
  ASSERT_TRUE(writer.write_later(path_, List{conjugate, negative}, [](const at::Tensor&) { return true; }).ok());
  ASSERT_TRUE(writer.finish().ok());
  expect_equal(read(path_).value());
  ASSERT_TRUE(write_safetensors_atomically(path_, Dict{{"c", negative}}, {}).ok());
  EXPECT_TRUE(read(path_)->find("state_dict")->find("c")->get<at::Tensor>()->equal(negative));
}

TEST_F(ReadWrite, TensorsThatCannotBeSavedAreToldByTheirKind) {
  const at::Tensor plain = at::ones({2, 2});
  const std::pair<at::Tensor, const char*> refused[] = {
      {plain.to_sparse(), "Sparse"},
      {plain.to_sparse_csr(), "SparseCsr"},
      {at::quantize_per_tensor(plain, 0.1, 0, at::kQUInt8), "QUInt8"},
      {at::empty({2}, at::TensorOptions(at::kMeta)), "meta"},
      {at::Tensor(), "undefined"},
  };
  for (const auto& [tensor, kind] : refused) {
    const Status wrote = write_atomically(path_, Dict{{"w", tensor}});
    ASSERT_FALSE(wrote.ok()) << kind;
    EXPECT_NE(wrote.error().message.find(kind), std::string::npos) << wrote.error().message;
    BackgroundWriter writer;
    ASSERT_TRUE(writer.write(path_, Dict{{"w", tensor}}).ok());
    const Status later = writer.finish();
    ASSERT_FALSE(later.ok()) << kind;
    EXPECT_EQ(later.error().message, wrote.error().message);
  }
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(ReadWrite, AnUnknownObjectCannotBeSaved) {
  const Status wrote = write_atomically(path_, Dict{{"x", Opaque{"numpy.ndarray"}}});
  ASSERT_FALSE(wrote.ok());
  EXPECT_NE(wrote.error().message.find("numpy.ndarray"), std::string::npos);
  EXPECT_TRUE(fs::is_empty(folder_));
}

}  // namespace
}  // namespace ferrun::checkpoint
