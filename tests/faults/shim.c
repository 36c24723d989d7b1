/* Between a process and the C library: every change below one folder is written down, or the k-th is made to fail.

   Loaded with LD_PRELOAD; does nothing until shim_root() names the folder. A record of the trace, numbers big-endian:

       op (1) | file number (8) | offset or length (8) | length of name, of second name, of data (4 each) | the three

   The ops: c create, w write, t truncate, s sync, r rename, u unlink, l link, m make folder, d remove folder, x sync a
   folder, f a sync that failed, ! a mark of the process itself. A file number is of the open file's inode; names are
   below the folder. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 4096
static struct { char name[PATH_MAX]; uint64_t inode; int folder; } files[FDS];  /* an empty name: none of ours */
static char root[PATH_MAX];
static int trace = -1;
static long calls, fail_at;                 /* the number of the next call of ours; of the first that fails */
static int fail_errno, fail_for_ever;       /* no errno: a write that stops half way, as it may */
static char full_for[32];                   /* files whose names end so find no room, after some time */
static int full_after_ms;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))
#define LOCKED for (int once = (pthread_mutex_lock(&turn), 1); once; once = (pthread_mutex_unlock(&turn), 0))

/* -- told by the test */

void shim_root(const char *folder) { strncpy(root, folder, PATH_MAX - 1); }
void shim_trace(const char *file) { trace = REAL(open64)(file, O_WRONLY | O_CREAT | O_APPEND, 0600); }
void shim_fail(long at, int error, int for_ever) { calls = 0; fail_at = at; fail_errno = error; fail_for_ever = for_ever; }
void shim_full(const char *ending, int after_ms) { full_after_ms = after_ms; strncpy(full_for, ending, 31); }
long shim_calls(void) { return calls; }

/* -- the trace */

static void record(char op, uint64_t inode, uint64_t at, const char *one, const char *two, const void *data, size_t size)
{
    if (trace < 0)
        return;
    unsigned char head[29];
    uint64_t big;
    uint32_t small;
    head[0] = op;
    memcpy(head + 1, (big = htobe64(inode), &big), 8);
    memcpy(head + 9, (big = htobe64(at), &big), 8);
    memcpy(head + 17, (small = htobe32(strlen(one)), &small), 4);
    memcpy(head + 21, (small = htobe32(strlen(two)), &small), 4);
    memcpy(head + 25, (small = htobe32(size), &small), 4);
    struct iovec parts[4] = {{head, 29}, {(void *) one, strlen(one)}, {(void *) two, strlen(two)}, {(void *) data, size}};
    if (REAL(writev)(trace, parts, 4) < 0)
        abort();
}

void shim_mark(const char *data, size_t size) { LOCKED record('!', 0, 0, "", "", data, size); }

/* -- what is ours, and whether it fails */

static const char *below(const char *path)
{
    size_t length = strlen(root);
    if (!length || !path || path[0] != '/')
        return NULL;
    return strncmp(path, root, length) == 0 && path[length] == '/' ? path + length + 1
         : strcmp(path, root) == 0 ? path + length : NULL;
}

static int ours(int fd) { return fd >= 0 && fd < FDS && files[fd].name[0]; }

/* Called before the turn, so that others go on while this one waits. */
static int full(const char *name)
{
    size_t length = strlen(name), end = strlen(full_for);
    if (!end || length < end || strcmp(name + length - end, full_for))
        return 0;
    usleep(full_after_ms * 1000);
    errno = ENOSPC;
    return 1;
}

/* Called with the turn, before a call of ours: whether it fails, and then errno. */
static int fails(void)
{
    long number = ++calls;
    if (!fail_at || number < fail_at || (number > fail_at && !fail_for_ever) || !fail_errno)
        return 0;
    errno = fail_errno;
    return 1;
}

static size_t cut(size_t size) { return fail_at && calls == fail_at && !fail_errno && size > 1 ? size / 2 : size; }

/* -- files */

static int opened(const char *path, int flags, mode_t mode)
{
    const char *name = below(path);
    if (!name)
        return REAL(open64)(path, flags, mode);
    int fd = -1;
    if (flags & O_CREAT && full(name))
        return -1;
    LOCKED {
        struct stat64 was;
        int there = REAL(stat64)(path, &was) == 0;
        if (!fails())
            fd = REAL(open64)(path, flags, mode);
        if (fd >= 0 && fd < FDS) {
            struct stat64 now;
            fstat64(fd, &now);
            snprintf(files[fd].name, PATH_MAX, "/%s", name);
            files[fd].inode = now.st_ino;
            files[fd].folder = S_ISDIR(now.st_mode);
            if (!there)
                record('c', now.st_ino, 0, name, "", NULL, 0);
            else if (flags & O_TRUNC)
                record('t', now.st_ino, 0, name, "", NULL, 0);
        }
    }
    return fd;
}

