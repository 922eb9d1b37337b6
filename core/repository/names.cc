// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repository/names.h"

#include <algorithm>
#include <charconv>

#include "base/utc.h"

namespace blksnap::repo {
namespace {

constexpr std::string_view kShape = "00000000T000000Z";
constexpr std::size_t kLongestDiskName = 64;
constexpr unsigned kLargestNumber = 999'999;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool has_shape(std::string_view text) {
  return text.size() == kShape.size() &&
         std::equal(text.begin(), text.end(), kShape.begin(),
                    [](char c, char shape) {
                      return shape == '0' ? is_digit(c) : c == shape;
                    });
}

}  // namespace

std::optional<PointName> PointName::parse(std::string_view text) {
  const std::string_view instant = text.substr(0, kShape.size());
  std::string_view rest = text.substr(instant.size());
  if (!has_shape(instant)) return {};
  unsigned number = 1;
  if (!rest.empty()) {
    if (rest.size() < 2 || rest[0] != '-' || rest[1] == '0') return {};
    rest.remove_prefix(1);
    const auto [end, error] =
        std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (error != std::errc() || end != rest.data() + rest.size() ||
        number < 2 || number > kLargestNumber)
      return {};
  }
  return PointName(std::string(instant), number);
}

PointName PointName::next(std::time_t now,
                          const std::optional<PointName>& latest) {
  PointName name(utc_text("%Y%m%dT%H%M%SZ", now), 1);
  if (!latest || *latest < name) return name;
  if (latest->number_ < kLargestNumber)
    return PointName(latest->instant_, latest->number_ + 1);
  return PointName(utc_text("%Y%m%dT%H%M%SZ", latest->instant() + 1), 1);
}

std::string PointName::text() const {
  return number_ == 1 ? instant_ : instant_ + "-" + std::to_string(number_);
}

std::time_t PointName::instant() const {
  const auto number = [this](std::size_t at, std::size_t length) {
    return std::stoi(instant_.substr(at, length));
  };
  std::tm parts = {};
  parts.tm_year = number(0, 4) - 1900;
  parts.tm_mon = number(4, 2) - 1;
  parts.tm_mday = number(6, 2);
  parts.tm_hour = number(9, 2);
  parts.tm_min = number(11, 2);
  parts.tm_sec = number(13, 2);
  return ::timegm(&parts);
}

bool is_disk_name(std::string_view name) {
  const auto plain = [](char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           c == '.' || c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= kLongestDiskName && name[0] != '.' &&
         name[0] != '-' && std::all_of(name.begin(), name.end(), plain);
}

std::string without_secrets(std::string_view uri) {
  constexpr auto npos = std::string_view::npos;
  const std::size_t scheme = uri.find("://");
  if (scheme == npos) return std::string(uri);
  std::string_view rest = uri.substr(scheme + 3);
  std::string kept(uri.substr(0, scheme + 3));

  const std::size_t question = rest.find('?');
  std::string_view query =
      question == npos ? std::string_view() : rest.substr(question + 1);
  rest = rest.substr(0, question);
  const std::size_t at = rest.substr(0, rest.find('/')).rfind('@');
  if (at != npos) rest.remove_prefix(at + 1);
  kept += rest;
  while (!query.empty()) {
    const std::size_t end = query.find('&');
    const std::string_view word = query.substr(0, end);
    query = end == npos ? std::string_view() : query.substr(end + 1);
    if (word.starts_with("socket=")) kept.append("?").append(word);
  }
  return kept;
}

}  // namespace blksnap::repo
