// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repository/seal.h"

#include <cerrno>

#include "repository/digest.h"

namespace blksnap::repo {
namespace {

constexpr std::string_view kBefore = "{\n  \"digest\": \"";
constexpr std::size_t kDigits = 2 * sizeof(Digest);

// Of the text with zeroes where its digest stands.
std::string digest_of(std::string text) {
  text.replace(kBefore.size(), kDigits, kDigits, '0');
  return to_hexadecimal(sha256(std::as_bytes(std::span(text))));
}

}  // namespace

std::string sealed(const Json& members) {
  Json object = {{"digest", std::string(kDigits, '0')}};
  object.update(members);
  // Paths need not be UTF-8; JSON has to be.
  std::string text = to_text(object, 2) + "\n";
  text.replace(kBefore.size(), kDigits, digest_of(text));
  return text;
}

Result<void> check_seal(std::string_view text) {
  if (!text.starts_with(kBefore) || text.size() < kBefore.size() + kDigits)
    return refuse(EILSEQ, "it does not begin with its digest");
  if (text.substr(kBefore.size(), kDigits) != digest_of(std::string(text)))
    return refuse(EILSEQ, "it has been changed: its digest is another");
  return {};
}

}  // namespace blksnap::repo
