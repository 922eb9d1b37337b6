// SPDX-License-Identifier: LGPL-2.1-or-later
#include "base/printable.h"

#include "base/json.h"
#include "result.h"

using namespace blksnap;

TEST_CASE("printable: what a terminal obeys is replaced") {
  CHECK(printable("plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80") ==
        "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80");
  CHECK(printable(std::string_view("a\nb\x1b[m\x7f\r\t\0", 10)) ==
        "a?b?[m????");
  // Controls of ISO 6429, as UTF-8; the first character after them is none.
  CHECK(printable("\xc2\x80|\xc2\x9b"
                  "31m|\xc2\x9f|\xc2\xa0") == "?|?31m|?|\xc2\xa0");
  // Separators of lines, and right-to-left override.
  CHECK(printable("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xae\xe2\x81\xa6") ==
        "????");
  CHECK(printable_lines("a\nb\x1b\n") == "a\nb?\n");
}

TEST_CASE("printable: what is not UTF-8") {
  constexpr char kBad[] = "\xef\xbf\xbd";
  const auto bad = [&](int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += kBad;
    return text;
  };
  CHECK(printable("\x9b"
                  "31m") == bad(1) + "31m");  // a control in Latin-1
  CHECK(printable("\xc0\x9b") == bad(2));     // one byte more than it takes
  CHECK(printable("\xe0\x82\x9b") == bad(3));
  CHECK(printable("\xed\xa0\x80") == bad(3));      // half of a pair
  CHECK(printable("\xf4\x90\x80\x80") == bad(4));  // beyond U+10FFFF
  CHECK(printable("\xff\xc3") == bad(2));
  CHECK(printable("\xe2\x82") == bad(2));  // half of one
}

TEST_CASE("printable: a long text is cut") {
  CHECK(printable(std::string(81, 'x'), 80) == std::string(80, 'x') + "...");
  CHECK(printable(std::string(80, 'x'), 80) == std::string(80, 'x'));
}

TEST_CASE("JSON: no control character is left in it") {
  const std::string text = "\x1b \x7f \xc2\x9b \xc2\xa0 \xc3\xa4";
  const std::string json = to_text(Json(text));
  CHECK(json == "\"\\u001b \\u007f \\u009b \xc2\xa0 \xc3\xa4\"");
  CHECK(parse_json(json)->get<std::string>() == text);
}
