#include "base/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

enum { READ_BYTES = 16 * 1024 };

static bool write_all(int fd, struct span text)
{
    while (text.size > 0) {
        ssize_t written = write(fd, text.at, text.size);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        text = span_from(text, (size_t)written);
    }
    return true;
}

/* The new name is on disk only when its directory is. */
static bool sync_directory(const char *path)
{
    char directory[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    bool is_synced;
    int fd;

    if (slash) {
        size_t size = slash == path ? 1 : (size_t)(slash - path);

        memcpy(directory, path, size);
        directory[size] = '\0';
    }
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    is_synced = fsync(fd) == 0 || errno == EINVAL; // a file system that has no such thing
    close(fd);
    return is_synced;
}

/* The jail of a process that keeps files knows neither fchmod() nor fchown(): only where needed. */
static bool fill(int fd, struct span text, mode_t mode, const struct keep_owner *owner)
{
    struct stat about;

    return fstat(fd, &about) == 0 && (!owner || fchown(fd, owner->user, owner->group) == 0) &&
           ((about.st_mode & ALLPERMS) == mode || fchmod(fd, mode) == 0) && write_all(fd, text) &&
           fsync(fd) == 0;
}

enum error_kind keep_write(const char *path, struct span text, mode_t mode,
                           const struct keep_owner *owner, struct error *error)
{
    char beside[PATH_MAX];
    int size = snprintf(beside, sizeof beside, "%s.XXXXXX", path), fd;
    enum error_kind kind;
    bool is_kept;

    if (size < 0 || (size_t)size >= sizeof beside)
        return error_set(error, ERROR_LIMIT, "the path %s is too long", path);
    fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return error_errno(error, ERROR_SYSTEM, "cannot write beside %s", path);
    is_kept = fill(fd, text, mode, owner) && rename(beside, path) == 0;
    if (is_kept && sync_directory(path)) {
        close(fd);
        return ERROR_NONE;
    }
    kind = error_errno(error, ERROR_SYSTEM, "cannot keep %s", path);
    close(fd);
    if (!is_kept)
        unlink(beside);
    return kind;
}

enum error_kind keep_read_open(int fd, const char *path, struct buffer *out, struct error *error)
{
    char piece[READ_BYTES];
    ssize_t got;

    while ((got = read(fd, piece, sizeof piece)) != 0) {
        if (got < 0 && errno != EINTR)
            return error_errno(error, ERROR_SYSTEM, "cannot read %s", path);
        if (got > 0 && !buffer_append(out, span_of(piece, (size_t)got)))
            return error_set(error, ERROR_LIMIT, "%s has more than %zu bytes", path,
                             out->limit_bytes);
    }
    return ERROR_NONE;
}

enum error_kind keep_read(const char *path, struct buffer *out, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    enum error_kind kind;
    struct stat about;

    if (fd < 0)
        return errno == ENOENT ? ERROR_NONE
                               : error_errno(error, ERROR_SYSTEM, "cannot read %s", path);
    if (fstat(fd, &about) < 0 || !S_ISREG(about.st_mode)) {
        close(fd);
        return error_set(error, ERROR_SYSTEM, "%s is no file", path);
    }
    kind = keep_read_open(fd, path, out, error);
    close(fd);
    return kind;
}

void keep_put_aside(const char *path, const struct error *why, const char *lost)
{
    char aside[PATH_MAX];
    int size = snprintf(aside, sizeof aside, "%s" KEEP_ASIDE, path);
    bool is_aside = size > 0 && (size_t)size < sizeof aside && rename(path, aside) == 0;

    log_warning("%s is damaged (%s) and %s; %s", path, why->text,
                is_aside ? "put aside" : "cannot be put aside", lost);
}

enum error_kind keep_directory(const char *path, mode_t mode, struct error *error)
{
    char part[PATH_MAX];
    size_t size = strlen(path);

    if (size >= sizeof part)
        return error_set(error, ERROR_LIMIT, "the path %s is too long", path);
    memcpy(part, path, size + 1);
    for (size_t i = 1; i <= size; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        part[i] = '\0';
        if (mkdir(part, mode) < 0 && errno != EEXIST)
            return error_errno(error, ERROR_SYSTEM, "cannot make the directory %s", part);
        part[i] = path[i];
    }
    return ERROR_NONE;
}
