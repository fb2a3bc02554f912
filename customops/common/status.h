// What an operator refuses, in the project's form: expected, found, what to do.
#pragma once

#include <sstream>
#include <string>
#include <utility>

namespace halo {

class [[nodiscard]] Status {
 public:
  Status() = default;

  static Status error(std::string message) {
    Status status;
    status.message_ = std::move(message);
    return status;
  }

  bool ok() const { return message_.empty(); }
  const std::string& message() const { return message_; }

 private:
  std::string message_;
};

/// "expected <expected>, found <found>. <advice> (file:line)"
inline Status refuse(const char* file, int line, const std::string& expected, const std::string& found, const char* advice) {
  const std::string path = file;
  return Status::error("expected " + expected + ", found " + found + ". " + advice + " (" + path.substr(path.rfind('/') + 1) + ":" + std::to_string(line) +
                       ")");
}

}  // namespace halo

// Leaves the function with a status unless the condition holds. `expected` and `found` are what goes into a stream: a << " and " << b.
#define HALO_REQUIRE(condition, expected, found, advice)                                \
  do {                                                                                  \
    if (!(condition)) {                                                                 \
      std::ostringstream expected_, found_;                                             \
      expected_ << expected;                                                            \
      found_ << found;                                                                  \
      return ::halo::refuse(__FILE__, __LINE__, expected_.str(), found_.str(), advice); \
    }                                                                                   \
  } while (0)

#define HALO_RETURN_IF_ERROR(expression)                                      \
  do {                                                                        \
    if (::halo::Status status_ = (expression); !status_.ok()) return status_; \
  } while (0)
