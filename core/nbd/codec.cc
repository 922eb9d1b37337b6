// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/codec.h"

#include <cassert>

namespace blksnap::nbd {

namespace {

template <class Header>
std::optional<Request> decode(std::span<const std::byte> in,
                              std::uint32_t magic) {
  assert(in.size() == sizeof(Header));
  Header header;
  std::memcpy(&header, in.data(), sizeof header);
  if (header.magic.value() != magic) return std::nullopt;
  return Request{.flags = header.flags.value(),
                 .type = header.type.value(),
                 .cookie = header.cookie.value(),
                 .offset = header.offset.value(),
                 .length = header.length.value()};
}

}  // namespace

std::optional<Request> decode_request(std::span<const std::byte> in,
                                      Headers headers) {
  return headers == Headers::kExtended
             ? decode<wire::ExtendedRequestHeader>(in,
                                                   NBD_EXTENDED_REQUEST_MAGIC)
             : decode<wire::RequestHeader>(in, NBD_REQUEST_MAGIC);
}

void append(Bytes& out, const void* bytes, std::size_t count) {
  if (count == 0) return;  // memcpy() takes no null pointer even then
  const std::size_t at = out.size();
  out.resize(at + count);
  std::memcpy(out.data() + at, bytes, count);
}

void append(Bytes& out, std::string_view text) {
  append(out, text.data(), text.size());
}

void append_option_reply(Bytes& out, std::uint32_t option, OptionReply type,
                         std::size_t length) {
  append(out, wire::OptionReplyHeader{
                  .magic = wire::U64(NBD_REP_MAGIC),
                  .option = wire::U32(option),
                  .type = wire::U32(type),
                  .length = wire::U32(static_cast<std::uint32_t>(length))});
}

void append_option_error(Bytes& out, std::uint32_t option, OptionReply type,
                         std::string_view message) {
  message = message.substr(0, kMaxString);
  append_option_reply(out, option, type, message.size());
  append(out, message);
}

void append_simple_reply(Bytes& out, std::uint64_t cookie,
                         std::uint32_t error) {
  append(out, wire::SimpleReply{.magic = wire::U32(NBD_SIMPLE_REPLY_MAGIC),
                                .error = wire::U32(error),
                                .cookie = wire::U64(cookie)});
}

void append_chunk(Bytes& out, const Request& request, Headers headers,
                  std::uint16_t flags, ReplyType type, std::size_t length) {
  assert(headers != Headers::kSimple);
  if (headers == Headers::kExtended) {
    return append(out, wire::ExtendedChunkHeader{
                           .magic = wire::U32(NBD_EXTENDED_REPLY_MAGIC),
                           .flags = wire::U16(flags),
                           .type = wire::U16(type),
                           .cookie = wire::U64(request.cookie),
                           .offset = wire::U64(request.offset),
                           .length = wire::U64(length)});
  }
  append(out, wire::ChunkHeader{
                  .magic = wire::U32(NBD_STRUCTURED_REPLY_MAGIC),
                  .flags = wire::U16(flags),
                  .type = wire::U16(type),
                  .cookie = wire::U64(request.cookie),
                  .length = wire::U32(static_cast<std::uint32_t>(length))});
}

bool Payload::string(std::string_view& text) {
  std::uint32_t length = 0;
  if (!u32(length) || length > kMaxString || length > rest_.size())
    return false;
  text = {reinterpret_cast<const char*>(rest_.data()), length};
  rest_ = rest_.subspan(length);
  return true;
}

}  // namespace blksnap::nbd
