#include "cli/fetch_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/keep.h"

enum { SIDE_NAME = FETCH_NAME_ROOM + 16, PIECE_BYTES = 64 * 1024 };

static void side_name(char to[SIDE_NAME], const char *name, const char *suffix)
{
    snprintf(to, SIDE_NAME, ".%s.%s", name, suffix);
}

enum error_kind fetch_directory_open(int *out, const char *path, struct error *error)
{
    enum error_kind kind = keep_directory(path, 0777, error);
    int fd;

    if (kind)
        return kind;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(error, ERROR_SYSTEM, "cannot open the directory %s", path);
    *out = fd;
    return ERROR_NONE;
}

/* ---- what is noted beside a file ---- */

static bool read_text(int directory, const char *name, struct buffer *text)
{
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t got = -1;

    text->size = 0;
    if (fd < 0)
        return false;
    if (buffer_reserve(text, FETCH_META_BYTES))
        got = read(fd, text->at, FETCH_META_BYTES);
    close(fd);
    text->size = got > 0 ? (size_t)got : 0;
    return got > 0;
}

static void keep_text(char *to, size_t size, struct span value)
{
    if (value.size < size) {
        memcpy(to, value.at, value.size);
        to[value.size] = '\0';
    }
}

/* The lines of a note, when it is of this URL and whole ("end" is its last line). */
static bool read_facts(struct fetch_facts *facts, struct span text, struct span url)
{
    bool is_ours = false, is_whole = false;

    memset(facts, 0, sizeof *facts);
    while (text.size) {
        size_t end = span_find_byte(text, '\n');
        struct span line = span_slice(text, 0, end), value;
        size_t blank = span_find_byte(line, ' ');

        text = span_from(text, end + (end < text.size));
        value = span_from(line, blank + (blank < line.size));
        line.size = blank;
        if (span_equal(line, SPAN("url")))
            is_ours = span_equal(value, url);
        else if (span_equal(line, SPAN("etag")))
            keep_text(facts->etag, sizeof facts->etag, value);
        else if (span_equal(line, SPAN("modified")))
            keep_text(facts->modified, sizeof facts->modified, value);
        else if (span_equal(line, SPAN("sha256")))
            keep_text(facts->sha256, sizeof facts->sha256, value);
        else if (span_equal(line, SPAN("bytes")))
            (void)span_to_u64(value, &facts->bytes);
        else if (span_equal(line, SPAN("end")))
            is_whole = true;
    }
    return is_ours && is_whole;
}

static enum error_kind write_text(int directory, const char *name, struct span text,
                                  struct error *error)
{
    char temporary[SIDE_NAME + 8];
    int fd;
    ssize_t put;

    snprintf(temporary, sizeof temporary, "%s.new", name);
    fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return error_errno(error, ERROR_SYSTEM, "cannot write %s", temporary);
    put = write(fd, text.at, text.size);
    close(fd);
    if (put != (ssize_t)text.size || renameat(directory, temporary, directory, name) < 0) {
        enum error_kind kind = error_errno(error, ERROR_SYSTEM, "cannot write %s", name);
        unlinkat(directory, temporary, 0);
        return kind;
    }
    return ERROR_NONE;
}

enum error_kind fetch_file_note(struct fetch_file *file, struct span url,
                                const struct fetch_facts *facts, struct error *error)
{
    struct buffer text = { .limit_bytes = FETCH_META_BYTES };
    char name[SIDE_NAME];
    enum error_kind kind;

    side_name(name, file->name, "meta");
    if (!buffer_printf(&text, "url %.*s\n", SPAN_PRINT(url)) ||
        (facts->etag[0] && !buffer_printf(&text, "etag %s\n", facts->etag)) ||
        (facts->modified[0] && !buffer_printf(&text, "modified %s\n", facts->modified)) ||
        (facts->sha256[0] && !buffer_printf(&text, "sha256 %s\n", facts->sha256)) ||
        !buffer_printf(&text, "bytes %llu\nend\n", (unsigned long long)facts->bytes))
        kind = error_set(error, ERROR_LIMIT, "the note for %s is too long", file->name);
    else
        kind = write_text(file->directory, name, buffer_span(&text), error);
    buffer_release(&text);
    file->has_meta = kind == ERROR_NONE;
    return kind;
}

/* ---- names ---- */

static void close_files(struct fetch_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    if (file->found >= 0)
        close(file->found);
    file->fd = file->found = -1;
}

/* Opens and locks the part of `name`; false when somebody else has it. The part that is locked may
 * have become a file in the meantime: then it is another one's. */
