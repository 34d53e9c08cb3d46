#include "worker/train/loaded_model.h"

#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/temporary_directory.h"
#include "worker/checkpoint/module_state.h"
#include "worker/checkpoint/reader.h"
#include "worker/checkpoint/writer.h"
#include "worker/data/recipe.h"
#include "worker/model/weights.h"

namespace ferrun::train {
namespace {

using checkpoint::Dict;
using checkpoint::List;
using checkpoint::Value;
using ::testing::HasSubstr;

class LoadedModelTest : public ::testing::Test {
 protected:
  std::string path() const { return (folder_.path() / "x.pt").string(); }
  void save(const Value& value) const { ASSERT_TRUE(checkpoint::write_atomically(path(), value).ok()); }
  // The state of a model with three classes, and entries beside it.
  Value with(Dict entries) const {
    entries.emplace_back("model_state_dict", state_);
    return entries;
  }
  std::string refusal(const Value& value) const {
    save(value);
    const Result<LoadedModel> loaded = load_model(path());
    EXPECT_FALSE(loaded.ok());
    if (loaded) return "";
    EXPECT_THAT(loaded.error().message, HasSubstr(path()));
    EXPECT_EQ(loaded.error().message.find('\n'), std::string::npos);
    return loaded.error().message;
  }
  Result<LoadedModel> accepted(const Value& value) const {
    save(value);
    return load_model(path());
  }
  const Value state_ = checkpoint::module_state(*model::EmotionNet(3));

