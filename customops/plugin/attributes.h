// A node's attributes, from wherever ONNX Runtime gives them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace halo {

class Attributes {
 public:
  virtual ~Attributes() = default;
  virtual int64_t integer(const char* name, int64_t otherwise) const = 0;
  virtual float real(const char* name, float otherwise) const = 0;
  virtual std::string text(const char* name) const = 0;               // "" where it is missing
  virtual std::vector<int64_t> integers(const char* name) const = 0;  // {} where it is missing
  virtual std::string node_name() const { return {}; }                // "" where no kernel is made
  virtual std::string setting(const char*) const { return {}; }       // of the session; "" where it is missing, or no kernel is made
};

}  // namespace halo
