/* Preloaded (ld.so(8)) into a program that a test starts: lets calls which change a directory fail as a disk does that
   is full, gone read-only or over its quota, and moves the clock.

   DISTURB_BELOW   the directory; without it nothing fails
   DISTURB_COUNTS  a file of two 64-bit numbers that all processes share: how many such calls there were up to now,
                   and the number of the first that fails, from which on all do (0: none)
   DISTURB_ERROR   the number of the error
   DISTURB_CLOCK   seconds by which the wall clock is moved
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char *below;
static size_t length;
static volatile int64_t *counts;
static int number;
static long long moved;

#define REAL(name) ({ static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name); real; })

__attribute__((constructor)) static void begin(void) {
    const char *directory = getenv("DISTURB_BELOW"), *file = getenv("DISTURB_COUNTS");
    const char *error = getenv("DISTURB_ERROR"), *clock = getenv("DISTURB_CLOCK");
    if (clock) moved = atoll(clock);
    if (!directory || !file || !error) return;
    int fd = REAL(open64)(file, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *shared = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared == MAP_FAILED) return;
    counts = shared;
    number = atoi(error);
    length = strlen(directory);
    below = strdup(directory);
}

static int is_below(const char *path) {
    return !strncmp(path, below, length) && (path[length] == '/' || path[length] == '\0' || path[length] == ' ');
}

/* Whether this call fails; it is counted. */
static int fails(void) {
    int64_t mine = __atomic_add_fetch(&counts[0], 1, __ATOMIC_SEQ_CST), first = counts[1];
    if (!first || mine < first) return 0;
    errno = number;
    return 1;
}

static int name_of(int fd, char *path) {
    char link[64];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    errno = before;
    if (size < 0) return 0;
    path[size] = '\0';
    return 1;
}

static int refused(int fd) {
    char path[PATH_MAX];
    return below && name_of(fd, path) && is_below(path) && fails();
}

static int refused_at(int directory, const char *name) {
    char path[PATH_MAX];
    if (!below || !name) return 0;
    if (name[0] == '/') return is_below(name) && fails();
    if (directory == AT_FDCWD) return getcwd(path, sizeof path) && is_below(path) && fails();
    return name_of(directory, path) && is_below(path) && fails();
}

/* Opening makes a file, or, where the disk is read-only, is refused for every kind of writing. */
static int refused_open(int directory, const char *name, int flags) {
    if (!below) return 0;
    if ((flags & O_TMPFILE) == O_TMPFILE) return refused_at(directory, name);
    if (number == EROFS && (flags & O_ACCMODE) != O_RDONLY) return refused_at(directory, name);
    if (!(flags & O_CREAT)) return 0;
    int before = errno, there = !faccessat(directory, name, F_OK, AT_SYMLINK_NOFOLLOW);
    errno = before;
    return !there && refused_at(directory, name);
}

static int refused_removal(int directory, const char *name) {
    return number == EROFS && refused_at(directory, name);
}

ssize_t write(int fd, const void *data, size_t size) { return refused(fd) ? -1 : REAL(write)(fd, data, size); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return refused(fd) ? -1 : REAL(writev)(fd, parts, count);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return refused(fd) ? -1 : REAL(pwrite)(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    return refused(fd) ? -1 : REAL(pwrite64)(fd, data, size, at);
}
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) {
    return refused(out) ? -1 : REAL(copy_file_range)(in, from, out, to, size, flags);
}
ssize_t sendfile(int out, int in, off_t *at, size_t size);
ssize_t sendfile(int out, int in, off_t *at, size_t size) {
    return refused(out) ? -1 : REAL(sendfile)(out, in, at, size);
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t size);
ssize_t sendfile64(int out, int in, off64_t *at, size_t size) {
    return refused(out) ? -1 : REAL(sendfile64)(out, in, at, size);
}
int fallocate(int fd, int mode, off_t at, off_t size) { return refused(fd) ? -1 : REAL(fallocate)(fd, mode, at, size); }
int fallocate64(int fd, int mode, off64_t at, off64_t size) {
    return refused(fd) ? -1 : REAL(fallocate64)(fd, mode, at, size);
}
int posix_fallocate(int fd, off_t at, off_t size) {
    return refused(fd) ? number : REAL(posix_fallocate)(fd, at, size);
}
int posix_fallocate64(int fd, off64_t at, off64_t size) {
    return refused(fd) ? number : REAL(posix_fallocate64)(fd, at, size);
}

#define OPENING(name)                                                                                                  \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = va_arg(rest, mode_t);                                                                            \
        va_end(rest);                                                                                                  \
        return refused_open(AT_FDCWD, path, flags) ? -1 : REAL(name)(path, flags, mode);                               \
    }
#define OPENING_AT(name)                                                                                               \
    int name(int directory, const char *path, int flags, ...) {                                                        \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = va_arg(rest, mode_t);                                                                            \
        va_end(rest);                                                                                                  \
        return refused_open(directory, path, flags) ? -1 : REAL(name)(directory, path, flags, mode);                   \
    }
OPENING(open)
OPENING(open64)
OPENING_AT(openat)
OPENING_AT(openat64)

int mkdir(const char *path, mode_t mode) { return refused_at(AT_FDCWD, path) ? -1 : REAL(mkdir)(path, mode); }
int mkdirat(int directory, const char *path, mode_t mode) {
    return refused_at(directory, path) ? -1 : REAL(mkdirat)(directory, path, mode);
}
int mknod(const char *path, mode_t mode, dev_t device) {
    return refused_at(AT_FDCWD, path) ? -1 : REAL(mknod)(path, mode, device);
}
int mknodat(int directory, const char *path, mode_t mode, dev_t device) {
    return refused_at(directory, path) ? -1 : REAL(mknodat)(directory, path, mode, device);
}
int symlink(const char *target, const char *path) {
    return refused_at(AT_FDCWD, path) ? -1 : REAL(symlink)(target, path);
}
int symlinkat(const char *target, int directory, const char *path) {
    return refused_at(directory, path) ? -1 : REAL(symlinkat)(target, directory, path);
}
int link(const char *from, const char *to) { return refused_at(AT_FDCWD, to) ? -1 : REAL(link)(from, to); }
int linkat(int one, const char *from, int other, const char *to, int flags) {
    return refused_at(other, to) ? -1 : REAL(linkat)(one, from, other, to, flags);
}
int rename(const char *from, const char *to) { return refused_at(AT_FDCWD, to) ? -1 : REAL(rename)(from, to); }
int renameat(int one, const char *from, int other, const char *to) {
    return refused_at(other, to) ? -1 : REAL(renameat)(one, from, other, to);
}
int renameat2(int one, const char *from, int other, const char *to, unsigned flags) {
    return refused_at(other, to) ? -1 : REAL(renameat2)(one, from, other, to, flags);
}
int unlink(const char *path) { return refused_removal(AT_FDCWD, path) ? -1 : REAL(unlink)(path); }
int unlinkat(int directory, const char *path, int flags) {
    return refused_removal(directory, path) ? -1 : REAL(unlinkat)(directory, path, flags);
}
int rmdir(const char *path) { return refused_removal(AT_FDCWD, path) ? -1 : REAL(rmdir)(path); }

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = REAL(clock_gettime)(clock, time);
    if (!result && clock == CLOCK_REALTIME) time->tv_sec += moved;
    return result;
}
int gettimeofday(struct timeval *time, void *zone) {
    int result = REAL(gettimeofday)(time, zone);
    if (!result) time->tv_sec += moved;
    return result;
}
time_t time(time_t *place) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (place) *place = now.tv_sec;
    return now.tv_sec;
}
