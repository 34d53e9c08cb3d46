// What mutants are made of: looking into events and effects and changing them, and mistakes of the usual kinds.
#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "tests/sim/mutant.h"

namespace ferrun::sim {

// --- Small tools to look into events and effects, and to change them in place. ---

template <typename T>
T* said(CoordinatorEvent& event) {
  auto* const peer = std::get_if<PeerSaid>(&event);
  return peer == nullptr ? nullptr : std::get_if<T>(&peer->message);
}

template <typename T>
T* told(NodeEvent& event) {
  auto* const coordinator = std::get_if<CoordinatorSaid>(&event);
  return coordinator == nullptr ? nullptr : std::get_if<T>(&coordinator->message);
}

inline CoordinatorMessage* message_of(CoordinatorEffect& effect) {
  if (auto* const one = std::get_if<Tell>(&effect)) return &one->message;
  if (auto* const all = std::get_if<TellAll>(&effect)) return &all->message;
  return nullptr;
}

template <typename T>
T* telling(CoordinatorEffect& effect) {
  CoordinatorMessage* const message = message_of(effect);
  return message == nullptr ? nullptr : std::get_if<T>(message);
}

inline std::vector<ConnectionId> receivers(const CoordinatorEffect& effect) {
  if (const auto* const one = std::get_if<Tell>(&effect)) return {one->connection};
  if (const auto* const all = std::get_if<TellAll>(&effect)) return all->connections;
  return {};
}

// --- Wrong settings: a limit that is not what it should be. ---

class Misconfigured : public Mutant {
 public:
  explicit Misconfigured(std::function<void(CoordinatorConfig&)> change) : change_(std::move(change)) {}
  void configure(CoordinatorConfig& config) override {
    lease_ = config.lease;
    change_(config);
  }
  // What members are told stays right.
  void coordinator_does(std::vector<CoordinatorEffect>& effects, std::vector<CoordinatorEvent>&) override {
    for (CoordinatorEffect& effect : effects) {
      if (auto* const welcome = telling<Welcome>(effect)) welcome->lease = lease_;
    }
  }

 private:
  std::function<void(CoordinatorConfig&)> change_;
  Duration lease_{};
};

// Changes what the coordinator hears; false: it hears nothing.
class MishearingCoordinator : public Mutant {
 public:
  explicit MishearingCoordinator(std::function<bool(CoordinatorEvent&)> change) : change_(std::move(change)) {}
  bool coordinator_hears(CoordinatorEvent& event) override { return change_(event); }

 private:
  std::function<bool(CoordinatorEvent&)> change_;
};

// Answers an effect itself, at once, for everybody who is told.
template <typename Question>
class ImpatientCoordinator : public Mutant {
 public:
  explicit ImpatientCoordinator(std::function<MemberMessage(const Question&)> answer) : answer_(std::move(answer)) {}
  void coordinator_does(std::vector<CoordinatorEffect>& effects, std::vector<CoordinatorEvent>& answers) override {
    for (CoordinatorEffect& effect : effects) {
      const Question* const question = telling<Question>(effect);
      if (question == nullptr) continue;
      for (const ConnectionId peer : receivers(effect)) answers.emplace_back(PeerSaid{peer, answer_(*question)});
    }
  }

 private:
  std::function<MemberMessage(const Question&)> answer_;
};

class MisspeakingCoordinator : public Mutant {
 public:
  explicit MisspeakingCoordinator(std::function<void(CoordinatorEffect&)> change) : change_(std::move(change)) {}
  void coordinator_does(std::vector<CoordinatorEffect>& effects, std::vector<CoordinatorEvent>&) override {
    for (CoordinatorEffect& effect : effects) change_(effect);
  }

 private:
  std::function<void(CoordinatorEffect&)> change_;
};

class MishearingNode : public Mutant {
 public:
  explicit MishearingNode(std::function<void(NodeEvent&)> change) : change_(std::move(change)) {}
  bool node_hears(uint32_t, NodeEvent& event) override {
    change_(event);
    return true;
  }

 private:
  std::function<void(NodeEvent&)> change_;
};

// --- For the lists. ---

template <typename T, typename... Args>
std::function<std::unique_ptr<Mutant>()> make(Args... args) {
  return [=] { return std::make_unique<T>(args...); };
}

inline std::function<std::unique_ptr<Mutant>()> config(std::function<void(CoordinatorConfig&)> change) {
  return make<Misconfigured>(std::move(change));
}

inline std::function<std::unique_ptr<Mutant>()> hears(std::function<bool(CoordinatorEvent&)> change) {
  return make<MishearingCoordinator>(std::move(change));
}

template <typename Message>
bool drop(CoordinatorEvent& event) {
  return said<Message>(event) == nullptr;
}

inline bool change_loss(CoordinatorEvent& event, LossKind from, LossKind to) {
  if (auto* const lost = std::get_if<PeerLost>(&event); lost != nullptr && lost->kind == from) lost->kind = to;
  return true;
}

}  // namespace ferrun::sim
