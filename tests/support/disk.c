/* A disk that remembers: preloaded into a process, it writes down every change to files below WUJI_DISK, in order,
 * and has no more room than WUJI_DISK_BYTES says.
 *
 * The trace (WUJI_DISK_TRACE) is a sequence of records: one letter, the length of the path (u16), offset (u64),
 * length (u32), path, and for a write its bytes.  W write, T truncate (offset is the new size), B and S fsync or
 * fdatasync called and back, U unlinked, A an acknowledgement (what the process wrote to the file named "said").
 * One lock orders everything: a change is in the trace before the call returns.
 *
 * SQLite maps its -shm file; that is an index which every start rebuilds, and it is left out.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))real(#name))
#define FDS 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *paths[FDS];
static int trace = -1;
static const char *root;
static long long room = -1;

static void *real(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (!found) abort();
  return found;
}

__attribute__((constructor)) static void begin(void) {
  root = getenv("WUJI_DISK");
  const char *to = getenv("WUJI_DISK_TRACE"), *bytes = getenv("WUJI_DISK_BYTES");
  if (bytes) room = atoll(bytes);
  if (to) trace = REAL(open)(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static const char *ours(const char *path) {
  if (!root || !path || strncmp(path, root, strlen(root)) != 0) return NULL;
  size_t length = strlen(path);
  return length > 4 && strcmp(path + length - 4, "-shm") == 0 ? NULL : path;
}

static const char *path_of(int fd) { return fd >= 0 && fd < FDS ? paths[fd] : NULL; }

static void note(char what, const char *path, uint64_t offset, const void *data, uint32_t length) {
  if (trace < 0) return;
  uint16_t name = (uint16_t)strlen(path);
  size_t size = 15 + name + (data ? length : 0);
  char *record = malloc(size);
  if (!record) abort();
  record[0] = what;
  memcpy(record + 1, &name, 2);
  memcpy(record + 3, &offset, 8);
  memcpy(record + 11, &length, 4);
  memcpy(record + 15, path, name);
  if (data) memcpy(record + 15 + name, data, length);
  if (REAL(write)(trace, record, size) != (ssize_t)size) abort();
  free(record);
}

/* Bytes that the files of the directory take; sub-directories are not looked into. */
static long long taken(void) {
  DIR *directory = opendir(root);
  long long sum = 0;
  struct dirent *entry;
  struct stat found;
  while (directory && (entry = readdir(directory)))
    if (fstatat(dirfd(directory), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(found.st_mode))
      sum += found.st_size;
  if (directory) closedir(directory);
  return sum;
}

static int full(int fd, off_t end) {
  struct stat found;
  if (room < 0 || fstat(fd, &found) != 0 || end <= found.st_size) return 0;
  return taken() + (end - found.st_size) > room;
}

static void opened(int fd, const char *path, int flags) {
  path = ours(path);
  if (fd < 0 || fd >= FDS) return;
  pthread_mutex_lock(&lock);
  free(paths[fd]);
  paths[fd] = path && !(flags & O_DIRECTORY) ? strdup(path) : NULL;
  if (paths[fd] && (flags & O_TRUNC)) note('T', paths[fd], 0, NULL, 0);
  pthread_mutex_unlock(&lock);
}

#define OPENS(name)                                                  \
  int name(const char *path, int flags, ...) {                       \
    mode_t mode = 0;                                                 \
    if (flags & (O_CREAT | O_TMPFILE)) {                             \
      va_list rest;                                                  \
      va_start(rest, flags);                                         \
      mode = (mode_t)va_arg(rest, int);                              \
      va_end(rest);                                                  \
    }                                                                \
    int fd = ((int (*)(const char *, int, ...))real(#name))(path, flags, mode); \
    opened(fd, path, flags);                                         \
    return fd;                                                       \
  }
OPENS(open)
OPENS(open64)

int close(int fd) {
  pthread_mutex_lock(&lock);
  if (fd >= 0 && fd < FDS) {
    free(paths[fd]);
    paths[fd] = NULL;
  }
  pthread_mutex_unlock(&lock);
  return REAL(close)(fd);
}

static ssize_t put(int fd, const void *data, size_t size, off_t at) {
  ssize_t done;
  pthread_mutex_lock(&lock);
  const char *path = path_of(fd);
  if (path && full(fd, at + (off_t)size)) {
    errno = ENOSPC;
    done = -1;
  } else {
    done = REAL(pwrite64)(fd, data, size, at);
  }
  int error = errno;
  if (path && done > 0) {
    size_t length = strlen(path);
    char what = length > 5 && strcmp(path + length - 5, "/said") == 0 ? 'A' : 'W';
    note(what, path, (uint64_t)at, data, (uint32_t)done);
  }
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  return path_of(fd) ? put(fd, data, size, at) : REAL(pwrite64)(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  return path_of(fd) ? put(fd, data, size, at) : REAL(pwrite64)(fd, data, size, at);
}

ssize_t write(int fd, const void *data, size_t size) {
  if (!path_of(fd)) return REAL(write)(fd, data, size);
  off_t at = lseek(fd, 0, (fcntl(fd, F_GETFL) & O_APPEND) ? SEEK_END : SEEK_CUR);
  ssize_t done = put(fd, data, size, at);
  if (done > 0) lseek(fd, at + done, SEEK_SET);
  return done;
}

static int cut(int fd, off64_t size) {
  pthread_mutex_lock(&lock);
  const char *path = path_of(fd);
  int done = -1;
  if (path && full(fd, size)) {
    errno = ENOSPC;
  } else {
    done = REAL(ftruncate64)(fd, size);
    if (path && done == 0) note('T', path, (uint64_t)size, NULL, 0);
  }
  int error = errno;
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}
int ftruncate64(int fd, off64_t size) { return cut(fd, size); }
int ftruncate(int fd, off_t size) { return cut(fd, size); }

int posix_fallocate64(int fd, off64_t at, off64_t size) {
  if (!path_of(fd)) return REAL(posix_fallocate64)(fd, at, size);
  if (full(fd, at + size)) return ENOSPC;
  return REAL(posix_fallocate64)(fd, at, size);
}
int posix_fallocate(int fd, off_t at, off_t size) { return posix_fallocate64(fd, at, size); }

/* What was written before B is durable at S.  A process that is traced waits for no real disk: this one is the disk. */
static int synced(int fd, int (*sync)(int)) {
  if (!path_of(fd) || trace < 0) return sync(fd);
  for (const char *what = "BS"; *what; what++) {
    pthread_mutex_lock(&lock);
    if (path_of(fd)) note(*what, path_of(fd), 0, NULL, 0);
    pthread_mutex_unlock(&lock);
  }
  return 0;
}
int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

int unlink(const char *path) {
  int done = REAL(unlink)(path);
  if (done == 0 && ours(path)) {
    pthread_mutex_lock(&lock);
    note('U', path, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
  }
  return done;
}

/* Of the directory itself: what is left of the room we were given, in blocks of one byte. */
#define ROOM(name)                                              \
  int name(const char *path, struct name *found) {              \
    int done = REAL(name)(path, found);                         \
    if (done == 0 && room >= 0 && ours(path)) {                 \
      long long left = room - taken();                          \
      found->f_frsize = 1;                                      \
      found->f_blocks = (fsblkcnt64_t)room;                     \
      found->f_bavail = found->f_bfree = left > 0 ? (fsblkcnt64_t)left : 0; \
    }                                                           \
    return done;                                                \
  }
ROOM(statvfs)
ROOM(statvfs64)
