#include "admin/keep.h"

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
    char directory[PATH_MAX];
    size_t size = strlen(path);
    bool is_synced;
    int fd;

    while (size > 1 && path[size - 1] != '/')
        size--;
    memcpy(directory, path, size);
    directory[size] = '\0';
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    is_synced = fsync(fd) == 0 || errno == EINVAL; // a file system that has no such thing
    close(fd);
    return is_synced;
}

enum error_kind keep_write(const char *path, struct span text, struct error *error)
{
    char beside[PATH_MAX];
    int size = snprintf(beside, sizeof beside, "%s.XXXXXX", path), fd;
    bool is_kept;

    if (size < 0 || (size_t)size >= sizeof beside)
        return error_set(error, ERROR_LIMIT, "the path %s is too long", path);
    fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return error_errno(error, ERROR_SYSTEM, "cannot write beside %s", path);
    is_kept = write_all(fd, text) && fsync(fd) == 0;
    is_kept = close(fd) == 0 && is_kept && rename(beside, path) == 0;
    if (is_kept && sync_directory(path))
        return ERROR_NONE;
    error_errno(error, ERROR_SYSTEM, "cannot keep %s", path);
    if (!is_kept)
        unlink(beside);
    return ERROR_SYSTEM;
}

enum error_kind keep_read(const char *path, struct buffer *out, struct error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char piece[READ_BYTES];
    enum error_kind kind = ERROR_NONE;
    struct stat about;
    ssize_t got;

    if (fd < 0)
        return errno == ENOENT ? ERROR_NONE
                               : error_errno(error, ERROR_SYSTEM, "cannot read %s", path);
    if (fstat(fd, &about) < 0 || !S_ISREG(about.st_mode)) {
        close(fd);
        return error_set(error, ERROR_SYSTEM, "%s is no file", path);
    }
    while ((got = read(fd, piece, sizeof piece)) != 0 && kind == ERROR_NONE) {
        if (got < 0 && errno != EINTR)
            kind = error_errno(error, ERROR_SYSTEM, "cannot read %s", path);
        else if (got > 0 && !buffer_append(out, span_of(piece, (size_t)got)))
            kind =
                error_set(error, ERROR_LIMIT, "%s has more than %zu bytes", path, out->limit_bytes);
    }
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
