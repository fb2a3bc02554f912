// Runs all checks, or those whose names contain the first argument. Exit code 1 if one fails.
#include "check/check.h"

int main(int argc, char** argv) {
  halo::check::Selection selection;
  if (argc > 1) selection.parts.push_back(argv[1]);
  return halo::check::run_checks(selection, 1);
}
