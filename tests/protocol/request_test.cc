// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/request.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <optional>

#include "bytes.h"
#include "fake_export.h"
#include "nbd/error.h"

namespace blksnap::nbd {
namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
constexpr std::uint32_t kMaximum = 32 << 20;

struct Rules {
  Rules() {
    served->pretended_size = 5 * kGiB;
    settle();
    agreement.contexts.push_back({1, "base:allocation", nullptr});
  }
  void settle() {
    agreement.served = served;
    agreement.sizes = advertised_sizes(*served);
    agreement.flags = transmission_flags(*served, agreement.headers,
                                         !agreement.contexts.empty());
  }
  // The value sent, 0 if the request is allowed.
  std::uint32_t ask(std::uint16_t type, std::uint64_t offset,
                    std::uint64_t length, std::uint16_t flags = 0) const {
    const Request request{.flags = flags,
                          .type = type,
                          .cookie = 1,
                          .offset = offset,
                          .length = length};
    const auto allowed = check_request(request, agreement);
    if (allowed) return 0;
    CHECK_FALSE(allowed.error().message.empty());
    return nbd_error(allowed.error().code, request);
  }

  std::shared_ptr<FakeExport> served = std::make_shared<FakeExport>("x", 0);
  Agreement agreement;
};

TEST_CASE("ranges lie within the export") {
  const Rules rules;
  for (const std::uint16_t type :
       {NBD_CMD_READ, NBD_CMD_CACHE, NBD_CMD_BLOCK_STATUS}) {
    CAPTURE(type);
    CHECK(rules.ask(type, 0, 1) == 0);
    CHECK(rules.ask(type, 5 * kGiB - 512, 512) == 0);
    CHECK(rules.ask(type, 5 * kGiB - 512, 513) == NBD_EINVAL);
    CHECK(rules.ask(type, 5 * kGiB, 1) == NBD_EINVAL);
    CHECK(rules.ask(type, ~std::uint64_t{0}, 1) == NBD_EINVAL);
    CHECK(rules.ask(type, ~std::uint64_t{0} - 511, 1024) == NBD_EINVAL);
    CHECK(rules.ask(type, 2 * kGiB, 0xffffffff) == NBD_EINVAL);
  }
  CHECK(rules.ask(NBD_CMD_BLOCK_STATUS, 0, 0xffffffff) == 0);
}

TEST_CASE("no length is 0") {
  Rules rules;
  rules.served->read_write = true;
  rules.settle();
  for (const std::uint16_t type :
       {NBD_CMD_READ, NBD_CMD_WRITE, NBD_CMD_TRIM, NBD_CMD_WRITE_ZEROES,
        NBD_CMD_BLOCK_STATUS, NBD_CMD_CACHE})
    CHECK(rules.ask(type, 0, 0) == NBD_EINVAL);
}

TEST_CASE("a read has a maximum, and the error tells who can retry") {
  Rules rules;
  CHECK(rules.ask(NBD_CMD_READ, 0, kMaximum) == 0);
  CHECK(rules.ask(NBD_CMD_READ, 0, kMaximum + 1) == NBD_EINVAL);
  rules.agreement.headers = Headers::kStructured;
  rules.settle();
  CHECK(rules.ask(NBD_CMD_READ, 0, kMaximum + 1) == NBD_EOVERFLOW);
  CHECK(rules.ask(NBD_CMD_READ, 0, 0xffffffff) == NBD_EOVERFLOW);
}

TEST_CASE("flags belong to their command and to what was advertised") {
  Rules rules;
  CHECK(rules.ask(NBD_CMD_READ, 0, 512, NBD_CMD_FLAG_DF) == NBD_EINVAL);
  rules.agreement.headers = Headers::kStructured;
  rules.settle();
  CHECK(rules.ask(NBD_CMD_READ, 0, 512, NBD_CMD_FLAG_DF) == 0);
  CHECK(rules.ask(NBD_CMD_READ, 0, 512, NBD_CMD_FLAG_REQ_ONE) == NBD_EINVAL);
  CHECK(rules.ask(NBD_CMD_READ, 0, 512, NBD_CMD_FLAG_FUA) == NBD_EINVAL);
  CHECK(rules.ask(NBD_CMD_READ, 0, 512, 0x8000) == NBD_EINVAL);
  CHECK(rules.ask(NBD_CMD_BLOCK_STATUS, 0, 512, NBD_CMD_FLAG_REQ_ONE) == 0);
  CHECK(rules.ask(NBD_CMD_BLOCK_STATUS, 0, 512, NBD_CMD_FLAG_DF) == NBD_EINVAL);
  rules.served->read_write = true;
  rules.settle();
  // FUA is advertised now, and so allowed everywhere.
  CHECK(rules.ask(NBD_CMD_READ, 0, 512, NBD_CMD_FLAG_FUA) == 0);
  CHECK(rules.ask(NBD_CMD_FLUSH, 0, 0, NBD_CMD_FLAG_FUA) == 0);
  CHECK(rules.ask(NBD_CMD_WRITE_ZEROES, 0, 512,
                  NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE |
                      NBD_CMD_FLAG_FAST_ZERO) == 0);
  CHECK(rules.ask(NBD_CMD_WRITE, 0, 512, NBD_CMD_FLAG_NO_HOLE) == NBD_EINVAL);
}

TEST_CASE("nothing writes to a read-only export") {
  const Rules rules;
  for (const std::uint16_t type :
       {NBD_CMD_WRITE, NBD_CMD_TRIM, NBD_CMD_WRITE_ZEROES}) {
    CHECK(rules.ask(type, 0, 512) == NBD_EPERM);
    CHECK(rules.ask(type, 5 * kGiB, 512) == NBD_EPERM);
  }
}

TEST_CASE("writes past the end have no space, trims are invalid") {
  Rules rules;
  rules.served->read_write = true;
  rules.settle();
  CHECK(rules.ask(NBD_CMD_WRITE, 5 * kGiB - 512, 512) == 0);
  CHECK(rules.ask(NBD_CMD_WRITE, 5 * kGiB, 512) == NBD_ENOSPC);
  CHECK(rules.ask(NBD_CMD_WRITE_ZEROES, 5 * kGiB, 512) == NBD_ENOSPC);
  CHECK(rules.ask(NBD_CMD_TRIM, 5 * kGiB, 512) == NBD_EINVAL);
  CHECK(rules.ask(NBD_CMD_WRITE, 0, kMaximum + 1) == NBD_EINVAL);
  // Without payload there is no maximum.
  CHECK(rules.ask(NBD_CMD_WRITE_ZEROES, 0, 0xfffffe00) == 0);
  CHECK(rules.ask(NBD_CMD_TRIM, 0, 0xfffffe00) == 0);
}

TEST_CASE("flush takes no range") {
  const Rules rules;
  CHECK(rules.ask(NBD_CMD_FLUSH, 0, 0) == 0);
  CHECK(rules.ask(NBD_CMD_FLUSH, 512, 0) == NBD_EINVAL);
  CHECK(rules.ask(NBD_CMD_FLUSH, 0, 512) == NBD_EINVAL);
}

TEST_CASE("unknown commands") {
  const Rules rules;
  for (const std::uint16_t type : {8, 9, 0xffff})
    CHECK(rules.ask(type, 0, 512) == NBD_EINVAL);
}

TEST_CASE("alignment binds those who asked for the block sizes") {
  Rules rules;
  CHECK(rules.ask(NBD_CMD_READ, 1, 1) == 0);
  rules.agreement.sizes_agreed = true;
  CHECK(rules.ask(NBD_CMD_READ, 1, 512) == NBD_EINVAL);
  CHECK(rules.ask(NBD_CMD_READ, 512, 1) == NBD_EINVAL);
  CHECK(rules.ask(NBD_CMD_BLOCK_STATUS, 512, 513) == NBD_EINVAL);
  CHECK(rules.ask(NBD_CMD_READ, 512, 1024) == 0);
}

TEST_CASE("block status needs a context") {
  Rules rules;
  rules.agreement.contexts.clear();
  CHECK(rules.ask(NBD_CMD_BLOCK_STATUS, 0, 512) == NBD_EINVAL);
}

TEST_CASE("a payload: of writes, or where the flag says so") {
  constexpr std::uint16_t kFlag = NBD_CMD_FLAG_PAYLOAD_LEN;
  for (const Headers headers : {Headers::kSimple, Headers::kStructured}) {
    CHECK(payload_length({.type = NBD_CMD_WRITE, .length = 7}, headers) == 7);
    for (const std::uint16_t type : {0, 2, 3, 4, 5, 6, 7, 9}) {
      CHECK(payload_length({.type = type, .length = 7}, headers) == 0);
      CHECK(payload_length({.flags = kFlag, .type = type, .length = 7},
                           headers) == 0);
    }
  }
  for (const std::uint16_t type : {0, 1, 2, 3, 4, 5, 6, 7, 9}) {
    // QEMU's writes have data without saying so.
    CHECK(payload_length({.type = type, .length = 7}, Headers::kExtended) ==
          (type == NBD_CMD_WRITE ? 7 : 0));
    CHECK(payload_length({.flags = kFlag, .type = type, .length = 1ull << 40},
                         Headers::kExtended) == 1ull << 40);
  }
}

TEST_CASE("the payload flag needs extended headers, and a command with data") {
  Rules rules;
  rules.served->read_write = true;
  constexpr std::uint16_t kFlag = NBD_CMD_FLAG_PAYLOAD_LEN;
  for (const Headers headers : {Headers::kSimple, Headers::kStructured}) {
    rules.agreement.headers = headers;
    rules.settle();
    CHECK(rules.ask(NBD_CMD_WRITE, 0, 512) == 0);
    CHECK(rules.ask(NBD_CMD_WRITE, 0, 512, kFlag) == NBD_EINVAL);
    CHECK(rules.ask(NBD_CMD_BLOCK_STATUS, 0, 512, kFlag) == NBD_EINVAL);
  }
  rules.agreement.headers = Headers::kExtended;
  rules.settle();
  CHECK(rules.ask(NBD_CMD_WRITE, 0, 512, kFlag) == 0);
  CHECK(rules.ask(NBD_CMD_WRITE, 0, 512) == 0);
  CHECK(rules.ask(NBD_CMD_BLOCK_STATUS, 0, 512, kFlag) == 0);
  for (const std::uint16_t type : {NBD_CMD_READ, NBD_CMD_TRIM, NBD_CMD_CACHE,
                                   NBD_CMD_WRITE_ZEROES, NBD_CMD_FLUSH})
    CHECK(rules.ask(type, 0, 512, kFlag) == NBD_EINVAL);
  rules.agreement.contexts.clear();
  rules.settle();
  CHECK(rules.ask(NBD_CMD_BLOCK_STATUS, 0, 512, kFlag) == NBD_EINVAL);
}

TEST_CASE("lengths above 32 bits") {
  Rules rules;
  rules.served->pretended_size = std::uint64_t{1} << 60;
  rules.served->read_write = true;
  rules.agreement.headers = Headers::kExtended;
  rules.settle();
  const std::uint64_t size = rules.served->pretended_size;
  for (const std::uint16_t type : {NBD_CMD_BLOCK_STATUS, NBD_CMD_TRIM,
                                   NBD_CMD_WRITE_ZEROES, NBD_CMD_CACHE}) {
    CAPTURE(type);
    CHECK(rules.ask(type, 0, size) == 0);
    CHECK(rules.ask(type, 512, size) != 0);
    CHECK(rules.ask(type, 512, ~std::uint64_t{0}) != 0);
  }
  CHECK(rules.ask(NBD_CMD_READ, 0, size) == NBD_EOVERFLOW);
  CHECK(rules.ask(NBD_CMD_READ, 0, (std::uint64_t{1} << 32) + 512) ==
        NBD_EOVERFLOW);
}

TEST_CASE("the payload of a block status picks contexts") {
  Rules rules;
  rules.agreement.headers = Headers::kExtended;
  rules.agreement.contexts.push_back({2, "qemu:dirty-bitmap:a", nullptr});
  rules.agreement.contexts.push_back({3, "qemu:dirty-bitmap:b", nullptr});
  rules.settle();
  const auto apply = [&](const Bytes& payload) -> std::optional<Request> {
    Request request{.flags = NBD_CMD_FLAG_PAYLOAD_LEN,
                    .type = NBD_CMD_BLOCK_STATUS,
                    .length = payload.size()};
    const auto applied =
        apply_status_payload(request, payload, rules.agreement);
    if (!applied) {
      CHECK(applied.error().code == EINVAL);
      return std::nullopt;
    }
    return request;
  };
  const auto two = apply(be<8>(5 * kGiB) + be<4>(3) + be<4>(1));
  REQUIRE(two);
  CHECK(two->length == 5 * kGiB);
  CHECK(two->contexts == 0b101);
  CHECK(check_request(*two, rules.agreement).has_value());
  CHECK(apply(be<8>(1) + be<4>(2))->contexts == 0b010);

  CHECK_FALSE(apply(be<8>(512)));                        // none
  CHECK_FALSE(apply(be<8>(512) + be<4>(0)));             // unknown
  CHECK_FALSE(apply(be<8>(512) + be<4>(4)));             // unknown
  CHECK_FALSE(apply(be<8>(512) + be<4>(65)));            // unknown
  CHECK_FALSE(apply(be<8>(512) + be<4>(2) + be<4>(2)));  // twice
  CHECK_FALSE(apply(be<8>(512) + be<4>(2) + be<2>(2)));  // not whole
  CHECK_FALSE(apply(be<4>(512)));
  CHECK_FALSE(apply({}));
  rules.agreement.headers = Headers::kStructured;
  rules.settle();
  CHECK_FALSE(apply(be<8>(512) + be<4>(2)));  // not advertised
}

TEST_CASE("errno to NBD error") {
  const Request read{.type = NBD_CMD_READ};
  const Request zeroes{.type = NBD_CMD_WRITE_ZEROES};
  const Request fast{.flags = NBD_CMD_FLAG_FAST_ZERO,
                     .type = NBD_CMD_WRITE_ZEROES};
  CHECK(nbd_error(EPERM, read) == 1);
  CHECK(nbd_error(EROFS, read) == 1);
  CHECK(nbd_error(EIO, read) == 5);
  CHECK(nbd_error(ENOMEM, read) == 12);
  CHECK(nbd_error(EINVAL, read) == 22);
  CHECK(nbd_error(ENOSPC, zeroes) == 28);
  CHECK(nbd_error(EDQUOT, zeroes) == 28);
  CHECK(nbd_error(EOVERFLOW, read) == 75);
  CHECK(nbd_error(EOVERFLOW, zeroes) == 22);
  CHECK(nbd_error(EOPNOTSUPP, fast) == 95);
  CHECK(nbd_error(EOPNOTSUPP, zeroes) == 22);
  CHECK(nbd_error(ESHUTDOWN, read) == 108);
  CHECK(nbd_error(ENXIO, read) == 5);
  CHECK(nbd_error(0, read) == 5);
}

}  // namespace
}  // namespace blksnap::nbd
