// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cbt/checkpoint.h"

#include <cerrno>
#include <charconv>
#include <system_error>

#include "base/format.h"
#include "base/uuid.h"

namespace blksnap::cbt {
namespace {

constexpr std::size_t kInstantDigits = 16;

// All of the text, or nothing.
template <class Number>
bool read_number(std::string_view text, Number& number, int base) {
  const char* const end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, number, base);
  return code == std::errc{} && rest == end;
}

}  // namespace

std::string Checkpoint::to_string() const {
  std::string text =
      blksnap::to_string(generation) + "." + std::to_string(number);
  if (instant != 0) text += formatted(".{:016x}", instant);
  return text;
}

Result<Checkpoint> Checkpoint::parse(std::string_view text) {
  const Error error = refuse(
      EINVAL, "'" + std::string(text) +
                  "' is not a checkpoint: want GENERATION.NUMBER.INSTANT or "
                  "GENERATION.NUMBER");
  const std::size_t dot = text.find('.');
  if (dot == text.npos) return error;
  const auto uuid = parse_uuid(text.substr(0, dot));
  if (!uuid) return error;
  Checkpoint checkpoint{*uuid};
  std::string_view number = text.substr(dot + 1);
  if (const std::size_t second = number.find('.'); second != number.npos) {
    const std::string_view instant = number.substr(second + 1);
    if (instant.size() != kInstantDigits ||
        !read_number(instant, checkpoint.instant, 16))
      return error;
    number = number.substr(0, second);
  }
  if (!read_number(number, checkpoint.number, 10)) return error;
  // One spelling only: names of checkpoints are compared as text by others.
  if (checkpoint.to_string() != text) return error;
  return checkpoint;
}

bool Checkpoint::may_be(const Checkpoint& other) const {
  return generation == other.generation && number == other.number &&
         (instant == 0 || other.instant == 0 || instant == other.instant);
}

Checkpoint History::at(std::uint8_t n) const {
  const bool known = n != 0 && n <= instants.size();
  return {generation, n, known ? instants[n - 1] : 0};
}

std::optional<Checkpoint> History::find(const Checkpoint& named) const {
  if (named.generation != generation || named.number > number) return {};
  const Checkpoint found = at(named.number);
  if (named.instant != 0 && named.instant != found.instant) return {};
  return found;
}

std::string History::why_not(const Checkpoint& named, const std::string& name,
                             const std::string& device) const {
  const std::string head = "checkpoint " + name;
  if (named.generation != generation)
    return head + " is of generation " + blksnap::to_string(named.generation) +
           "; " + device + "'s tracking is of generation " +
           blksnap::to_string(generation) + ": take a full backup";
  if (named.number > number)
    return head + " is still to come: the last one of " + device + " is " +
           last().to_string();
  if (at(named.number).instant == 0)
    return head + " has an instant, and those of " + device +
           "'s takes are not known: take a full backup";
  return head + " is of another history: this take of " + device + " is " +
         at(named.number).to_string() +
         ", as after the machine was put back to an earlier state: take a full "
         "backup";
}

}  // namespace blksnap::cbt
