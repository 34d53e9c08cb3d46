// What ferrun's agent and a fork template say to each other, over a SOCK_SEQPACKET pair of which the template inherits
// one end. Both sides are built from one source tree but may be installed at different times, so the first message of
// the template carries a version.
//
//   template → agent   ForkHello, once, at its fork point; behind it may stand a line about it, for --verbose
//   agent → template   ForkRequest, with kForkDescriptors descriptors (SCM_RIGHTS): a memory file with the environment:
//                      "NAME=value\0" after one another (a file, because no message can carry hundreds of kilobytes),
//                      and the rank's stdout and stderr; a fourth becomes its descriptor 3, where ferrun itself has
//                      written the program's beginning (Python's --run-path)
//   rank → agent       ForkReply with its pid, once it is a child of the agent
//   template → agent   ForkReply with the error, where there is no rank
//   template → agent   ForkRefusal, its last message: it must not be forked (any more), and behind it a line that says
//                      why
//
// Replies come in the order of the requests. A rank that is killed before the template knows that it has told of itself
// is refused as well: an agent ignores a refusal of what has been answered. The rank is forked twice, so that it
// becomes the child of the agent (the nearest subreaper above) before the reply.
#pragma once

#include <cstdint>
#include <string_view>

namespace ferrun {

// The template's end of the socket pair: a number in this variable, removed before user code can see it.
inline constexpr const char* kTemplateDescriptorVariable = "FERRUN_TEMPLATE_FD";
inline constexpr uint32_t kForkProtocolVersion = 1;
inline constexpr uint32_t kForkHelloMagic = 0x466b5250;  // "FkRP"
inline constexpr int kForkDescriptors = 3;
inline constexpr int kForkMaxCpus = 1024;  // the size of glibc's cpu_set_t

struct ForkHello {
  uint32_t magic = kForkHelloMagic;
  uint32_t version = kForkProtocolVersion;
};

// In the place of a ForkHello or of a reply, from which its first word tells it.
inline constexpr uint32_t kForkRefusalMagic = 0x466b4e6f;  // "FkNo"
struct ForkRefusal {
  uint32_t magic = kForkRefusalMagic;
  uint32_t version = kForkProtocolVersion;
};

struct ForkRequest {
  int32_t agent = 0;  // the process that must be the rank's parent
  uint32_t id = 0;    // repeated in the reply
  uint64_t environment_bytes = 0;
  uint32_t cpu_count = 0;               // CPUs set below; 0: those of the template
  uint8_t cpus[kForkMaxCpus / 8] = {};  // bit c of byte c / 8
  uint32_t memory_node = 0;             // the NUMA node whose memory it takes first, and 1; 0: by ferrun's policy
};

struct ForkReply {
  uint32_t id = 0;
  int32_t pid = 0;    // the rank's, or 0
  int32_t error = 0;  // errno when there is no rank
};

// The ELF note of a program that has a fork point: name and type; its description is the protocol version.
inline constexpr std::string_view kForkNoteName = "ferrun";
inline constexpr uint32_t kForkNoteType = 1;

}  // namespace ferrun
