// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace blksnap::tool {

// A JSON value that is being put together: nlohmann::ordered_json without its
// header, which takes longer to compile than most files that print something.
// json.cc alone includes it.
class Json {
 public:
  struct Member;

  Json();  // null
  Json(bool value);
  Json(std::int64_t value);
  Json(std::uint64_t value);
  template <std::signed_integral T>
  Json(T value) : Json(std::int64_t{value}) {}
  template <std::unsigned_integral T>
  Json(T value) : Json(std::uint64_t{value}) {}
  Json(double value);
  Json(const char* text);
  Json(const std::string& text);
  Json(const std::vector<std::string>& texts);
  // An object, whose members stay in their order: {{"name", value}, ...}.
  Json(std::initializer_list<Member> members);
  static Json array(std::initializer_list<Json> values = {});

  Json(const Json& other);
  Json(Json&& other) noexcept;
  Json& operator=(Json other) noexcept;
  ~Json();

  void set(const char* name, Json value);  // of an object
  void update(const Json& members);        // sets them all
  void push_back(Json value);              // to an array

  // In one line. Paths need not be UTF-8 and JSON has to be: bytes that are not
  // are replaced.
  std::string dump() const;
  // Members as NAME=VALUE, strings as they are.
  std::string dump_fields(char between) const;

 private:
  std::unique_ptr<nlohmann::ordered_json> value_;
};

struct Json::Member {
  const char* name;
  mutable Json value;  // moved out of the list, which is constant
};

}  // namespace blksnap::tool