static bool open_part(int directory, const char *name, int *out, bool *is_new)
{
    char part[SIDE_NAME];
    struct stat ours, there;
    int fd;

    side_name(part, name, "part");
    *is_new = true;
    fd = openat(directory, part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        *out = fd;
        return true;
    }
    if (fd >= 0)
        close(fd);
    *is_new = false;
    fd = openat(directory, part, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return false;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &ours) < 0 || !S_ISREG(ours.st_mode) ||
        fstatat(directory, part, &there, AT_SYMLINK_NOFOLLOW) < 0 || ours.st_ino != there.st_ino ||
        ours.st_dev != there.st_dev) {
        close(fd);
        return false;
    }
    *out = fd;
    return true;
}

static void remove_side(const struct fetch_file *file, const char *suffix)
{
    char name[SIDE_NAME];

    side_name(name, file->name, suffix);
    unlinkat(file->directory, name, 0);
}

/* What is there under this name, and whether it is the URL's, or free. `noted` is what stands
 * beside it, .at NULL: nothing. False: the name is another one's. */
static bool find(struct fetch_file *file, struct span url, enum fetch_file_mode mode,
                 struct span noted)
{
    struct stat whole;
    bool there = fstatat(file->directory, file->name, &whole, AT_SYMLINK_NOFOLLOW) == 0;
    bool ours = noted.at && read_facts(&file->facts, noted, url);
    bool was_whole = ours && file->facts.sha256[0];

    file->state = FETCH_FILE_NOTHING;
    if (there && was_whole && S_ISREG(whole.st_mode) &&
        file->facts.bytes == (uint64_t)whole.st_size) { // else the note is not of this file
        file->state = FETCH_FILE_WHOLE;
        file->size = (uint64_t)whole.st_size;
    } else if (ours && !was_whole && file->size) {
        file->state = FETCH_FILE_PART;
    } else if (there) {
        if (mode == FETCH_FILE_NEW || !S_ISREG(whole.st_mode) || was_whole || (noted.at && !ours))
            return false;
        file->found = openat(file->directory, file->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        file->state = FETCH_FILE_UNKNOWN;
        file->size = (uint64_t)whole.st_size;
        return file->found >= 0;
    } // else a part of another URL, perhaps, that nobody goes on with
    return true;
}

static bool read_note(const struct fetch_file *file, struct buffer *text)
{
    char name[SIDE_NAME];

    side_name(name, file->name, "meta");
    return read_text(file->directory, name, text);
}

static bool is_noted(const struct fetch_file *file, struct span url, struct buffer *text)
{
    struct fetch_facts facts;
    return read_note(file, text) && read_facts(&facts, buffer_span(text), url);
}

/* Is this name free for the URL, or its own? Then the part is open and locked. */
static bool try_name(struct fetch_file *file, struct span url, enum fetch_file_mode mode,
                     struct buffer *text)
{
    struct stat part;
    bool is_new;

    if (!open_part(file->directory, file->name, &file->fd, &is_new))
        return false;
    file->has_meta = mode != FETCH_FILE_NEW && read_note(file, text);
    file->size = !is_new && fstat(file->fd, &part) == 0 ? (uint64_t)part.st_size : 0;
    if (find(file, url, mode, file->has_meta ? buffer_span(text) : SPAN_NONE))
        return true;
    remove_side(file, "part");
    close_files(file);
    return false;
}

enum error_kind fetch_file_begin(struct fetch_file *file, int directory, const char *name,
                                 struct span url, enum fetch_file_mode mode, struct error *error)
{
    struct buffer text = { .limit_bytes = FETCH_META_BYTES };
    bool good = false, any = mode == FETCH_FILE_NEW;

