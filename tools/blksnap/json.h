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
class JsonValue {
 public:
  struct Member;

  JsonValue();  // null
  JsonValue(bool value);
  JsonValue(std::int64_t value);
  JsonValue(std::uint64_t value);
  template <std::signed_integral T>
  JsonValue(T value) : JsonValue(std::int64_t{value}) {}
  template <std::unsigned_integral T>
  JsonValue(T value) : JsonValue(std::uint64_t{value}) {}
  JsonValue(double value);
  JsonValue(const char* text);
  JsonValue(const std::string& text);
  JsonValue(const std::vector<std::string>& texts);
  // An object, whose members stay in their order: {{"name", value}, ...}.
  JsonValue(std::initializer_list<Member> members);
  static JsonValue array(std::initializer_list<JsonValue> values = {});

  JsonValue(const JsonValue& other);
  JsonValue(JsonValue&& other) noexcept;
  JsonValue& operator=(JsonValue other) noexcept;
  ~JsonValue();

  void set(const char* name, JsonValue value);  // of an object
  void update(const JsonValue& members);        // sets them all
  void push_back(JsonValue value);              // to an array

  // In one line. Paths need not be UTF-8 and JSON has to be: bytes that are not
  // are replaced.
  std::string dump() const;
  // Writes members as NAME=VALUE, with strings as printable() returns them.
  std::string dump_fields(char between) const;

 private:
  std::unique_ptr<nlohmann::ordered_json> value_;
};

struct JsonValue::Member {
  const char* name;
  mutable JsonValue value;  // moved out of the list, which is constant
};

}  // namespace blksnap::tool
