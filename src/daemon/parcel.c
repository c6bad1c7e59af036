#include "daemon/parcel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

enum { PIECE_BYTES = 64 * 1024 };

struct source_header {
    uint32_t name_bytes;
    uint32_t text_bytes;
};

static enum error_kind write_all(int fd, struct span bytes, struct error *error)
{
    while (bytes.size > 0) {
        ssize_t written = write(fd, bytes.at, bytes.size);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return error_errno(error, ERROR_SYSTEM, "cannot write %zu bytes to memory", bytes.size);
        bytes = span_from(bytes, (size_t)written);
    }
    return ERROR_NONE;
}

static enum error_kind make(int *fd, struct error *error)
{
    *fd = memfd_create("dejunk", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return *fd >= 0 ? ERROR_NONE : error_errno(error, ERROR_SYSTEM, "no memory to hand over");
}

/* Or closes it, after an error. */
static enum error_kind seal(int made, enum error_kind kind, struct error *error)
{
    if (kind == ERROR_NONE && fcntl(made, F_ADD_SEALS, SEALS) < 0)
        kind = error_errno(error, ERROR_SYSTEM, "cannot seal memory");
    if (kind != ERROR_NONE)
        close(made);
    return kind;
}

enum error_kind parcel_pack(int *fd, uint64_t *size_bytes, const struct span *parts, size_t count,
                            struct error *error)
{
    uint64_t sum = 0;
    int made;
    enum error_kind kind = make(&made, error);

    if (kind != ERROR_NONE)
        return kind;
    for (size_t i = 0; i < count && kind == ERROR_NONE; i++) {
        kind = write_all(made, parts[i], error);
        sum += parts[i].size;
    }
    kind = seal(made, kind, error);
    if (kind != ERROR_NONE)
        return kind;
    *fd = made;
    *size_bytes = sum;
    return ERROR_NONE;
}

enum error_kind parcel_pack_file(int *fd, uint64_t *size_bytes, int file, uint64_t limit_bytes,
                                 struct error *error)
{
    char piece[PIECE_BYTES];
    uint64_t sum = 0;
    ssize_t got;
    int made;
    enum error_kind kind = make(&made, error);

    if (kind != ERROR_NONE)
        return kind;
    while (kind == ERROR_NONE && (got = pread(file, piece, sizeof piece, (off_t)sum)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            kind = error_errno(error, ERROR_SYSTEM, "cannot read a file into memory");
        else if ((uint64_t)got > limit_bytes - sum)
            kind = error_set(error, ERROR_LIMIT, "a file of more than %llu bytes",
                             (unsigned long long)limit_bytes);
        else
            kind = write_all(made, span_of(piece, (size_t)got), error);
        sum += got > 0 ? (uint64_t)got : 0;
    }
    kind = seal(made, kind, error);
    if (kind != ERROR_NONE)
        return kind;
    *fd = made;
    *size_bytes = sum;
    return ERROR_NONE;
}

enum error_kind parcel_open(struct span *out, int fd, uint64_t size_bytes, uint64_t limit_bytes,
                            struct error *error)
{
    struct stat about;
    int seals = fcntl(fd, F_GET_SEALS);
    void *at;

