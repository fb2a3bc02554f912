// Runs all checks, or those whose names contain the first argument. Exit code 1 if one fails.
#include "check/check.h"

int main(int argc, char** argv) { return halo::check::run_checks(argc > 1 ? argv[1] : ""); }
