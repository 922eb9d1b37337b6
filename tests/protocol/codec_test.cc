// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/codec.h"

#include <doctest/doctest.h>

#include "bytes.h"

namespace blksnap::nbd {
namespace {

TEST_CASE("a request is decoded field by field") {
  const Bytes bytes = be<4>(0x25609513) + be<2>(0x0105) + be<2>(7) +
                      be<8>(0x1122334455667788) + be<8>(0x99aabbccddeeff00) +
                      be<4>(0xfedcba98);
  REQUIRE(bytes.size() == request_size(Headers::kSimple));
  const auto request = decode_request(bytes, Headers::kSimple);
  REQUIRE(request);
  CHECK(request->flags == 0x0105);
  CHECK(request->type == 7);
  CHECK(request->cookie == 0x1122334455667788);
  CHECK(request->offset == 0x99aabbccddeeff00);
  CHECK(request->length == 0xfedcba98);
  CHECK(decode_request(bytes, Headers::kStructured));
}

TEST_CASE("an extended request has a length of 64 bits") {
  const Bytes bytes = be<4>(0x21e41c71) + be<2>(0x0105) + be<2>(7) +
                      be<8>(0x1122334455667788) + be<8>(0x99aabbccddeeff00) +
                      be<8>(0xfedcba9876543210);
  REQUIRE(bytes.size() == request_size(Headers::kExtended));
  const auto request = decode_request(bytes, Headers::kExtended);
  REQUIRE(request);
  CHECK(request->flags == 0x0105);
  CHECK(request->type == 7);
  CHECK(request->cookie == 0x1122334455667788);
  CHECK(request->offset == 0x99aabbccddeeff00);
  CHECK(request->length == 0xfedcba9876543210);
}

TEST_CASE("a request with another magic number is none") {
  // The reserved one of nbd-server's transaction log.
  const Bytes bytes = be<4>(0x25609514) + Bytes(24);
  CHECK_FALSE(decode_request(bytes, Headers::kSimple));
  // What was agreed on holds for every request.
  CHECK_FALSE(
      decode_request(be<4>(0x25609513) + Bytes(28), Headers::kExtended));
  CHECK_FALSE(decode_request(be<4>(0x21e41c71) + Bytes(24), Headers::kSimple));
}

TEST_CASE("option replies") {
  Bytes out;
  append_option_reply(out, 7, NBD_REP_INFO, 12);
  CHECK(out == be<8>(0x3e889045565a9) + be<4>(7) + be<4>(3) + be<4>(12));

  out.clear();
  append_option_error(out, 99, NBD_REP_ERR_UNSUP, "what?");
  CHECK(out == be<8>(0x3e889045565a9) + be<4>(99) + be<4>(0x80000001) +
                   counted("what?"));

  out.clear();
  append_option_error(out, 99, NBD_REP_ERR_UNSUP, std::string(5000, 'x'));
  CHECK(out.size() == 20 + 4096);
}

TEST_CASE("reply headers") {
  Bytes out;
  append_simple_reply(out, 0xabcd, 5);
  CHECK(out == be<4>(0x67446698) + be<4>(5) + be<8>(0xabcd));

  out.clear();
  const Request request{.cookie = 0xabcd, .offset = 0x1122334455667788};
  append_chunk(out, request, Headers::kStructured, NBD_REPLY_FLAG_DONE,
               NBD_REPLY_TYPE_BLOCK_STATUS, 12);
  CHECK(out ==
        be<4>(0x668e33ef) + be<2>(1) + be<2>(5) + be<8>(0xabcd) + be<4>(12));
  CHECK(out.size() == 20);

  out.clear();
  append_chunk(out, request, Headers::kExtended, NBD_REPLY_FLAG_DONE,
               NBD_REPLY_TYPE_BLOCK_STATUS_EXT, 24);
  CHECK(out == be<4>(0x6e8a278c) + be<2>(1) + be<2>(6) + be<8>(0xabcd) +
                   be<8>(0x1122334455667788) + be<8>(24));
  CHECK(out.size() == 32);
}

TEST_CASE("a payload is never read past its end") {
  std::string_view string;
  std::uint16_t small = 0;
  std::uint32_t number = 0;

  const Bytes good = counted("vda") + be<2>(3);
  Payload in(good);
  CHECK(in.string(string));
  CHECK(string == "vda");
  CHECK(in.u16(small));
  CHECK(small == 3);
  CHECK(in.left() == 0);
  CHECK_FALSE(in.u16(small));

  const Bytes lies = be<4>(4) + text("vda");
  CHECK_FALSE(Payload(lies).string(string));
  const Bytes huge = be<4>(0xffffffff) + text("vda");
  CHECK_FALSE(Payload(huge).string(string));
  const Bytes cut = be<2>(0);
  CHECK_FALSE(Payload(cut).u32(number));
}

TEST_CASE("strings have 4096 bytes at most") {
  std::string_view string;
  const Bytes longest = counted(std::string(4096, 'x'));
  CHECK(Payload(longest).string(string));
  const Bytes longer = counted(std::string(4097, 'x'));
  CHECK_FALSE(Payload(longer).string(string));
}

}  // namespace
}  // namespace blksnap::nbd
