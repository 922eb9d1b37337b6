// SPDX-License-Identifier: LGPL-2.1-or-later
#include "nbd/handshake.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "nbd/meta_context.h"

namespace blksnap::nbd {

namespace {

void append_info_text(Bytes& out, std::uint32_t option, Info type,
                      std::string_view text) {
  text = text.substr(0, kMaxString);
  append_option_reply(out, option, NBD_REP_INFO,
                      sizeof(wire::U16) + text.size());
  append(out, wire::U16(type));
  append(out, text);
}

}  // namespace

Bytes Handshake::greeting() {
  Bytes out;
  append(out, wire::Greeting{.magic = wire::U64(NBDMAGIC),
                             .option_magic = wire::U64(IHAVEOPT),
                             .flags = wire::U16(NBD_FLAG_FIXED_NEWSTYLE |
                                                NBD_FLAG_NO_ZEROES)});
  return out;
}

void Handshake::feed(std::span<const std::byte> in, Bytes& out) {
  assert(state_ == State::kNegotiating);
  assert(in.size() == wanted_);
  switch (step_) {
    case Step::kFlags:
      take_flags(in);
      break;
    case Step::kHeader:
      take_header(in, out);
      break;
    case Step::kData:
      next_option();
      take_option(in, out);
      break;
    case Step::kSkip:
      skip_left_ -= static_cast<std::uint32_t>(in.size());
      if (skip_left_ != 0) {
        skip_some();
      } else {
        next_option();
        refuse(NBD_REP_ERR_TOO_BIG, "the option's data is too long", out);
      }
      break;
  }
}

void Handshake::expect(Step step, std::size_t bytes) {
  step_ = step;
  wanted_ = bytes;
}

void Handshake::skip_some() {
  expect(Step::kSkip, std::min<std::size_t>(skip_left_, kMaxOptionData));
}

void Handshake::close(std::string reason) {
  state_ = State::kClosed;
  reason_ = std::move(reason);
}

void Handshake::refuse(OptionReply error, std::string_view message,
                       Bytes& out) {
  append_option_error(out, option_, error, message);
}

// "Client flags": an unknown one means a client that we do not understand.
void Handshake::take_flags(std::span<const std::byte> in) {
  wire::U32 wire;
  std::memcpy(&wire, in.data(), sizeof wire);
  const std::uint32_t flags = wire.value();
  fixed_ = (flags & NBD_FLAG_C_FIXED_NEWSTYLE) != 0;
  no_zeroes_ = (flags & NBD_FLAG_C_NO_ZEROES) != 0;
  if ((flags & ~(NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES)) != 0)
    return close("unknown client flags");
  next_option();
}

void Handshake::take_header(std::span<const std::byte> in, Bytes& out) {
  wire::OptionHeader header;
  std::memcpy(&header, in.data(), sizeof header);
  if (header.magic.value() != IHAVEOPT)
    return close("wrong magic number before an option");
  option_ = header.option.value();
  const std::uint32_t length = header.length.value();

  // Plain newstyle knows this one option, and no way to refuse others.
  if (!fixed_ && option_ != NBD_OPT_EXPORT_NAME)
    return close(
        "an option other than NBD_OPT_EXPORT_NAME without "
        "NBD_FLAG_C_FIXED_NEWSTYLE");
  if (length > kMaxPayload) return close("absurdly long option data");
  if (length > kMaxOptionData) {
    if (option_ == NBD_OPT_EXPORT_NAME)
      return close("absurdly long export name");
    skip_left_ = length;
    return skip_some();
  }
  if (length != 0) return expect(Step::kData, length);
  next_option();
  take_option({}, out);
}

void Handshake::take_option(std::span<const std::byte> data, Bytes& out) {
  if (security_ == Security::kTls && !encrypted_ &&
      option_ != NBD_OPT_STARTTLS && option_ != NBD_OPT_ABORT) {
    // No word about what there is, not even whether the option is known.
    if (option_ == NBD_OPT_EXPORT_NAME)
      return close("NBD_OPT_EXPORT_NAME without TLS");
    return refuse(NBD_REP_ERR_TLS_REQD, "this server needs TLS", out);
  }
  switch (option_) {
    case NBD_OPT_EXPORT_NAME:
      return export_name(data, out);
    case NBD_OPT_ABORT:
      append_option_reply(out, option_, NBD_REP_ACK);
      return close({});
    case NBD_OPT_LIST:
      return list(data, out);
    case NBD_OPT_STARTTLS:
      return start_tls(data, out);
    case NBD_OPT_INFO:
    case NBD_OPT_GO:
      return info_or_go(data, out);
    case NBD_OPT_STRUCTURED_REPLY:
      return structured_reply(data, out);
    case NBD_OPT_EXTENDED_HEADERS:
      return extended_headers(data, out);
    case NBD_OPT_LIST_META_CONTEXT:
    case NBD_OPT_SET_META_CONTEXT:
      return list_or_set_context(data, out);
    default:
      return refuse(NBD_REP_ERR_UNSUP,
                    "this server does not support the option", out);
  }
}

// Contexts count only for the name that they were selected with.
std::uint16_t Handshake::flags_of(std::string_view name,
                                  const exports::Export& served) const {
  const bool contexts = name == context_export_ && !agreement_.contexts.empty();
  return transmission_flags(served, agreement_.headers, contexts);
}

// The end of the handshake: `name` is what the client called the export.
void Handshake::agree_on(std::string_view name,
                         std::shared_ptr<exports::Export> served) {
  if (name != context_export_) agreement_.contexts.clear();
  // They belong to the object found at the time, which a second find() need
  // not return again.
  if (agreement_.contexts.empty()) agreement_.served = std::move(served);
  agreement_.flags = flags_of(name, *agreement_.served);
  agreement_.sizes = advertised_sizes(*agreement_.served);
  state_ = State::kTransmission;
}

void Handshake::export_name(std::span<const std::byte> data, Bytes& out) {
  const std::string_view name(reinterpret_cast<const char*>(data.data()),
                              data.size());
  if (name.size() > kMaxString) return close("export name too long");
  // Its reply would leave open which headers follow.
  if (agreement_.headers == Headers::kExtended)
    return close("NBD_OPT_EXPORT_NAME after NBD_OPT_EXTENDED_HEADERS");
  auto found = catalogue_.find(name);
  // There is no way to say no but this one.
  if (!found) return close(found.error().message);
  agree_on(name, std::move(found.value()));
  append(out,
         wire::ExportNameReply{.size = wire::U64(agreement_.served->size()),
                               .flags = wire::U16(agreement_.flags)});
  if (!no_zeroes_) out.resize(out.size() + 124);
}

void Handshake::list(std::span<const std::byte> data, Bytes& out) {
  if (!data.empty())
    return refuse(NBD_REP_ERR_INVALID, "NBD_OPT_LIST takes no data", out);
  for (const auto& entry : catalogue_.list()) {
    const std::string_view description =
        std::string_view(entry.description).substr(0, kMaxString);
    append_option_reply(
        out, option_, NBD_REP_SERVER,
        sizeof(wire::U32) + entry.name.size() + description.size());
    append(out, wire::U32(static_cast<std::uint32_t>(entry.name.size())));
    append(out, entry.name);
    append(out, description);
  }
  append_option_reply(out, option_, NBD_REP_ACK);
}

void Handshake::info_or_go(std::span<const std::byte> data, Bytes& out) {
  Payload in(data);
  std::string_view name;
  std::uint16_t count = 0;
  if (!in.string(name) || !in.u16(count) ||
      in.left() != count * sizeof(wire::U16))
    return refuse(NBD_REP_ERR_INVALID, "malformed option data", out);
  bool want_name = false, want_description = false, want_sizes = false;
  for (std::uint16_t i = 0, info = 0; i < count && in.u16(info); ++i) {
    want_name |= info == NBD_INFO_NAME;
    want_description |= info == NBD_INFO_DESCRIPTION;
    want_sizes |= info == NBD_INFO_BLOCK_SIZE;
  }

  auto found = catalogue_.find(name);
  if (!found) return refuse(NBD_REP_ERR_UNKNOWN, found.error().message, out);
  const auto& served = *found.value();

  append_option_reply(out, option_, NBD_REP_INFO, sizeof(wire::InfoExport));
  append(out, wire::InfoExport{.type = wire::U16(NBD_INFO_EXPORT),
                               .size = wire::U64(served.size()),
                               .flags = wire::U16(flags_of(name, served))});
  if (want_name) append_info_text(out, option_, NBD_INFO_NAME, served.name());
  if (want_description)
    append_info_text(out, option_, NBD_INFO_DESCRIPTION, served.description());
  if (want_sizes) {
    const exports::BlockLimits sizes = advertised_sizes(served);
    append_option_reply(out, option_, NBD_REP_INFO,
                        sizeof(wire::InfoBlockSize));
    append(out, wire::InfoBlockSize{.type = wire::U16(NBD_INFO_BLOCK_SIZE),
                                    .minimum = wire::U32(sizes.minimum),
                                    .preferred = wire::U32(sizes.preferred),
                                    .maximum = wire::U32(sizes.maximum)});
  }
  append_option_reply(out, option_, NBD_REP_ACK);
  if (option_ == NBD_OPT_GO) {
    agreement_.sizes_agreed = want_sizes;
    agree_on(name, std::move(found.value()));
  }
}

void Handshake::start_tls(std::span<const std::byte> data, Bytes& out) {
  if (security_ == Security::kNone)
    return refuse(NBD_REP_ERR_UNSUP, "this server has no TLS", out);
  if (encrypted_)
    return refuse(NBD_REP_ERR_INVALID, "TLS has been started already", out);
  if (!data.empty())
    return refuse(NBD_REP_ERR_INVALID, "NBD_OPT_STARTTLS takes no data", out);
  append_option_reply(out, option_, NBD_REP_ACK);
  state_ = State::kStartTls;
}

void Handshake::tls_started() {
  assert(state_ == State::kStartTls);
  encrypted_ = true;
  agreement_ = {};
  context_export_.clear();
  state_ = State::kNegotiating;
  next_option();
}

void Handshake::structured_reply(std::span<const std::byte> data, Bytes& out) {
  if (!data.empty())
    return refuse(NBD_REP_ERR_INVALID, "NBD_OPT_STRUCTURED_REPLY takes no data",
                  out);
  if (agreement_.headers == Headers::kExtended)
    return refuse(NBD_REP_ERR_EXT_HEADER_REQD,
                  "extended headers were agreed on already", out);
  agreement_.headers = Headers::kStructured;
  append_option_reply(out, option_, NBD_REP_ACK);
}

void Handshake::extended_headers(std::span<const std::byte> data, Bytes& out) {
  if (!data.empty())
    return refuse(NBD_REP_ERR_INVALID, "NBD_OPT_EXTENDED_HEADERS takes no data",
                  out);
  agreement_.headers = Headers::kExtended;
  append_option_reply(out, option_, NBD_REP_ACK);
}

void Handshake::list_or_set_context(std::span<const std::byte> data,
                                    Bytes& out) {
  const bool set = option_ == NBD_OPT_SET_META_CONTEXT;
  if (set) {
    // A new selection replaces the former one even if it fails.
    agreement_.contexts.clear();
    agreement_.served.reset();
    context_export_.clear();
  }
  if (agreement_.headers == Headers::kSimple)
    return refuse(NBD_REP_ERR_INVALID,
                  "metadata contexts need NBD_OPT_EXTENDED_HEADERS or "
                  "NBD_OPT_STRUCTURED_REPLY first",
                  out);
  const auto asked = parse_meta_context(data);
  if (!asked) return refuse(NBD_REP_ERR_INVALID, "malformed option data", out);
  auto found = catalogue_.find(asked->export_name);
  if (!found) return refuse(NBD_REP_ERR_UNKNOWN, found.error().message, out);

  const auto reply = [&](std::uint32_t id, std::string_view name) {
    append_option_reply(out, option_, NBD_REP_META_CONTEXT,
                        sizeof(wire::U32) + name.size());
    append(out, wire::U32(id));
    append(out, name);
  };
  if (set) {
    auto selected = select_contexts(*found.value(), asked->queries);
    if (!selected)
      return refuse(NBD_REP_ERR_TOO_BIG, "too many metadata contexts", out);
    for (const auto& one : *selected) reply(one.id, one.name);
    agreement_.contexts = std::move(*selected);
    agreement_.served = std::move(found.value());
    context_export_ = asked->export_name;
  } else {
    for (const auto& name : list_contexts(*found.value(), asked->queries))
      reply(0, name);
  }
  append_option_reply(out, option_, NBD_REP_ACK);
}

}  // namespace blksnap::nbd