#define MODE(mode) mode_t mode = 0; if (flags & (O_CREAT | __O_TMPFILE)) { \
    va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int flags, ...) { MODE(mode) return opened(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(mode) return opened(path, flags, mode); }
int openat(int folder, const char *path, int flags, ...)
{
    MODE(mode)
    return path[0] == '/' ? opened(path, flags, mode) : REAL(openat64)(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...)
{
    MODE(mode)
    return path[0] == '/' ? opened(path, flags, mode) : REAL(openat64)(folder, path, flags, mode);
}

int close(int fd)
{
    if (ours(fd))
        LOCKED files[fd].name[0] = 0;
    return REAL(close)(fd);
}

int fclose(FILE *stream)                      /* it closes without close() */
{
    int fd = fileno(stream);
    if (ours(fd))
        LOCKED files[fd].name[0] = 0;
    return REAL(fclose)(stream);
}

static ssize_t written(int fd, const void *data, size_t size, off64_t at, int sequential)
{
    ssize_t done = -1;
    LOCKED {
        if (sequential)
            at = lseek64(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
        if (!fails())
            done = sequential ? REAL(write)(fd, data, cut(size)) : REAL(pwrite64)(fd, data, cut(size), at);
        if (done > 0)
            record('w', files[fd].inode, at, "", "", data, done);
    }
    return done;
}

ssize_t write(int fd, const void *data, size_t size)
{
    return ours(fd) ? written(fd, data, size, 0, 1) : REAL(write)(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    return ours(fd) ? written(fd, data, size, at, 0) : REAL(pwrite)(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    return ours(fd) ? written(fd, data, size, at, 0) : REAL(pwrite64)(fd, data, size, at);
}
ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (!ours(fd))
        return REAL(writev)(fd, parts, count);
    for (int one = 0; one < count; one++)        /* fewer than asked for is an answer that a writer must expect */
        if (parts[one].iov_len)
            return written(fd, parts[one].iov_base, parts[one].iov_len, 0, 1);
    return 0;
}

static int synced(int fd, int (*real)(int))
{
    int done = -1;
    if (!ours(fd))
        return real(fd);
    LOCKED {
        if (!fails())
            done = real(fd);
        record(done ? 'f' : files[fd].folder ? 'x' : 's', files[fd].inode, 0,
               files[fd].folder ? files[fd].name + 1 : "", "", NULL, 0);
    }
    return done;
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

int ftruncate64(int fd, off64_t size)
{
    int done = -1;
    if (!ours(fd))
        return REAL(ftruncate64)(fd, size);
    LOCKED {
        if (!fails())
            done = REAL(ftruncate64)(fd, size);
        if (!done)
            record('t', files[fd].inode, size, "", "", NULL, 0);
    }
    return done;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

/* -- names */

static int named(char op, const char *one, const char *two, int (*real)(const char *, const char *))
{
    int done = -1;
    LOCKED {
        if (!fails())
            done = real(one, two);
        if (!done)
            record(op, 0, 0, below(one), two && below(two) ? below(two) : "", NULL, 0);
    }
    return done;
}

static int unlink_(const char *path, const char *none) { (void) none; return REAL(unlink)(path); }
static int rmdir_(const char *path, const char *none) { (void) none; return REAL(rmdir)(path); }
static int mkdir_(const char *path, const char *none) { (void) none; return REAL(mkdir)(path, 0700); }

int rename(const char *from, const char *to) { return below(from) ? named('r', from, to, REAL(rename)) : REAL(rename)(from, to); }
int link(const char *from, const char *to) { return below(from) ? named('l', from, to, REAL(link)) : REAL(link)(from, to); }
int unlink(const char *path) { return below(path) ? named('u', path, NULL, unlink_) : REAL(unlink)(path); }
int rmdir(const char *path) { return below(path) ? named('d', path, NULL, rmdir_) : REAL(rmdir)(path); }
int mkdir(const char *path, mode_t mode) { return below(path) ? named('m', path, NULL, mkdir_) : REAL(mkdir)(path, mode); }
