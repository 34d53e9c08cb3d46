#include "rendezvous/io/net/resolver.h"

#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "rendezvous/io/net/socket_address.h"

namespace ferrun {

namespace {

constexpr Duration kFirstLookUpPause = std::chrono::milliseconds(100);
constexpr Duration kMostLookUpPause = std::chrono::seconds(5);

}  // namespace

NameAnswer look_up(const std::string& name) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(name.c_str(), nullptr, &hints, &list);
  if (error != 0) return {{}, error == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(error)};
  NameAnswer answer;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    const std::optional<IpAddress> address = ip_address_of(*entry->ai_addr);
    if (address && std::find(answer.addresses.begin(), answer.addresses.end(), *address) == answer.addresses.end())
      answer.addresses.push_back(*address);
  }
  ::freeaddrinfo(list);
  if (answer.addresses.empty()) answer.error = "no address for this name";
  return answer;
}

std::shared_ptr<Resolver> Resolver::make(boost::asio::io_context& io, std::string name, OnAnswer on_answer,
                                         LookUp how) {
  return std::shared_ptr<Resolver>(new Resolver(io, std::move(name), std::move(on_answer), std::move(how)));
}

Resolver::Resolver(boost::asio::io_context& io, std::string name, OnAnswer on_answer, LookUp how)
    : io_(io),
      name_(std::move(name)),
      on_answer_(std::move(on_answer)),
      look_up_(std::move(how)),
      again_(io),
      backoff_(kFirstLookUpPause, kMostLookUpPause) {}

void Resolver::start() {
  if (wanted_) return;
  wanted_ = true;
  backoff_.reset();
  if (!asking_) ask();
}

void Resolver::stop() {
  wanted_ = false;
  asking_ = false;
  again_.cancel();
  if (task_) task_->abandon();
}

void Resolver::ask() {
  asking_ = true;
  if (const std::optional<IpAddress> numeric = parse_ip_address(name_)) {
    boost::asio::post(io_, [self = shared_from_this(), numeric] { self->answer({{*numeric}, ""}); });
    return;
  }
  const auto found = std::make_shared<NameAnswer>();
  Result<std::shared_ptr<DetachedTask>> task = DetachedTask::start(
      io_, [found, name = name_, how = look_up_] { *found = how(name); },
      [self = shared_from_this(), found] { self->answer(*found); });
  if (task.ok()) {
    task_ = *task;
    return;
  }
  boost::asio::post(io_, [self = shared_from_this(), why = task.error().message] { self->answer({{}, why}); });
}

void Resolver::answer(const NameAnswer& answer) {
  if (!wanted_ || !asking_) return;
  asking_ = false;
  task_.reset();
  if (!answer.addresses.empty()) {
    wanted_ = false;
  } else {
    again_.expires_after(backoff_.next());
    again_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error && self->wanted_ && !self->asking_) self->ask();
    });
  }
  on_answer_(answer);
}

}  // namespace ferrun
