// SPDX-License-Identifier: LGPL-2.1-or-later
#include "json.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace blksnap::tool {
namespace {

using Value = nlohmann::ordered_json;

std::string text_of(const Value& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/false,
                    Value::error_handler_t::replace);
}

}  // namespace

JsonValue::JsonValue() : value_(std::make_unique<Value>()) {}
JsonValue::JsonValue(bool value) : value_(std::make_unique<Value>(value)) {}
JsonValue::JsonValue(std::int64_t value)
    : value_(std::make_unique<Value>(value)) {}
JsonValue::JsonValue(std::uint64_t value)
    : value_(std::make_unique<Value>(value)) {}
JsonValue::JsonValue(double value) : value_(std::make_unique<Value>(value)) {}
JsonValue::JsonValue(const char* text)
    : value_(std::make_unique<Value>(text)) {}
JsonValue::JsonValue(const std::string& text)
    : value_(std::make_unique<Value>(text)) {}
JsonValue::JsonValue(const std::vector<std::string>& texts)
    : value_(std::make_unique<Value>(texts)) {}

JsonValue::JsonValue(std::initializer_list<Member> members)
    : value_(std::make_unique<Value>(Value::object())) {
  for (const Member& member : members)
    set(member.name, std::move(member.value));
}

JsonValue JsonValue::array(std::initializer_list<JsonValue> values) {
  JsonValue array;
  *array.value_ = Value::array();
  for (const JsonValue& value : values) array.push_back(value);
  return array;
}

JsonValue::JsonValue(const JsonValue& other)
    : value_(std::make_unique<Value>(*other.value_)) {}
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
  return text_of(*value_);
}

std::string JsonValue::dump_fields(char between) const {
  std::string text;
  for (const auto& [name, value] : value_->items()) {
    if (!text.empty()) text += between;
    text += name + "=" +
            (value.is_string() ? value.get<std::string>() : text_of(value));
  }
  return text;
}

}  // namespace blksnap::tool