    if (seals < 0 || (seals & SEALS) != SEALS)
        return error_set(error, ERROR_CORRUPT, "memory that is not sealed");
    if (fstat(fd, &about) < 0)
        return error_errno(error, ERROR_SYSTEM, "no size of sealed memory");
    if ((uint64_t)about.st_size != size_bytes)
        return error_set(error, ERROR_CORRUPT, "sealed memory of another size than said");
    if (size_bytes > limit_bytes)
        return error_set(error, ERROR_LIMIT, "%llu bytes where %llu are allowed",
                         (unsigned long long)size_bytes, (unsigned long long)limit_bytes);
    if (size_bytes == 0) {
        *out = SPAN_NONE;
        return ERROR_NONE;
    }
    at = mmap(NULL, (size_t)size_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return error_errno(error, ERROR_SYSTEM, "cannot map sealed memory");
    *out = span_of(at, (size_t)size_bytes);
    return ERROR_NONE;
}

void parcel_close(struct span *parcel)
{
    if (parcel->size > 0)
        munmap((void *)(uintptr_t)parcel->at, parcel->size);
    *parcel = SPAN_NONE;
}

enum error_kind parcel_pack_sources(int *fd, uint64_t *size_bytes,
                                    const struct config_sources *sources, struct error *error)
{
    struct buffer bytes = { .limit_bytes = PARCEL_SOURCES_BYTES };
    uint32_t count = (uint32_t)sources->count;
    bool fits = sources->count <= PARCEL_SOURCES;
    enum error_kind kind;

    fits = fits && buffer_append(&bytes, span_of((const char *)&count, sizeof count));
    for (size_t i = 0; i < sources->count && fits; i++) {
        struct span name = sources->items[i].name, text = sources->items[i].text;
        struct source_header header = { (uint32_t)name.size, (uint32_t)text.size };

        fits = name.size <= PARCEL_SOURCES_BYTES && text.size <= PARCEL_SOURCES_BYTES &&
               buffer_append(&bytes, span_of((const char *)&header, sizeof header)) &&
               buffer_append(&bytes, name) && buffer_append(&bytes, text);
    }
    if (fits) {
        struct span all = buffer_span(&bytes);
        kind = parcel_pack(fd, size_bytes, &all, 1, error);
    } else {
        kind = error_set(error, ERROR_LIMIT, "the config has more than %d files or %d bytes in all",
                         PARCEL_SOURCES, PARCEL_SOURCES_BYTES);
    }
    buffer_release(&bytes);
    return kind;
}

/* Cuts `size` bytes off the front and copies them into the arena. */
static bool take(struct span *bytes, size_t size, struct arena *arena, struct span *out)
{
    if (size > bytes->size)
        return false;
    *out = arena_copy(arena, span_slice(*bytes, 0, size));
    *bytes = span_from(*bytes, size);
    return out->at != NULL;
}

enum error_kind parcel_read_sources(struct config_sources *out, struct span bytes,
                                    struct error *error)
{
    struct config_sources sources = { .items = NULL };
    uint32_t count;

    if (bytes.size > PARCEL_SOURCES_BYTES)
        return error_set(error, ERROR_LIMIT, "config sources of %zu bytes", bytes.size);
    if (bytes.size < sizeof count)
        return error_set(error, ERROR_SYNTAX, "config sources without a count");
    memcpy(&count, bytes.at, sizeof count);
    bytes = span_from(bytes, sizeof count);
    if (count > PARCEL_SOURCES)
        return error_set(error, ERROR_LIMIT, "%u config sources", count);
    arena_init(&sources.arena, 2 * (size_t)PARCEL_SOURCES_BYTES);
    sources.items = arena_zalloc(&sources.arena, (count + 1) * sizeof *sources.items);
    for (uint32_t i = 0; i < count; i++) {
        struct source_header header;

        if (bytes.size < sizeof header)
            goto cut_short;
        memcpy(&header, bytes.at, sizeof header);
        bytes = span_from(bytes, sizeof header);
        if (!take(&bytes, header.name_bytes, &sources.arena, &sources.items[i].name) ||
            !take(&bytes, header.text_bytes, &sources.arena, &sources.items[i].text))
            goto cut_short;
    }
    if (bytes.size > 0)
        goto cut_short;
    sources.count = count;
    *out = sources;
    return ERROR_NONE;
cut_short:
    arena_done(&sources.arena);
    return error_set(error, ERROR_SYNTAX, "config sources whose lengths do not add up");
}

enum error_kind parcel_read_config(struct config **out, int fd, uint64_t size_bytes,
                                   struct error *error)
{
    struct config_sources sources;
    struct span bytes;
    enum error_kind kind = parcel_open(&bytes, fd, size_bytes, PARCEL_SOURCES_BYTES, error);

    if (kind != ERROR_NONE)
        return kind;
    kind = parcel_read_sources(&sources, bytes, error);
    parcel_close(&bytes);
    if (kind != ERROR_NONE)
        return kind;
    kind = config_parse(out, &sources, error);
    config_sources_done(&sources);
    return kind;
}