    *file = (struct fetch_file){ .directory = directory, .fd = -1, .found = -1 };
    // What is noted as the URL's goes before what may be had.
    for (unsigned number = 0; number < FETCH_NAME_TRIES && !good;) {
        fetch_name_try(file->name, name, number, url);
        good = (any || is_noted(file, url, &text)) && try_name(file, url, mode, &text);
        if (++number == FETCH_NAME_TRIES && !any) {
            any = true;
            number = 0;
        }
    }
    buffer_release(&text);
    if (good)
        return ERROR_NONE;
    return error_set(error, ERROR_SYSTEM, "no name like %s is free", name);
}

/* ---- bytes ---- */

enum error_kind fetch_file_resume(struct fetch_file *file, uint64_t size, struct error *error)
{
    if (ftruncate(file->fd, (off_t)size) < 0 || lseek(file->fd, (off_t)size, SEEK_SET) < 0)
        return error_errno(error, ERROR_SYSTEM, "cannot write .%s.part", file->name);
    file->size = size;
    return ERROR_NONE;
}

enum error_kind fetch_file_restart(struct fetch_file *file, struct error *error)
{
    if (file->state != FETCH_FILE_WHOLE) { // first: a note never stands beside another body
        remove_side(file, "meta");
        file->has_meta = false;
    }
    if (file->state == FETCH_FILE_NOTHING && file->size == 0)
        return ERROR_NONE;
    return fetch_file_resume(file, 0, error);
}

enum error_kind fetch_file_write(struct fetch_file *file, struct span bytes, struct error *error)
{
    while (bytes.size) {
        ssize_t put = write(file->fd, bytes.at, bytes.size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return error_errno(error, ERROR_SYSTEM, "cannot write .%s.part", file->name);
        file->size += (uint64_t)put;
        bytes = span_from(bytes, (size_t)put);
    }
    return ERROR_NONE;
}

size_t fetch_file_read(const struct fetch_file *file, uint64_t from, char *to, size_t room)
{
    ssize_t got = pread(file->found >= 0 ? file->found : file->fd, to, room, (off_t)from);
    return got > 0 ? (size_t)got : 0;
}

bool fetch_file_has(const struct fetch_file *file, uint64_t from, struct span bytes)
{
    static char there[PIECE_BYTES];

    while (bytes.size) {
        size_t size = bytes.size < sizeof there ? bytes.size : sizeof there;
        size_t got = fetch_file_read(file, from, there, size);

        if (got == 0 || memcmp(there, bytes.at, got) != 0)
            return false;
        from += got;
        bytes = span_from(bytes, got);
    }
    return true;
}

/* Is what came the same as the file that nobody told of? */
static bool is_the_same(const struct fetch_file *file)
{
    static char came[PIECE_BYTES];
    struct stat part, there;
    ssize_t got;

    if (fstat(file->fd, &part) < 0 || fstat(file->found, &there) < 0 || !S_ISREG(there.st_mode) ||
        part.st_size != there.st_size)
        return false;
    for (off_t at = 0; at < part.st_size; at += got) {
        got = pread(file->fd, came, sizeof came, at);
        if (got <= 0 || !fetch_file_has(file, (uint64_t)at, span_of(came, (size_t)got)))
            return false;
    }
    return true;
}

/* The same for the file of another name that may be the URL's: nobody told of it, nor is anybody at
 * it. Then it is what was found. */
static bool is_the_same_as(struct fetch_file *file, const char *name)
{
    char side[SIDE_NAME];
    bool is_new, is_same = false;
    int lock;

    if (!open_part(file->directory, name, &lock, &is_new))
        return false;
    side_name(side, name, "meta");
    if (faccessat(file->directory, side, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
        close(file->found);
        file->found = openat(file->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        is_same = file->found >= 0 && is_the_same(file);
    }
    side_name(side, name, "part");
    if (is_new)
        unlinkat(file->directory, side, 0);
    close(lock);
    return is_same;
}

/* Some file systems cannot tell by themselves whether something is there. */
static int rename_to(const struct fetch_file *file, const char *part, const char *name)
{
    // What is there may only be replaced when it is of the same URL.
    unsigned flags = file->state == FETCH_FILE_WHOLE ? 0 : RENAME_NOREPLACE;
    int result = renameat2(file->directory, part, file->directory, name, flags);

    if (result < 0 && errno == EINVAL && flags) {
        if (faccessat(file->directory, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            errno = EEXIST;
        else
            result = renameat(file->directory, part, file->directory, name);
    }
    return result;
}

enum error_kind fetch_file_keep(struct fetch_file *file, const char *name, struct span url,
                                struct error *error)
{
    char part[SIDE_NAME], to[FETCH_NAME_ROOM];
    bool is_there = file->state == FETCH_FILE_UNKNOWN && is_the_same(file);
    int result;

    side_name(part, file->name, "part");
    result = is_there ? 0 : rename_to(file, part, file->name);
    for (unsigned number = 1; result < 0 && errno == EEXIST && number < FETCH_NAME_TRIES;
         number++) {
        fetch_name_try(to, name, number, url);
        is_there = file->state == FETCH_FILE_UNKNOWN && is_the_same_as(file, to);
        result = is_there ? 0 : rename_to(file, part, to);
        if (result == 0) {
            fetch_file_forget(file);
            memcpy(file->name, to, sizeof to);
            remove_side(file, "meta"); // of a part that was there once
        }
    }
    if (is_there)
        unlinkat(file->directory, part, 0);
    if (result < 0)
        return error_errno(error, ERROR_SYSTEM, "cannot rename %s", part);
    close_files(file);
    return ERROR_NONE;
}

void fetch_file_forget(struct fetch_file *file)
{
    if (file->has_meta)
        remove_side(file, "meta");
    file->has_meta = false;
}

void fetch_file_drop(struct fetch_file *file, bool keeps_part)
{
    if (file->fd < 0)
        return;
    if (!keeps_part) {
        remove_side(file, "part");
        if (file->state != FETCH_FILE_WHOLE && file->has_meta)
            remove_side(file, "meta");
    }
    close_files(file);
}
