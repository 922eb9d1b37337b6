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

Json::Json() : value_(std::make_unique<Value>()) {}
Json::Json(bool value) : value_(std::make_unique<Value>(value)) {}
Json::Json(std::int64_t value) : value_(std::make_unique<Value>(value)) {}
Json::Json(std::uint64_t value) : value_(std::make_unique<Value>(value)) {}
Json::Json(double value) : value_(std::make_unique<Value>(value)) {}
Json::Json(const char* text) : value_(std::make_unique<Value>(text)) {}
Json::Json(const std::string& text) : value_(std::make_unique<Value>(text)) {}
Json::Json(const std::vector<std::string>& texts)
    : value_(std::make_unique<Value>(texts)) {}

Json::Json(std::initializer_list<Member> members)
    : value_(std::make_unique<Value>(Value::object())) {
  for (const Member& member : members)
    set(member.name, std::move(member.value));
}

Json Json::array(std::initializer_list<Json> values) {
  Json array;
  *array.value_ = Value::array();
  for (const Json& value : values) array.push_back(value);
  return array;
}

Json::Json(const Json& other)
    : value_(std::make_unique<Value>(*other.value_)) {}
Json::Json(Json&& other) noexcept = default;
Json& Json::operator=(Json other) noexcept {
  value_.swap(other.value_);
  return *this;
}
Json::~Json() = default;

void Json::set(const char* name, Json value) {
  (*value_)[name] = std::move(*value.value_);
}

void Json::update(const Json& members) {
  value_->update(*members.value_);
}

void Json::push_back(Json value) {
  value_->push_back(std::move(*value.value_));
}

std::string Json::dump() const {
  return text_of(*value_);
}

std::string Json::dump_fields(char between) const {
  std::string text;
  for (const auto& [name, value] : value_->items()) {
    if (!text.empty()) text += between;
    text += name + "=" +
            (value.is_string() ? value.get<std::string>() : text_of(value));
  }
  return text;
}

}  // namespace blksnap::tool
