// What static libstdc++ asks of glibc 2.38 or later where it was built there, answered by what every glibc has.
//
// From GCC 13 on the C++ runtime reads GLIBCXX_TUNABLES by strtoul, which headers since glibc 2.38 rename to the form of C23. That form alone reads "0b" as
// well, where the base is 0 or 2. The definition is hidden: it is for the objects that are linked into this library, and nobody else sees it.

extern "C" {

unsigned long halo_plain_strtoul(const char* text, char** end, int base) noexcept __asm__("strtoul");

unsigned long __isoc23_strtoul(const char* text, char** end, int base) noexcept;

unsigned long __isoc23_strtoul(const char* text, char** end, int base) noexcept { return halo_plain_strtoul(text, end, base); }

}  // extern "C"