 private:
  const testing::TemporaryDirectory folder_;
};

TEST_F(LoadedModelTest, TakesClassesAndSizeFromTheCheckpoint) {
  const auto loaded = accepted(
      with({{"classes", List{"a", "b", "c"}}, {"options", Dict{{"image_size", 96}, {"exif_orientation", true}}}}));
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(loaded->outputs, 3);
  EXPECT_EQ(loaded->classes, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(loaded->image_size, 96);
  EXPECT_EQ(loaded->exif_orientation, true);
  const auto indexed = accepted(with({{"class_to_idx", Dict{{"c", 2}, {"a", 0}, {"b", 1}}}}));
  ASSERT_TRUE(indexed.ok()) << indexed.error().message;
  EXPECT_EQ(indexed->classes, (std::vector<std::string>{"a", "b", "c"}));
  const auto numbered = accepted(with({{"classes", 3}, {"idx_to_class", Dict{{1, "b"}, {0, "a"}, {2, "c"}}}}));
  ASSERT_TRUE(numbered.ok()) << numbered.error().message;
  EXPECT_EQ(numbered->classes, (std::vector<std::string>{"a", "b", "c"})) << "the first entry that has names";
  const auto named = accepted(with({{"class_names", List{"a", "b", "c"}}, {"image_size", 96}}));
  ASSERT_TRUE(named.ok()) << named.error().message;
  EXPECT_EQ(named->classes, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(named->image_size, 96) << "beside the weights";
  EXPECT_FALSE(accepted(with({{"image_size", List{96, 96}}}))->image_size.has_value());
  const auto unnamed = accepted(with({{"classes", 3}, {"options", List{}}}));
  ASSERT_TRUE(unnamed.ok()) << unnamed.error().message;
  EXPECT_TRUE(unnamed->classes.empty());
  EXPECT_FALSE(unnamed->image_size.has_value());
}

// What a run with --ema validates, and keeps as its best model.
TEST_F(LoadedModelTest, TheAverageOfTheWeightsIsTaken) {
  const Value averages = checkpoint::module_state(*model::EmotionNet(3));
  const auto with_average = [&](int64_t updates) {
    Dict average{{"n_averaged", at::scalar_tensor(updates, at::kLong)}};
    for (const auto& [key, value] : *averages.get<Dict>())
      average.emplace_back("module." + *key.get<std::string>(), value);
    const auto loaded = accepted(with({{"ema_state_dict", average}}));
    EXPECT_TRUE(loaded.ok()) << loaded.error().message;
    return loaded.ok() ? checkpoint::module_state(*loaded->model) : Value();
  };
  constexpr const char* kLayer = "classify.linear.weight";
  const auto layer = [&](const Value& state) { return *state.find(kLayer)->get<at::Tensor>(); };
  EXPECT_TRUE(layer(with_average(5)).equal(layer(averages)));
  EXPECT_TRUE(layer(with_average(0)).equal(layer(state_))) << "nothing is averaged yet";
}

TEST_F(LoadedModelTest, ImpossibleFieldsAreRefusedInOneLine) {
  const auto sized = [&](const Value& size) { return refusal(with({{"options", Dict{{"image_size", size}}}})); };
  for (int64_t size : {int64_t{-32}, int64_t{0}, int64_t{100}, int64_t{1} << 20, (int64_t{1} << 32) + 64, INT64_MAX}) {
    EXPECT_THAT(sized(size), HasSubstr("impossible image_size")) << size;
  }
  EXPECT_THAT(sized("64"), HasSubstr("no whole number"));
  EXPECT_THAT(sized(at::zeros({1})), HasSubstr("no whole number"));
  EXPECT_THAT(refusal(with({{"classes", List{"a", "b"}}})), HasSubstr("names 2 classes"));
  EXPECT_THAT(refusal(with({{"classes", List{"a", "a", "b"}}})), HasSubstr("twice"));
  EXPECT_THAT(refusal(with({{"classes", List{"a", 1, "b"}}})), HasSubstr("no text"));
  EXPECT_THAT(refusal(with({{"classes", Dict{{"a", 0}, {"b", 7}, {"c", -1}}}})), HasSubstr("count from 0"));
}

TEST_F(LoadedModelTest, AnExportSaysHowItsPicturesArePrepared) {
  const auto exported = [&](const std::map<std::string, std::string>& metadata) {
    EXPECT_TRUE(checkpoint::write_safetensors_atomically(path(), state_, metadata).ok());
    return load_model(path());
  };
  const data::Transform standard = data::Transform::validation(64);
  data::Transform other =
      data::Transform::compose({data::Resize{64, 64}, data::ToTensor{}, data::Normalize{{0.5, 0.5, 0.5}, {1, 1, 1}}})
          .value();
  const std::map<std::string, std::string> facts{{"classes", R"(["a","b","c"])"},
                                                 {"exif_orientation", "true"},
                                                 {"image_size", "64"},
                                                 {"transforms", data::transform_text(other)}};
  const Result<LoadedModel> loaded = exported(facts);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_EQ(loaded->exif_orientation, true);
  EXPECT_EQ(loaded->image_size, 64);
  EXPECT_EQ(loaded->transform, other);
  EXPECT_EQ(loaded->facts(), facts) << "an export of an export says the same";
  EXPECT_EQ(loaded->transform_for("x", {}, 224).value(), other);
  EXPECT_THAT(loaded->transform_for("x", 96, 224).error().message, HasSubstr("leave --image-size out"));

  const Result<LoadedModel> usual = exported({{"transforms", data::transform_text(standard)}});
  ASSERT_TRUE(usual.ok()) << usual.error().message;
  EXPECT_EQ(usual->transform_for("x", {}, 224).value(), standard);
  EXPECT_EQ(usual->transform_for("x", 96, 224).value(), data::Transform::validation(96));

  const Result<LoadedModel> silent = exported({});
  ASSERT_TRUE(silent.ok()) << silent.error().message;
  EXPECT_TRUE(silent->facts().empty()) << "what is not known is not made up";

  EXPECT_THAT(exported({{"transforms", "[]"}}).error().message, HasSubstr("its transforms"));
  EXPECT_TRUE(exported({{"transforms", "as usual"}, {"exif_orientation", "1"}}).ok()) << "of another program";
  EXPECT_THAT(exported({{"image_size", "96"}, {"transforms", data::transform_text(standard)}}).error().message,
              HasSubstr("96"));
}

TEST_F(LoadedModelTest, AnImpossibleLastLayerIsRefusedBeforeAModelIsMade) {
  const auto with_layer = [&](const at::Tensor& layer) {
    Dict state = *state_.get<Dict>();
    for (auto& [key, value] : state) {
      if (*key.get<std::string>() == "classify.linear.weight") value = layer;
    }
    return refusal(state);
  };
  EXPECT_THAT(with_layer(at::zeros({0, 1280})), HasSubstr("classify.linear.weight"));
  EXPECT_THAT(with_layer(at::zeros({200000, 1})), HasSubstr("impossible number of classes"));
  EXPECT_THAT(with_layer(at::zeros({3})), HasSubstr("classify.linear.weight"));
  EXPECT_THAT(with_layer(at::zeros({3, 7})), HasSubstr("size mismatch"));
}

TEST_F(LoadedModelTest, WhatHoldsNoWeightsIsNamed) {
  EXPECT_THAT(refusal(Dict{{"epoch", 3}, {"fc.weight", at::zeros({2})}}), HasSubstr("it has 'epoch', 'fc.weight'"));
}

TEST_F(LoadedModelTest, WeightsOfAFileStartAModelStrictlyOrNot) {
  Dict state = *state_.get<Dict>();
  state.erase(state.begin());
  state.emplace_back("loss.weight", at::zeros({3}));
  save(Dict{{"net", state}});
  const auto file = checkpoint::read(path());
  ASSERT_TRUE(file.ok()) << file.error().message;
  model::EmotionNet model(3);
  const auto refused = model::begin_with(model, *file, path());
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("missing: 'backbone.0.conv.weight'; unexpected: 'loss.weight'"));
  EXPECT_THAT(refused.error().message, HasSubstr("--no-strict"));
  const auto report = model::begin_with(model, *file, path(), /*strict=*/false);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_THAT(report->missing, ::testing::ElementsAre("backbone.0.conv.weight"));
  EXPECT_THAT(report->unexpected, ::testing::ElementsAre("loss.weight"));
  model::EmotionNet other(5);
  const auto mismatched = model::begin_with(other, *file, path(), /*strict=*/false);
  ASSERT_FALSE(mismatched.ok());
  EXPECT_THAT(mismatched.error().message, HasSubstr("3 classes"));
}

}  // namespace
}  // namespace ferrun::train
