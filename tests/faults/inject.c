/*
 * A faulty disk under a real program.
 *
 * The store has no hook for its files, so the layer stands below the whole process: this library is
 * loaded with LD_PRELOAD, and the calls of libc that change files go through it. It looks only at
 * files and folders below one folder; all others, and all sockets, are passed through.
 *
 *   WEFT_FAULTS_BELOW    The folder whose files are on the faulty disk, absolute.
 *   WEFT_FAULTS_CONTROL  Folder of this library's own files, outside of it and on the same file
 *                        system:
 *     plan   Which calls fail; read again whenever it is another file. Absent: none.
 *     hits   One line for every fault: the call, what was done, the path.
 *     keep/  When it exists, whatever is needed to take back what a loss of power would: see below.
 *     log    Likewise.
 *
 * A line of the plan is `CALL PATTERN SKIP TIMES ACTION`. The first line that fits a call decides.
 *   CALL     open (for writing), write, truncate, sync, rename, unlink or mkdir.
 *   PATTERN  Part of the path, or * for any.
 *   SKIP     Calls that fit and pass before the first fault.
 *   TIMES    Calls that are hit after that; -1 for all. Later ones pass.
 *   ACTION   The name of an error (ENOSPC, EIO, EROFS); SHORT: a write takes half of the bytes and
 *            says so; SHORT:ERROR: likewise, and the next calls that are hit fail; SLEEP:MS: the
 *            call takes so much longer.
 *
 * Loss of power. A write is on disk when its file was synced, a name when its folder was. So that
 * all else can be taken back, every file gets a second name in keep/, its inode number, and log
 * holds in order, as records of five little-endian words and bytes (see `struct record`):
 *   W  A write, with the bytes that it replaces.
 *   T  A change of length, with the bytes that it cuts off.
 *   S  A sync of a file that succeeded.
 *   F  A sync that was made to fail. What was written before is lost, as on a disk: Linux marks the
 *      pages as clean, reads go on to find them in memory, and no later sync writes them.
 *   D  A sync of a folder, with the names in it.
 * Renames are not hooked, because some go to the kernel directly; the names in a synced folder show
 * them. tests/src/power.rs puts the folder into the state after the loss.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
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
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_RULES 16

/* The kernel's own calls: nothing here may come back to the functions below. */
#define RAW(...) syscall(__VA_ARGS__)

enum call { OPEN, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, CALLS };
static const char *const call_names[CALLS] = {"open",   "write",  "truncate", "sync",
                                              "rename", "unlink", "mkdir"};

struct rule {
    enum call call;
    char pattern[128];
    long skip, times;
    int error, shortened, sleep_ms;
    long seen, hit;
};

struct verdict {
    int error, shortened;
};

