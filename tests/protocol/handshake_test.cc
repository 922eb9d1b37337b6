// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/handshake.h"

#include <doctest/doctest.h>

#include <optional>

#include "bytes.h"
#include "fake_export.h"
#include "nbd/meta_context.h"

namespace blksnap::nbd {
namespace {

constexpr std::uint32_t kAck = 1, kServer = 2, kInfo = 3, kMeta = 4;
constexpr std::uint32_t kUnsup = 0x80000001, kInvalid = 0x80000003,
                        kTlsRequired = 0x80000005, kUnknown = 0x80000006,
                        kTooBig = 0x80000009, kExtendedRequired = 0x8000000a;

struct OptionAnswer {
  std::uint32_t type = 0;
  Bytes data;
  Taker take() const { return Taker(data); }
};

// A client that has said its flags already.
class Client {
 public:
  explicit Client(std::uint32_t flags = 3,
                  Handshake::Security security = Handshake::Security::kNone)
      : machine(catalogue, security) {
    vda->listed = {allocation, dirty};
    vda->hidden = {alias};
    vdb->listed = {allocation};
    send(be<4>(flags));
  }

  // Hands over bytes as the machine wants them; what it leaves unread because
  // the handshake is over stays in `unread`.
  Bytes send(const Bytes& bytes) {
    Bytes out;
    unread.insert(unread.end(), bytes.begin(), bytes.end());
    while (machine.state() == Handshake::State::kNegotiating &&
           unread.size() >= machine.wanted()) {
      const Bytes part(unread.begin(), unread.begin() + machine.wanted());
      unread.erase(unread.begin(), unread.begin() + machine.wanted());
      machine.feed(part, out);
    }
    return out;
  }

  static Bytes option(std::uint32_t number, const Bytes& data = {}) {
    return text("IHAVEOPT") + be<4>(number) + be<4>(data.size()) + data;
  }

  // All replies, each checked to be one to this option.
  std::vector<OptionAnswer> ask(std::uint32_t number, const Bytes& data = {}) {
    return replies(number, send(option(number, data)));
  }

  static std::vector<OptionAnswer> replies(std::uint32_t number, Bytes bytes) {
    std::vector<OptionAnswer> result;
    Taker in(std::move(bytes));
    while (in.left() != 0) {
      CHECK(in.number(8) == 0x3e889045565a9);
      CHECK(in.number(4) == number);
      OptionAnswer& answer = result.emplace_back();
      answer.type = static_cast<std::uint32_t>(in.number(4));
      answer.data = text(in.string(in.number(4)));
    }
    return result;
  }

  // The one and only reply.
  std::uint32_t outcome(std::uint32_t number, const Bytes& data = {}) {
    const auto answers = ask(number, data);
    REQUIRE(answers.size() == 1);
    return answers[0].type;
  }

  bool closed() const { return machine.state() == Handshake::State::kClosed; }
  bool transmission() const {
    return machine.state() == Handshake::State::kTransmission;
  }

  // "id name" of each context, or the error.
  std::vector<std::string> contexts(std::uint32_t number,
                                    std::string_view export_name,
                                    const std::vector<std::string>& queries) {
    Bytes data = counted(export_name) + be<4>(queries.size());
    for (const auto& query : queries) data = data + counted(query);
    std::vector<std::string> result;
    for (const auto& answer : ask(number, data)) {
      if (answer.type == kMeta) {
        Taker in = answer.take();
        const auto id = in.number(4);
        result.push_back(std::to_string(id) + " " + in.string(in.left()));
      } else if (answer.type != kAck) {
        result.push_back("error " + std::to_string(answer.type & 0xffff));
      }
    }
    return result;
  }

