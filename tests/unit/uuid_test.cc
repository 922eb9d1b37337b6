// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/uuid.h"

#include "base/log.h"
#include "result.h"

using namespace blksnap;

TEST_CASE("uuid: text and back") {
  const std::string text = "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e";
  const auto uuid = parse_uuid(text);
  REQUIRE(why(uuid) == "");
  CHECK(uuid->data[0] == 0x3f);
  CHECK(uuid->data[15] == 0x0e);
  CHECK(to_string(*uuid) == text);
  const auto upper = parse_uuid("3F0C6F0E-1C4B-4D0A-9A52-0F7C6F5F4F0E");
  REQUIRE(why(upper) == "");
  CHECK(*upper == *uuid);
}

TEST_CASE("uuid: one form only") {
  for (const char* text : {"", "3f0c6f0e1c4b4d0a9a520f7c6f5f4f0e",
                           "{3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e}",
                           "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0",
                           "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0g",
                           "3f0c6f0e01c4b-4d0a-9a52-0f7c6f5f4f0e",
                           "-f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e",
                           "3f0c6f0e-1c4b-4d0a-9a52-0f7c6f5f4f0e "}) {
    CAPTURE(text);
    CHECK(why(parse_uuid(text)) == "'" + std::string(text) + "' is not a UUID");
  }
}

TEST_CASE("log: levels by name") {
  const auto before = logger().level();
  CHECK(why(set_log_level("warning")) == "");
  CHECK(logger().level() == LogLevel::kWarning);
  CHECK(why(set_log_level("loud")) ==
        "log level 'loud': want debug, info, warning, error or off");
  logger().set_level(before);
}