struct record {
    uint64_t kind, inode, offset, length, size_before, bytes;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char below[PATH_MAX], control[PATH_MAX];
static size_t below_length;
static struct rule rules[MAX_RULES];
static int rule_count;
static ino_t plan_inode;
static int hits = -1, keep = -1, log_file = -1;

static void die(const char *what) {
    dprintf(2, "faults: %s: %s\n", what, strerror(errno));
    _exit(99);
}

static int control_file(const char *name) {
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/%s", control, name);
    int fd = (int)RAW(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        die(path);
    return fd;
}

__attribute__((constructor)) static void start(void) {
    const char *folder = getenv("WEFT_FAULTS_BELOW"), *own = getenv("WEFT_FAULTS_CONTROL");
    if (!folder || !own)
        return;
    snprintf(below, sizeof below, "%s", folder);
    snprintf(control, sizeof control, "%s", own);
    below_length = strlen(below);
    hits = control_file("hits");
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/keep", control);
    keep = (int)RAW(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (keep >= 0)
        log_file = control_file("log");
}

static int error_number(const char *name) {
    static const struct {
        const char *name;
        int number;
    } errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EROFS", EROFS}};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (!strcmp(name, errors[i].name))
            return errors[i].number;
    errno = EINVAL;
    die(name);
    return 0;
}

static void parse_rule(const char *line) {
    char call[16], action[32];
    struct rule rule = {0};
    if (sscanf(line, "%15s %127s %ld %ld %31s", call, rule.pattern, &rule.skip, &rule.times,
               action) != 5 ||
        rule_count == MAX_RULES) {
        errno = EINVAL;
        die(line);
    }
    while (rule.call < CALLS && strcmp(call, call_names[rule.call]))
        rule.call++;
    if (rule.call == CALLS) {
        errno = EINVAL;
        die(call);
    }
    if (!strncmp(action, "SLEEP:", 6))
        rule.sleep_ms = atoi(action + 6);
    else if (!strncmp(action, "SHORT", 5)) {
        rule.shortened = 1;
        if (action[5] == ':')
            rule.error = error_number(action + 6);
    } else
        rule.error = error_number(action);
    rules[rule_count++] = rule;
}

/* Reads the plan when it is another file than last time. */
static void read_plan(void) {
    char path[PATH_MAX + 16], text[4096];
    snprintf(path, sizeof path, "%s/plan", control);
    struct stat found;
    if (stat(path, &found)) {
        rule_count = 0;
        plan_inode = 0;
        return;
    }
    if (found.st_ino == plan_inode)
        return;
    int fd = (int)RAW(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    ssize_t length = fd < 0 ? -1 : RAW(SYS_read, fd, text, sizeof text - 1);
    if (length < 0)
        die(path);
    RAW(SYS_close, fd);
    text[length] = 0;
    rule_count = 0;
    plan_inode = found.st_ino;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        parse_rule(line);
}

static int is_below(const char *path) {
    return below_length && !strncmp(path, below, below_length) &&
           (path[below_length] == '/' || path[below_length] == 0);
}

/* What the plan says about a call. Called with the lock held. */
static struct verdict judge(enum call call, const char *path) {
    struct verdict verdict = {0};
    read_plan();
    for (int i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        if (rule->call != call || (strcmp(rule->pattern, "*") && !strstr(path, rule->pattern)))
            continue;
        if (rule->seen++ < rule->skip || (rule->times >= 0 && rule->hit >= rule->times))
            break;
        rule->hit++;
        int is_short = rule->shortened && (rule->hit == 1 || !rule->error);
        dprintf(hits, "%s %s %s\n", call_names[call],
                is_short         ? "short"
                : rule->sleep_ms ? "sleep"
                                 : strerrorname_np(rule->error),
                path);
        if (rule->sleep_ms) {
            int ms = rule->sleep_ms;
            pthread_mutex_unlock(&lock);
            usleep((useconds_t)ms * 1000);
            pthread_mutex_lock(&lock);
        }
        verdict.shortened = is_short;
        verdict.error = is_short ? 0 : rule->error;
        break;
    }
    return verdict;
}

static int fail(int error) {
    errno = error;
    return -1;
}

/* Path of an open file or folder below the folder; 0 when it is another one. */
static int watched(int fd, char *path, mode_t *type) {
    struct stat found;
    if (!below_length || fstat(fd, &found) || !(S_ISREG(found.st_mode) || S_ISDIR(found.st_mode)))
        return 0;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    *type = found.st_mode;
    return is_below(path);
}

/* Path as it was given, made absolute. */
static int watched_path(int folder, const char *given, char *path) {
    if (!below_length)
        return 0;
    if (given[0] == '/')
        snprintf(path, PATH_MAX, "%s", given);
    else {
        char base[PATH_MAX / 2] = "";
        char link[64];
        snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d",
                 folder);
        ssize_t length = readlink(link, base, sizeof base - 1);
        base[length < 0 ? 0 : length] = 0;
        snprintf(path, PATH_MAX, "%s/%s", base, given);
    }
    return is_below(path);
}

/* ---- the log ---- */

static void put(struct record record, const void *bytes) {
    char *whole = malloc(sizeof record + record.bytes);
    if (!whole)
        die("log");
    memcpy(whole, &record, sizeof record);
    if (record.bytes)
        memcpy(whole + sizeof record, bytes, record.bytes);
    size_t length = sizeof record + record.bytes;
    for (size_t done = 0; done < length;) {
        ssize_t step = RAW(SYS_write, log_file, whole + done, length - done);
        if (step < 0)
            die("log");
        done += (size_t)step;
    }
    free(whole);
}

/* Logs that the bytes of a range are going to be replaced, or cut off. */
static void log_change(int fd, uint64_t kind, off_t offset, size_t length) {
    struct stat found;
    if (log_file < 0 || fstat(fd, &found) || (kind == 'T' && offset == found.st_size))
        return;
    off_t end = kind == 'T' ? found.st_size : offset + (off_t)length;
    if (end > found.st_size)
        end = found.st_size;
    size_t old = end > offset ? (size_t)(end - offset) : 0;
    char *bytes = malloc(old + 1);
    if (!bytes)
        die("log");
    /* A file that is open for writing alone is read by another descriptor. */
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int reader = (int)RAW(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
    size_t got = 0;
    while (reader >= 0 && got < old) {
        ssize_t step = RAW(SYS_pread64, reader, bytes + got, old - got, offset + (off_t)got);
        if (step <= 0)
            break;
        got += (size_t)step;
    }
    if (reader >= 0)
        RAW(SYS_close, reader);
    /* Zeros at the end need no bytes: files are made long and filled later. */
    while (got && !bytes[got - 1])
        got--;
    put((struct record){kind, found.st_ino, (uint64_t)offset, length, (uint64_t)found.st_size, got},
        bytes);
    free(bytes);
}

static void log_names(int fd) {
    struct stat folder;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    DIR *open = opendir(link);
    if (!open || fstat(fd, &folder))
        die("listing a folder");
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    for (struct dirent *entry; (entry = readdir(open));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            fprintf(out, "%c %llu %s\n", entry->d_type == DT_DIR ? 'd' : 'f',
                    (unsigned long long)entry->d_ino, entry->d_name);
    fclose(out);
    closedir(open);
    put((struct record){'D', folder.st_ino, 0, 0, 0, length}, text);
    free(text);
}

static void log_sync(int fd, uint64_t kind) {
    struct stat found;
    if (log_file < 0 || fstat(fd, &found))
        return;
    if (S_ISDIR(found.st_mode)) {
        if (kind == 'S')
            log_names(fd);
    } else
        put((struct record){kind, found.st_ino, 0, 0, 0, 0}, NULL);
}

static void keep_file(int fd) {
    struct stat found;
    if (log_file < 0 || fstat(fd, &found) || !S_ISREG(found.st_mode))
        return;
    char link[64], name[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    snprintf(name, sizeof name, "%llu", (unsigned long long)found.st_ino);
    if (linkat(AT_FDCWD, link, keep, name, AT_SYMLINK_FOLLOW) && errno != EEXIST)
        die("keeping a file");
}

/* ---- the calls ---- */

static int truncate_locked(int fd, off_t length) {
    log_change(fd, 'T', length, 0);
    return (int)RAW(SYS_ftruncate, fd, length);
}

static int open_file(int folder, const char *given, int flags, mode_t mode) {
    char path[PATH_MAX];
    int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    if (!writes || (flags & O_TMPFILE) == O_TMPFILE || !watched_path(folder, given, path))
        return (int)RAW(SYS_openat, folder, given, flags, mode);
    pthread_mutex_lock(&lock);
    struct verdict verdict = judge(OPEN, path);
    int fd = verdict.error ? fail(verdict.error)
                           : (int)RAW(SYS_openat, folder, given, flags & ~O_TRUNC, mode);
    if (fd >= 0) {
        keep_file(fd);
        if (flags & O_TRUNC)
            truncate_locked(fd, 0);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define MODE(flags, mode)                                                                          \
    mode_t mode = 0;                                                                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                         \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode = va_arg(rest, mode_t);                                                               \
        va_end(rest);                                                                              \
    }

int open(const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_file(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_file(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

int openat(int folder, const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_file(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_file(folder, path, flags | O_LARGEFILE, mode);
}

/* A write of one buffer; `offset` is below zero for the file's own position. */
static ssize_t write_locked(int fd, const void *bytes, size_t length, off_t offset) {
    if (log_file >= 0) {
        off_t at = offset;
        if (at < 0 && (fcntl(fd, F_GETFL) & O_APPEND)) {
            struct stat found;
            at = fstat(fd, &found) ? 0 : found.st_size;
        } else if (at < 0)
            at = lseek(fd, 0, SEEK_CUR);
        log_change(fd, 'W', at, length);
    }
    return offset < 0 ? RAW(SYS_write, fd, bytes, length)
                      : RAW(SYS_pwrite64, fd, bytes, length, offset);
}

static ssize_t write_buffers(int fd, const struct iovec *buffers, int count, off_t offset) {
    char path[PATH_MAX];
    mode_t type;
    if (!watched(fd, path, &type)) {
        if (offset >= 0)
            return RAW(SYS_pwrite64, fd, buffers->iov_base, buffers->iov_len, offset);
        if (count == 1)
            return RAW(SYS_write, fd, buffers->iov_base, buffers->iov_len);
        return RAW(SYS_writev, fd, buffers, count);
    }
    pthread_mutex_lock(&lock);
    struct verdict verdict = judge(WRITE, path);
    ssize_t written = 0;
    if (verdict.error)
        written = fail(verdict.error);
    /* Of several buffers the first that is not empty is written: a short write, which is allowed. */
    int first = 0;
    while (first < count - 1 && !buffers[first].iov_len)
        first++;
    if (!verdict.error) {
        size_t length = buffers[first].iov_len;
        if (verdict.shortened && length > 1)
            length /= 2;
        written = write_locked(fd, buffers[first].iov_base, length, offset);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return written;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    struct iovec buffer = {(void *)bytes, length};
    return write_buffers(fd, &buffer, 1, -1);
}

ssize_t writev(int fd, const struct iovec *buffers, int count) {
    if (count < 1)
        return RAW(SYS_writev, fd, buffers, count);
    return write_buffers(fd, buffers, count, -1);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    struct iovec buffer = {(void *)bytes, length};
    return write_buffers(fd, &buffer, 1, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) {
    return pwrite(fd, bytes, length, offset);
}

int ftruncate(int fd, off_t length) {
    char path[PATH_MAX];
    mode_t type;
    if (!watched(fd, path, &type))
        return (int)RAW(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&lock);
    struct verdict verdict = judge(TRUNCATE, path);
    int result = verdict.error ? fail(verdict.error) : truncate_locked(fd, length);
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }

static int sync_file(int fd, long number) {
    char path[PATH_MAX];
    mode_t type;
    if (!watched(fd, path, &type))
        return (int)RAW(number, fd);
    pthread_mutex_lock(&lock);
    struct verdict verdict = judge(SYNC, path);
    /* With a log, no write may come between a sync and its record. */
    int alone = log_file >= 0;
    if (!alone)
        pthread_mutex_unlock(&lock);
    int result = verdict.error ? fail(verdict.error) : (int)RAW(number, fd);
    int error = errno;
    if (alone) {
        log_sync(fd, result ? 'F' : 'S');
        pthread_mutex_unlock(&lock);
    }
    errno = error;
    return result;
}

int fsync(int fd) { return sync_file(fd, SYS_fsync); }

int fdatasync(int fd) { return sync_file(fd, SYS_fdatasync); }

static int judge_path(enum call call, const char *given) {
    char path[PATH_MAX];
    if (!watched_path(AT_FDCWD, given, path))
        return 0;
    pthread_mutex_lock(&lock);
    struct verdict verdict = judge(call, path);
    pthread_mutex_unlock(&lock);
    return verdict.error;
}

int rename(const char *from, const char *to) {
    int error = judge_path(RENAME, to);
    return error ? fail(error) : (int)RAW(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path) {
    int error = judge_path(UNLINK, path);
    return error ? fail(error) : (int)RAW(SYS_unlinkat, AT_FDCWD, path, 0);
}

int mkdir(const char *path, mode_t mode) {
    int error = judge_path(MKDIR, path);
    return error ? fail(error) : (int)RAW(SYS_mkdirat, AT_FDCWD, path, mode);
}