  std::shared_ptr<FakeContext> allocation = std::make_shared<FakeContext>(
      "base:allocation", std::vector<FakeContext::Piece>{});
  std::shared_ptr<FakeContext> dirty = std::make_shared<FakeContext>(
      "qemu:dirty-bitmap:g.7", std::vector<FakeContext::Piece>{});
  std::shared_ptr<FakeContext> alias = std::make_shared<FakeContext>(
      "qemu:dirty-bitmap:g.6", std::vector<FakeContext::Piece>{});
  std::shared_ptr<FakeExport> vda = std::make_shared<FakeExport>("vda");
  std::shared_ptr<FakeExport> vdb = std::make_shared<FakeExport>("vdb", 1536);
  FakeCatalogue catalogue{{vda, vdb}};
  Handshake machine;
  Bytes unread;
};

using Names = std::vector<std::string>;
Bytes go(std::string_view name, const std::vector<int>& infos = {}) {
  Bytes data = counted(name) + be<2>(infos.size());
  for (const int info : infos) data = data + be<2>(info);
  return data;
}

TEST_CASE("the greeting") {
  CHECK(Handshake::greeting() == text("NBDMAGICIHAVEOPT") + be<2>(3));
}

TEST_CASE("unknown client flags end the session") {
  CHECK(Client(4).closed());
  CHECK(Client(0x80000003).closed());
}

TEST_CASE("EXPORT_NAME: size, flags, and zeroes unless they are declined") {
  const Bytes answer = be<8>(1 << 20) + be<2>(1 | 2 | 0x100 | 0x400);
  SUBCASE("with zeroes") {
    Client client(1);
    CHECK(client.send(Client::option(1, text("vda"))) == answer + Bytes(124));
    CHECK(client.transmission());
  }
  SUBCASE("without") {
    Client client(3);
    CHECK(client.send(Client::option(1, text("vda"))) == answer);
  }
  SUBCASE("the default export, from a client without fixed newstyle") {
    Client client(0);
    CHECK(client.send(Client::option(1)) == answer + Bytes(124));
  }
  SUBCASE("an unknown name ends the session without a word") {
    Client client;
    CHECK(client.send(Client::option(1, text("vdz"))).empty());
    CHECK(client.closed());
    CHECK(client.machine.reason() == "no such export");
  }
  SUBCASE("a name too long does so too") {
    Client client;
    CHECK(client.send(Client::option(1, text(std::string(4097, 'x')))).empty());
    CHECK(client.closed());
  }
}

TEST_CASE("without fixed newstyle EXPORT_NAME is the only option") {
  Client client(0);
  CHECK(client.send(Client::option(3)).empty());
  CHECK(client.closed());
}

TEST_CASE("ABORT is acknowledged and ends the session") {
  Client client;
  CHECK(client.outcome(2, text("bye")) == kAck);
  CHECK(client.closed());
  CHECK(client.machine.reason().empty());
}

TEST_CASE("LIST") {
  Client client;
  CHECK(client.outcome(3, text("x")) == kInvalid);
  const auto answers = client.ask(3);
  REQUIRE(answers.size() == 3);
  CHECK(answers[0].type == kServer);
  CHECK(answers[0].data == counted("vda") + text("a fake"));
  CHECK(answers[1].data == counted("vdb") + text("a fake"));
  CHECK(answers[2].type == kAck);
  CHECK(answers[2].data.empty());
}

TEST_CASE("unknown options are refused and the stream stays in step") {
  Client client;
  for (const std::uint32_t option : {0u, 4u, 5u, 12u, 0xffffffffu}) {
    CHECK(client.outcome(option) == kUnsup);
    CHECK(client.outcome(option, Bytes(1000)) == kUnsup);
  }
  CHECK(client.outcome(8) == kAck);
}

TEST_CASE("option data that is too long is skipped, or ends the session") {
  Client client;
  SUBCASE("skipped in pieces") {
    CHECK(client.outcome(7, Bytes(kMaxOptionData + 1)) == kTooBig);
    CHECK(client.outcome(99, Bytes(300'000)) == kTooBig);
    CHECK(client.outcome(8) == kAck);
  }
  SUBCASE("an export name is too long for that") {
    client.send(Client::option(1, Bytes(kMaxOptionData + 1)));
    CHECK(client.closed());
  }
  SUBCASE("above 32 MiB") {
    client.send(text("IHAVEOPT") + be<4>(7) + be<4>((32 << 20) + 1));
    CHECK(client.closed());
  }
  SUBCASE("never is more wanted at a time than can be kept") {
    client.send(text("IHAVEOPT") + be<4>(7) + be<4>(32 << 20));
    CHECK(client.machine.wanted() <= kMaxOptionData);
  }
}

TEST_CASE("a wrong magic number before an option ends the session") {
  Client client;
  CHECK(client.send(text("IHAVEOPS") + Bytes(8)).empty());
  CHECK(client.closed());
}

TEST_CASE("GO and INFO: what is sent without being asked for") {
  Client client;
  auto answers = client.ask(6, go("vda"));
  REQUIRE(answers.size() == 2);
  CHECK(answers[0].type == kInfo);
  CHECK(answers[0].data == be<2>(0) + be<8>(1 << 20) + be<2>(0x503));
  CHECK(answers[1].type == kAck);
  CHECK_FALSE(client.transmission());

  answers = client.ask(7, go("vda"));
  CHECK(answers.size() == 2);
  CHECK(client.transmission());
  const Agreement agreement = client.machine.take_agreement();
  CHECK(agreement.served == client.vda);
  CHECK(agreement.flags == 0x503);
  CHECK(agreement.headers == Headers::kSimple);
  CHECK_FALSE(agreement.sizes_agreed);
}

TEST_CASE("GO: NAME, DESCRIPTION and BLOCK_SIZE when asked, others ignored") {
  Client client;
  client.vda->sizes = {.minimum = 512, .preferred = 65536, .maximum = 1 << 26};
  const auto answers = client.ask(7, go("", {3, 2, 1, 0, 77}));
  REQUIRE(answers.size() == 5);
  CHECK(answers[0].data == be<2>(0) + be<8>(1 << 20) + be<2>(0x503));
  CHECK(answers[1].data == be<2>(1) + text("vda"));
  CHECK(answers[2].data == be<2>(2) + text("a fake"));
  CHECK(answers[3].data ==
        be<2>(3) + be<4>(512) + be<4>(65536) + be<4>(32 << 20));
  CHECK(answers[4].type == kAck);
  CHECK(client.machine.take_agreement().sizes_agreed);
}

TEST_CASE("the minimum block size divides the size") {
  FakeExport odd("odd", 1000);
  CHECK(advertised_sizes(odd).minimum == 8);
  FakeExport empty("empty", 0);
  CHECK(advertised_sizes(empty).minimum == 512);
  FakeExport coarse("coarse", 4096 * 3);
  coarse.sizes = {.minimum = 4096, .preferred = 512};
  CHECK(advertised_sizes(coarse).minimum == 4096);
  CHECK(advertised_sizes(coarse).preferred == 4096);
}

TEST_CASE("GO and INFO refuse unknown exports and malformed data") {
  Client client;
  for (const std::uint32_t option : {6u, 7u}) {
    CHECK(client.outcome(option, go("vdz")) == kUnknown);
    CHECK(client.outcome(option) == kInvalid);
    CHECK(client.outcome(option, be<4>(0)) == kInvalid);
    CHECK(client.outcome(option, be<4>(3) + text("vda")) == kInvalid);
    CHECK(client.outcome(option, be<4>(0xffffffff) + Bytes(8)) == kInvalid);
    CHECK(client.outcome(option, counted("vda") + be<2>(1)) == kInvalid);
    CHECK(client.outcome(option, go("vda") + Bytes(1)) == kInvalid);
    CHECK(client.outcome(option, go(std::string(4097, 'x'))) == kInvalid);
  }
  CHECK_FALSE(client.transmission());
}

TEST_CASE("flags of writable exports and with structured replies") {
  Client client;
  client.vda->read_write = true;
  client.vda->several = false;
  client.vda->seeks = true;
  CHECK(client.outcome(8) == kAck);
  CHECK(client.ask(6, go("vda"))[0].data ==
        be<2>(0) + be<8>(1 << 20) +
            be<2>(1 | 4 | 8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x400 | 0x800));
}

TEST_CASE("STRUCTURED_REPLY takes no data") {
  Client client;
  CHECK(client.outcome(8, text("x")) == kInvalid);
  client.ask(7, go("vda"));
  CHECK(client.machine.take_agreement().headers == Headers::kSimple);
}

TEST_CASE("with TLS nothing is said before it") {
  Client client(3, Handshake::Security::kTls);
  for (const std::uint32_t option : {0u, 3u, 6u, 7u, 8u, 9u, 10u, 11u, 99u}) {
    CAPTURE(option);
    CHECK(client.outcome(option) == kTlsRequired);
    CHECK(client.outcome(option, go("vda")) == kTlsRequired);
    // The same for what is there and what is not.
    CHECK(client.ask(option, go("vda"))[0].data ==
          client.ask(option, go("vdz"))[0].data);
  }
  SUBCASE("EXPORT_NAME has no other way to be refused") {
    CHECK(client.send(Client::option(1, text("vda"))).empty());
    CHECK(client.closed());
    CHECK(client.machine.reason() == "NBD_OPT_EXPORT_NAME without TLS");
  }
  SUBCASE("ABORT is allowed") {
    CHECK(client.outcome(2) == kAck);
    CHECK(client.closed());
  }
  SUBCASE("STARTTLS takes no data, and starts TLS") {
    CHECK(client.outcome(5, text("x")) == kInvalid);
    CHECK(client.outcome(5) == kAck);
    REQUIRE(client.machine.state() == Handshake::State::kStartTls);
    client.machine.tls_started();
    CHECK(client.outcome(5) == kInvalid);
    CHECK(client.ask(3).size() == 3);
    CHECK(client.outcome(8) == kAck);
    client.ask(7, go("vda"));
    CHECK(client.transmission());
  }
}

TEST_CASE("without TLS there is none to be started") {
  Client client;
  CHECK(client.outcome(5) == kUnsup);
}

TEST_CASE("EXTENDED_HEADERS takes no data, and precedence") {
  Client client;
  CHECK(client.outcome(11, text("x")) == kInvalid);
  SUBCASE("it stands alone, and can be repeated") {
    CHECK(client.outcome(11) == kAck);
    CHECK(client.outcome(11) == kAck);
  }
  SUBCASE("it comes after structured replies, which cannot come back") {
    CHECK(client.outcome(8) == kAck);
    CHECK(client.outcome(11) == kAck);
    CHECK(client.outcome(8) == kExtendedRequired);
  }
  client.ask(7, go("vda"));
  REQUIRE(client.transmission());
  CHECK(client.machine.take_agreement().headers == Headers::kExtended);
}

TEST_CASE("EXPORT_NAME after EXTENDED_HEADERS ends the session") {
  Client client;
  CHECK(client.outcome(11) == kAck);
  CHECK(client.send(Client::option(1, text("vda"))).empty());
  CHECK(client.closed());
}

TEST_CASE("BLOCK_STATUS_PAYLOAD: extended headers and contexts of that name") {
  constexpr std::uint64_t kPlain = 1 | 2 | 0x80 | 0x100 | 0x400;
  const auto flags = [](Client& client, const char* name) {
    Taker in = client.ask(6, go(name))[0].take();
    in.number(10);
    return in.number(2);
  };
  Client old;
  old.ask(8);
  old.contexts(10, "vda", {"base:allocation"});
  CHECK(flags(old, "vda") == kPlain);

  Client client;
  client.ask(11);
  CHECK(flags(client, "vda") == kPlain);
  CHECK(client.contexts(10, "vda", {"base:allocation"}) ==
        Names{"1 base:allocation"});
  CHECK(flags(client, "vda") == (kPlain | 0x1000));
  CHECK(flags(client, "vdb") == kPlain);
  client.contexts(10, "vda", {"unknown:context"});
  CHECK(flags(client, "vda") == kPlain);
}

TEST_CASE("metadata contexts need structured replies") {
  Client client;
  CHECK(client.contexts(9, "vda", {}) == Names{"error 3"});
  CHECK(client.contexts(10, "vda", {"base:allocation"}) == Names{"error 3"});
}

TEST_CASE("LIST_META_CONTEXT") {
  Client client;
  client.ask(8);
  const std::string base = "0 base:allocation";
  const std::string dirty = "0 qemu:dirty-bitmap:g.7";
  CHECK(client.contexts(9, "vda", {}) == Names{base, dirty});
  CHECK(client.contexts(9, "", {}) == Names{base, dirty});
  CHECK(client.contexts(9, "vdb", {}) == Names{base});
  CHECK(client.contexts(9, "vda", {"base:"}) == Names{base});
  CHECK(client.contexts(9, "vda", {"qemu:"}) == Names{dirty});
  CHECK(client.contexts(9, "vda", {"qemu:dirty-bitmap:"}) == Names{dirty});
  CHECK(client.contexts(9, "vda", {"qemu:", "base:", "qemu:"}) ==
        Names{base, dirty});
  CHECK(client.contexts(9, "vda", {"base:allocation"}) == Names{base});
  // One that is not listed, but can be selected.
  CHECK(client.contexts(9, "vda", {"qemu:dirty-bitmap:g.6"}) ==
        Names{"0 qemu:dirty-bitmap:g.6"});
  CHECK(client.contexts(9, "vda",
                        {"qemu:dirty-bitmap:g.5", "x-y:", "nonsense", ""}) ==
        Names{});
  CHECK(client.contexts(9, "vdz", {}) == Names{"error 6"});
}

TEST_CASE("SET_META_CONTEXT selects exact names, in order, once") {
  Client client;
  client.ask(8);
  CHECK(client.contexts(10, "vda",
                        {"qemu:dirty-bitmap:g.6", "base:allocation", "x-y:z",
                         "qemu:dirty-bitmap:g.6", "base:allocation"}) ==
        Names{"1 qemu:dirty-bitmap:g.6", "2 base:allocation"});
  client.ask(7, go("vda"));
  const Agreement agreement = client.machine.take_agreement();
  REQUIRE(agreement.contexts.size() == 2);
  CHECK(agreement.contexts[0].id == 1);
  CHECK(agreement.contexts[0].context == client.alias);
  CHECK(agreement.contexts[1].id == 2);
  CHECK(agreement.contexts[1].context == client.allocation);
}

TEST_CASE("SET_META_CONTEXT selects nothing by wildcards") {
  Client client;
  client.ask(8);
  CHECK(client.contexts(10, "vda", {"base:", "qemu:", "qemu:dirty-bitmap:"}) ==
        Names{});
  CHECK(client.contexts(10, "vda", {}) == Names{});
}

TEST_CASE("SET_META_CONTEXT replaces the former selection") {
  Client client;
  client.ask(8);
  client.contexts(10, "", {"base:allocation"});
  std::size_t left = 0;
  SUBCASE("by another") {
    client.contexts(10, "", {"qemu:dirty-bitmap:g.7", "base:allocation"});
    left = 2;
  }
  SUBCASE("by none") {
    client.contexts(10, "", {});
  }
  SUBCASE("by a failure") {
    CHECK(client.outcome(10, counted("") + be<4>(1)) == kInvalid);
  }
  SUBCASE("by an unknown export") {
    CHECK(client.contexts(10, "vdz", {}) == Names{"error 6"});
  }
  client.ask(7, go(""));
  CHECK(client.machine.take_agreement().contexts.size() == left);
}

TEST_CASE("contexts hold for the export name they were selected with") {
  Client client;
  client.ask(8);
  client.contexts(10, "vda", {"base:allocation"});
  SUBCASE("GO with another") {
    client.ask(7, go("vdb"));
    const Agreement agreement = client.machine.take_agreement();
    CHECK(agreement.contexts.empty());
    CHECK(agreement.served == client.vdb);
  }
  SUBCASE("EXPORT_NAME with another") {
    client.send(Client::option(1, text("vdb")));
    const Agreement agreement = client.machine.take_agreement();
    CHECK(agreement.contexts.empty());
    CHECK(agreement.served == client.vdb);
  }
  SUBCASE("EXPORT_NAME with the same") {
    client.send(Client::option(1, text("vda")));
    CHECK(client.machine.take_agreement().contexts.size() == 1);
  }
  SUBCASE("INFO in between changes nothing") {
    client.ask(6, go("vdb"));
    client.ask(7, go("vda"));
    const Agreement agreement = client.machine.take_agreement();
    CHECK(agreement.contexts.size() == 1);
    CHECK(agreement.served == client.vda);
  }
}

TEST_CASE("metadata queries that lie about counts and lengths") {
  Client client;
  client.ask(8);
  for (const std::uint32_t option : {9u, 10u}) {
    CAPTURE(option);
    const Bytes name = counted("vda");
    CHECK(client.outcome(option) == kInvalid);
    CHECK(client.outcome(option, name) == kInvalid);
    CHECK(client.outcome(option, be<4>(100) + text("vda")) == kInvalid);
    CHECK(client.outcome(option, name + be<4>(0xffffffff)) == kInvalid);
    CHECK(client.outcome(option, name + be<4>(2) + counted("base:")) ==
          kInvalid);
    CHECK(client.outcome(option, name + be<4>(0) + counted("base:")) ==
          kInvalid);
    CHECK(client.outcome(option, name + be<4>(1) + be<4>(6) + text("base:")) ==
          kInvalid);
    CHECK(client.outcome(option,
                         name + be<4>(1) + counted(std::string(4097, 'x'))) ==
          kInvalid);
    CHECK(client.outcome(option, counted(std::string(4097, 'x')) + be<4>(0)) ==
          kInvalid);
  }
}

TEST_CASE("too many contexts cannot be selected") {
  Client client;
  client.ask(8);
  Names queries;
  for (std::size_t i = 0; i <= kMaxContexts; ++i) {
    queries.push_back("qemu:dirty-bitmap:h." + std::to_string(i));
    client.vda->hidden.push_back(std::make_shared<FakeContext>(
        queries.back(), std::vector<FakeContext::Piece>{}));
  }
  CHECK(client.contexts(10, "vda", queries) == Names{"error 9"});
  queries.pop_back();
  CHECK(client.contexts(10, "vda", queries).size() == kMaxContexts);
}

TEST_CASE("bytes after the last option are left for the transmission") {
  Client client;
  client.send(Client::option(7, go("vda")) + text("request"));
  CHECK(client.transmission());
  CHECK(client.unread == text("request"));
}

}  // namespace
}  // namespace blksnap::nbd
