// SPDX-License-Identifier: LGPL-2.1-or-later
// The handshake phase, fixed newstyle, as a machine without I/O: bytes in,
// bytes out. Its user sends greeting(), then reads exactly wanted() bytes,
// hands them to feed(), sends what that appended, and goes on until state()
// has left kNegotiating. A hostile stream cannot get more out of it than
// replies of bounded size: every length is checked before it is believed.
//
//   flags ---> option header ---> option data ---> (answer) --+-->
//   kTransmission
//                 ^    |  \                          |        +--> kClosed
//                 |    |   `-> skip what is too long |        +--> kStartTls
//                 `----+--------------<--------------'                  |
//                 ^-----------------------------------------------------'
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "export/catalogue.h"
#include "nbd/agreement.h"
#include "nbd/codec.h"

namespace blksnap::nbd {

// Longer option data is skipped and refused, not kept; above kMaxPayload the
// connection is closed. The longest data with a use is a list of checkpoint
// names: some 100 bytes each.
inline constexpr std::size_t kMaxOptionData = 64 * 1024;

// Not for several threads at the same time. Calls the catalogue, and so may
// block like that does.
class Handshake {
 public:
  // kStartTls: what was appended is the last that is sent in the clear; then
  // comes TLS, and tls_started().
  enum class State { kNegotiating, kStartTls, kTransmission, kClosed };

  // The spec's modes of operation: NOTLS, and FORCEDTLS, where nothing is said
  // or done in the clear but to start TLS.
  enum class Security { kNone, kTls };

  // `catalogue` must outlive the handshake.
  explicit Handshake(const exports::Catalogue& catalogue,
                     Security security = Security::kNone)
      : catalogue_(catalogue), security_(security) {}

  static Bytes greeting();

  // Bytes that feed() takes next: at least 1, at most kMaxOptionData. Only
  // while negotiating.
  std::size_t wanted() const { return wanted_; }

  // `in` has wanted() bytes. Appends to `out` what is to be sent, also when
  // the state becomes kClosed.
  void feed(std::span<const std::byte> in, Bytes& out);

  State state() const { return state_; }

  // Only in kStartTls: back to kNegotiating. Nothing that was agreed on in the
  // clear counts any more.
  void tls_started();

  // Why the state is kClosed, for the log; empty where the client ended the
  // session in good order.
  const std::string& reason() const { return reason_; }

  // After kTransmission, once.
  Agreement take_agreement() { return std::move(agreement_); }

 private:
  enum class Step { kFlags, kHeader, kData, kSkip };

  void take_flags(std::span<const std::byte> in);
  void take_header(std::span<const std::byte> in, Bytes& out);
  void take_option(std::span<const std::byte> data, Bytes& out);
  void expect(Step step, std::size_t bytes);
  void next_option() { expect(Step::kHeader, sizeof(wire::OptionHeader)); }
  void skip_some();
  void close(std::string reason);
  void refuse(OptionReply error, std::string_view message, Bytes& out);

  void export_name(std::span<const std::byte> data, Bytes& out);
  void list(std::span<const std::byte> data, Bytes& out);
  void info_or_go(std::span<const std::byte> data, Bytes& out);
  void start_tls(std::span<const std::byte> data, Bytes& out);
  void structured_reply(std::span<const std::byte> data, Bytes& out);
  void extended_headers(std::span<const std::byte> data, Bytes& out);
  void list_or_set_context(std::span<const std::byte> data, Bytes& out);

  std::uint16_t flags_of(std::string_view name,
                         const exports::Export& served) const;
  void agree_on(std::string_view name, std::shared_ptr<exports::Export> served);

  const exports::Catalogue& catalogue_;
  const Security security_;
  bool encrypted_ = false;
  State state_ = State::kNegotiating;
  Step step_ = Step::kFlags;
  std::size_t wanted_ = sizeof(wire::U32);
  std::uint32_t option_ = 0;     // the one being received
  std::uint32_t skip_left_ = 0;  // bytes of its data still to skip
  std::string reason_;

  bool fixed_ = false;          // NBD_FLAG_C_FIXED_NEWSTYLE
  bool no_zeroes_ = false;      // NBD_FLAG_C_NO_ZEROES
  std::string context_export_;  // the name in the last SET_META_CONTEXT
  Agreement agreement_;
};

}  // namespace blksnap::nbd
