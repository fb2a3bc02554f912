// Counts the operations by which a program changes files below a folder, and lets one of them go wrong. Preloaded: LD_PRELOAD=faults.so.
//   FAULT_UNDER  the folder, an absolute path
//   FAULT_AT     which operation, from 1; 0: none
//   FAULT_KIND   kill (before it), after (killed behind it), half (half of a write, then killed), short (half of a write, told so),
//                eio, enospc, erofs, edquot (it fails), full (this write and all that follow find no space)
//   FAULT_LOG    a file that gets a line for each operation
// .NET asks dlsym for what it calls in libc, past a preloaded library; so dlsym is ours too.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { NONE, KILL, AFTER, HALF, SHORT, FAIL, FULL };

static const char *under, *fault;
static long at, count;
static int log_file = -1, code;
static enum kind kind;

static void *(*real_dlsym)(void *, const char *);

static void begin(void) {
  static int begun;
  if (__sync_lock_test_and_set(&begun, 1)) return;
  if (!(real_dlsym = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34")))
    real_dlsym = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
  under = getenv("FAULT_UNDER");
  at = getenv("FAULT_AT") ? atol(getenv("FAULT_AT")) : 0;
  fault = getenv("FAULT_KIND") ? getenv("FAULT_KIND") : "";
  static const struct { const char *name; enum kind kind; int code; } kinds[] = {
      {"kill", KILL, 0}, {"after", AFTER, 0}, {"half", HALF, 0}, {"short", SHORT, 0}, {"eio", FAIL, EIO},
      {"enospc", FAIL, ENOSPC}, {"erofs", FAIL, EROFS}, {"edquot", FAIL, EDQUOT}, {"full", FULL, ENOSPC}};
  for (size_t n = 0; n < sizeof kinds / sizeof *kinds; n++)
    if (!strcmp(fault, kinds[n].name)) kind = kinds[n].kind, code = kinds[n].code;
  if (getenv("FAULT_LOG")) log_file = syscall(SYS_openat, AT_FDCWD, getenv("FAULT_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

__attribute__((constructor)) static void load(void) { begin(); }

static void die(void) {
  for (;;) syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
}

static void name_of(int file, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
  path[length < 0 ? 0 : length] = 0;
}

static void absolute(const char *given, char *path) {
  if (given[0] == '/') snprintf(path, PATH_MAX, "%s", given);
  else if (syscall(SYS_getcwd, path, PATH_MAX) > 0) strncat(strcat(path, "/"), given, PATH_MAX - strlen(path) - 2);
}

// What is to become of an operation: NONE, AFTER, HALF, SHORT, or FAIL with errno set.
static enum kind next(const char *operation, const char *path, int takes_space) {
  begin();
  if (!under || strncmp(path, under, strlen(under))) return NONE;
  long n = __sync_add_and_fetch(&count, 1);
  if (log_file >= 0) {
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%ld %s %s\n", n, operation, path);
    syscall(SYS_write, log_file, line, length);
  }
  if (!at || !(n == at || (kind == FULL && n > at))) return NONE;
  if (kind == KILL) die();
  if (kind == FAIL || (kind == FULL && takes_space)) {
    errno = code;
    return FAIL;
  }
  return kind == FULL ? NONE : kind;
}

static enum kind next_of(const char *operation, int file, int takes_space) {
  char path[PATH_MAX];
  name_of(file, path);
  return next(operation, path, takes_space);
}

static enum kind next_at(const char *operation, const char *given, int takes_space) {
  char path[PATH_MAX] = "";
  absolute(given, path);
  return next(operation, path, takes_space);
}

#define DONE(result) do { long done_ = (result); if (what >= AFTER && what <= HALF) die(); return done_; } while (0)
#define CALL(number, ...) ({ long r_ = syscall(number, __VA_ARGS__); r_; })
#define EXPORT __attribute__((visibility("default")))

EXPORT ssize_t write(int file, const void *bytes, size_t size) {
  enum kind what = next_of("write", file, 1);
  if (what == FAIL) return -1;
  if ((what == HALF || what == SHORT) && size > 1) size /= 2;
  DONE(CALL(SYS_write, file, bytes, size));
}

EXPORT ssize_t pwrite64(int file, const void *bytes, size_t size, off_t offset) {
  enum kind what = next_of("write", file, 1);
  if (what == FAIL) return -1;
  if ((what == HALF || what == SHORT) && size > 1) size /= 2;
  DONE(CALL(SYS_pwrite64, file, bytes, size, offset));
}
EXPORT ssize_t pwrite(int file, const void *bytes, size_t size, off_t offset) { return pwrite64(file, bytes, size, offset); }

EXPORT ssize_t pwritev64(int file, const struct iovec *parts, int many, off_t offset) {
  enum kind what = next_of("write", file, 1);
  if (what == FAIL) return -1;
  if ((what == HALF || what == SHORT) && many > 1) many /= 2;
  DONE(CALL(SYS_pwritev, file, parts, many, offset, offset >> 32 >> 32));
}
EXPORT ssize_t pwritev(int file, const struct iovec *parts, int many, off_t offset) { return pwritev64(file, parts, many, offset); }

EXPORT ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags) {
  enum kind what = next_of("copy", to, 1);
  if (what == FAIL) return -1;
  if ((what == HALF || what == SHORT) && size > 1) size = size > 65536 ? 4096 : size / 2;
  DONE(CALL(SYS_copy_file_range, from, from_at, to, to_at, size, flags));
}

EXPORT ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) {
  enum kind what = next_of("copy", to, 1);
  if (what == FAIL) return -1;
  if ((what == HALF || what == SHORT) && size > 1) size = size > 65536 ? 4096 : size / 2;
  DONE(CALL(SYS_sendfile, to, from, offset, size));
}
EXPORT ssize_t sendfile(int to, int from, off_t *offset, size_t size) { return sendfile64(to, from, offset, size); }

EXPORT int fsync(int file) {
  enum kind what = next_of("fsync", file, 0);
  if (what == FAIL) return -1;
  DONE(CALL(SYS_fsync, file));
}

EXPORT int ftruncate64(int file, off_t size) {
  enum kind what = next_of("truncate", file, 0);
  if (what == FAIL) return -1;
  DONE(CALL(SYS_ftruncate, file, size));
}
EXPORT int ftruncate(int file, off_t size) { return ftruncate64(file, size); }

static int open_at(int folder, const char *path, int flags, mode_t mode) {
  enum kind what = flags & O_CREAT ? next_at("create", path, 1) : NONE;
  if (what == FAIL) return -1;
  DONE(CALL(SYS_openat, folder, path, flags, mode));
}
#define OPEN(name) EXPORT int name(const char *path, int flags, ...) { \
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); return open_at(AT_FDCWD, path, flags, mode); }
OPEN(open)
OPEN(open64)

EXPORT int mkdir(const char *path, mode_t mode) {
  enum kind what = next_at("mkdir", path, 1);
  if (what == FAIL) return -1;
  DONE(CALL(SYS_mkdirat, AT_FDCWD, path, mode));
}

EXPORT int rename(const char *from, const char *to) {
  enum kind what = next_at("rename", to, 0);
  if (what == FAIL) return -1;
  DONE(CALL(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

EXPORT int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
  enum kind what = next_at("rename", to, 0);
  if (what == FAIL) return -1;
  if (flags && getenv("FAULT_NO_EXCHANGE")) { errno = EINVAL; return -1; }
  DONE(CALL(SYS_renameat2, from_folder, from, to_folder, to, flags));
}

EXPORT int unlink(const char *path) {
  enum kind what = next_at("unlink", path, 0);
  if (what == FAIL) return -1;
  DONE(CALL(SYS_unlinkat, AT_FDCWD, path, 0));
}

EXPORT int rmdir(const char *path) {
  enum kind what = next_at("rmdir", path, 0);
  if (what == FAIL) return -1;
  DONE(CALL(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR));
}

EXPORT int link(const char *from, const char *to) {
  enum kind what = next_at("link", to, 1);
  if (what == FAIL) return -1;
  DONE(CALL(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0));
}

EXPORT void *dlsym(void *library, const char *name) {
  begin();
  static const struct { const char *name; void *ours; } wrapped[] = {
      {"fsync", fsync}, {"mkdir", mkdir}, {"open", open}, {"open64", open64}, {"renameat2", renameat2}, {"link", link}, {"rename", rename}};
  if (library != RTLD_NEXT)
    for (size_t n = 0; n < sizeof wrapped / sizeof *wrapped; n++)
      if (!strcmp(name, wrapped[n].name)) return wrapped[n].ours;
  return real_dlsym(library, name);
}
