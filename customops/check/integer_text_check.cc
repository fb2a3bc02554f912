// Whole numbers read from text against what the text says.
#include "check/check.h"
#include "common/integer_text.h"

namespace halo::check {

HALO_CHECK(integers_of_texts_that_are_one) {
  expect(integer_of<int>("0") == 0, "0");
  expect(integer_of<int>("-1") == -1, "-1");
  expect(integer_of<int>("2147483647") == 2147483647, "the largest int");
  expect(integer_of<int64_t>("-9223372036854775808") == INT64_MIN, "the least int64");
}

HALO_CHECK(no_integer_of_other_texts) {
  for (const char* text : {"", " 1", "1 ", "+1", "1x", "x", "-", "0x10", "1.5", "2147483648", "-2147483649"}) {
    expect(!integer_of<int>(text).has_value(), std::string("'") + text + "'");
  }
}

}  // namespace halo::check
