// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/request.h"

#include <doctest/doctest.h>

#include <cerrno>

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
    agreement.flags = transmission_flags(*served, agreement.structured);
  }
  // The value sent, 0 if the request is allowed.
  std::uint32_t ask(std::uint16_t type, std::uint64_t offset,
                    std::uint32_t length, std::uint16_t flags = 0) const {
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
  for (const std::uint16_t type : {NBD_CMD_READ, NBD_CMD_BLOCK_STATUS}) {
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
  for (const std::uint16_t type : {NBD_CMD_READ, NBD_CMD_WRITE, NBD_CMD_TRIM,
                                   NBD_CMD_WRITE_ZEROES, NBD_CMD_BLOCK_STATUS})
    CHECK(rules.ask(type, 0, 0) == NBD_EINVAL);
}

TEST_CASE("a read has a maximum, and the error tells who can retry") {
  Rules rules;
  CHECK(rules.ask(NBD_CMD_READ, 0, kMaximum) == 0);
  CHECK(rules.ask(NBD_CMD_READ, 0, kMaximum + 1) == NBD_EINVAL);
  rules.agreement.structured = true;
  rules.settle();
  CHECK(rules.ask(NBD_CMD_READ, 0, kMaximum + 1) == NBD_EOVERFLOW);
  CHECK(rules.ask(NBD_CMD_READ, 0, 0xffffffff) == NBD_EOVERFLOW);
}

TEST_CASE("flags belong to their command and to what was advertised") {
  Rules rules;
  CHECK(rules.ask(NBD_CMD_READ, 0, 512, NBD_CMD_FLAG_DF) == NBD_EINVAL);
  rules.agreement.structured = true;
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
  for (const std::uint16_t type : {5, 8, 9, 0xffff})
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

TEST_CASE("only a write has a payload") {
  CHECK(payload_length({.type = NBD_CMD_WRITE, .length = 7}) == 7);
  for (const std::uint16_t type : {0, 2, 3, 4, 5, 6, 7, 9})
    CHECK(payload_length({.type = type, .length = 7}) == 0);
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
