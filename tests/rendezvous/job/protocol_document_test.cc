// PROTOCOL.md against the code: its table of messages is the codec's own, its example session has the bytes that the
// sessions send. What differs is printed as it has to stand there.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "rendezvous/wire/message_fields.h"
#include "tests/rendezvous/wire/session_pair.h"

namespace ferrun {
namespace {

std::string document() {
  std::ifstream file(std::string(FERRUN_SOURCE_DIR) + "/rendezvous/PROTOCOL.md");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void expect_in_document(const std::string& text) {
  EXPECT_NE(document().find(text), std::string::npos) << "PROTOCOL.md lacks:\n" << text;
}

// Writes down which fields a message has, from the same description by which the codec writes and reads them.
class Schema {
 public:
  template <typename Message>
  void message() {
    text_ += std::to_string(wire::Kind<Message>::number) + " " + wire::Kind<Message>::name + "\n";
    describe<Message>();
  }

  void integer(std::integral auto value, const char* what) {
    line(what, (std::is_signed_v<decltype(value)> ? "i" : "u") + std::to_string(8 * sizeof value));
  }
  void flag(bool, const char* what) { line(what, "flag"); }
  template <typename Enum>
  void word(Enum, Enum last, const char* what) {
    line(what, "u8, 0 to " + std::to_string(static_cast<int>(last)));
  }
  void count(int, int least, const char* what, int most = std::numeric_limits<int>::max()) {
    const bool bounded = most != std::numeric_limits<int>::max();
    line(what, "i32, " + std::to_string(least) + (bounded ? " to " + std::to_string(most) : " or more"));
  }
  void duration(Duration, const char* what) { line(what, "i64, 0 or more nanoseconds"); }
  void check(bool, const char*) {}
  void optional_count(const std::optional<int>&, const char* what) { line(what, "flag; if 1: i32, 0 or more"); }
  void text(const std::string&, size_t limit, const char* what) { line(what, text_of(limit)); }
  void texts(const std::vector<std::string>&, size_t most, size_t limit, const char* what) {
    line(what, "list, at most " + std::to_string(most) + ": " + text_of(limit));
  }
  template <typename Item>
  void list(const std::vector<Item>&, size_t least, size_t most, const char* what) {
    line(what, "list, " + std::to_string(least) + " to " + std::to_string(most) + ":");
    indent_ += "  ";
    describe<Item>();
    indent_.resize(indent_.size() - 2);
  }
  void exit_status(const ExitStatus&) { line("exit status", "u8 and i32, 0 to 255"); }
  void failure_report(const std::vector<std::string>&) {
    line("report", "list, at most " + std::to_string(kMaxReportLines) + ": " + text_of(kMaxSentenceBytes));
  }
  void end_report(const std::vector<std::string>& lines) { failure_report(lines); }

  const std::string& all() const { return text_; }

 private:
  template <typename Value>
  void describe() {
    const Value value{};
    wire::fields(*this, value);
  }
  static std::string text_of(size_t limit) { return "text, at most " + std::to_string(limit); }
  void line(std::string what, const std::string& type) {
    what.resize(20, ' ');
    text_ += "   " + indent_ + what + " " + type + "\n";
  }

  std::string text_;
  std::string indent_;
};

template <typename... Messages>
std::string schema_of(std::type_identity<std::variant<Messages...>>) {
  Schema schema;
  (schema.message<Messages>(), ...);
  return schema.all();
}

std::string in_hexadecimal(std::string_view bytes) {
  std::string text;
  for (size_t at = 0; at < bytes.size(); ++at) {
    constexpr char kDigits[] = "0123456789abcdef";
    if (at > 0) text += at % 32 == 0 ? "\n" : " ";
    text += kDigits[static_cast<unsigned char>(bytes[at]) >> 4];
    text += kDigits[static_cast<unsigned char>(bytes[at]) & 15];
  }
  return text;
}

TEST(ProtocolDocument, HasEveryFieldOfEveryMessage) {
  expect_in_document(schema_of(std::type_identity<MemberMessage>()));
  expect_in_document(schema_of(std::type_identity<CoordinatorMessage>()));
}

TEST(ProtocolDocument, HasTheBytesOfASession) {
  SessionPair pair;
  expect_in_document(in_hexadecimal(pair.to_server));  // magic, Hello
  hear(pair.server, std::exchange(pair.to_server, {}), pair.at_server, pair.to_client);
  expect_in_document(in_hexadecimal(pair.to_client));  // magic, Challenge
  hear(pair.client, std::exchange(pair.to_client, {}), pair.at_client, pair.to_server);
  expect_in_document(in_hexadecimal(pair.to_server));  // Proof
  pair.run();
  ASSERT_TRUE(pair.server.authenticated());
  pair.client_says(Heartbeat{1});
  expect_in_document(in_hexadecimal(pair.to_server));
  pair.server_says(HeartbeatAnswer{1});
  expect_in_document(in_hexadecimal(pair.to_client));
}

TEST(ProtocolDocument, HasTheLimits) {
  for (const size_t limit : {kHandshakeFrameLimit, kMemberFrameLimit, kCoordinatorFrameLimit, kMaxJobIdBytes,
                             kMaxReportBytes, kShortReportBytes}) {
    expect_in_document(std::to_string(limit) + " bytes");
  }
  expect_in_document("version " + std::to_string(kProtocolVersion));
  for (const SessionLimits& limits : {kMemberLimits, kCoordinatorLimits}) {
    expect_in_document(std::to_string(static_cast<int>(limits.frames_per_second)) + " messages a second for long (" +
                       std::to_string(static_cast<int>(limits.frame_burst)) + " may come at once");
  }
}

}  // namespace
}  // namespace ferrun
