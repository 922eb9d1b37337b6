// SPDX-License-Identifier: LGPL-2.1-or-later
#include "json.h"

#include <utility>

#include "base/json.h"
#include "base/printable.h"

namespace blksnap::tool {

JsonValue::JsonValue() : value_(std::make_unique<Json>()) {}
JsonValue::JsonValue(bool value) : value_(std::make_unique<Json>(value)) {}
JsonValue::JsonValue(std::int64_t value)
    : value_(std::make_unique<Json>(value)) {}
JsonValue::JsonValue(std::uint64_t value)
    : value_(std::make_unique<Json>(value)) {}
JsonValue::JsonValue(double value) : value_(std::make_unique<Json>(value)) {}
JsonValue::JsonValue(const char* text) : value_(std::make_unique<Json>(text)) {}
JsonValue::JsonValue(const std::string& text)
    : value_(std::make_unique<Json>(text)) {}
JsonValue::JsonValue(const std::vector<std::string>& texts)
    : value_(std::make_unique<Json>(texts)) {}

JsonValue::JsonValue(std::initializer_list<Member> members)
    : value_(std::make_unique<Json>(Json::object())) {
  for (const Member& member : members)
    set(member.name, std::move(member.value));
}

JsonValue JsonValue::array(std::initializer_list<JsonValue> values) {
  JsonValue array;
  *array.value_ = Json::array();
  for (const JsonValue& value : values) array.push_back(value);
  return array;
}

JsonValue::JsonValue(const JsonValue& other)
    : value_(std::make_unique<Json>(*other.value_)) {}
JsonValue::JsonValue(JsonValue&& other) noexcept = default;
JsonValue& JsonValue::operator=(JsonValue other) noexcept {
  value_.swap(other.value_);
  return *this;
}
JsonValue::~JsonValue() = default;

void JsonValue::set(const char* name, JsonValue value) {
  (*value_)[name] = std::move(*value.value_);
}

void JsonValue::update(const JsonValue& members) {
  value_->update(*members.value_);
}

void JsonValue::push_back(JsonValue value) {
  value_->push_back(std::move(*value.value_));
}

std::string JsonValue::dump() const {
  return to_text(*value_);
}

std::string JsonValue::dump_fields(char between) const {
  std::string text;
  for (const auto& [name, value] : value_->items()) {
    if (!text.empty()) text += between;
    text += name + "=" +
            (value.is_string() ? printable(value.get<std::string>())
                               : to_text(value));
  }
  return text;
}

}  // namespace blksnap::tool
