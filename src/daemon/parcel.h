/*
 * parcel.h - texts too long for a message, handed from process to process in sealed memory.
 *
 * The sender writes them once into a memfd and seals it, so that it can be neither changed nor
 * cut short under its readers; the descriptor travels in a message. The receiver checks the seals
 * and the size before it maps. Also the one format that such a text has: a config's sources.
 */
#ifndef DEJUNK_DAEMON_PARCEL_H
#define DEJUNK_DAEMON_PARCEL_H

#include "base/error.h"
#include "state/config.h"

enum {
    PARCEL_SOURCES = 1024,                   // files of one config
    PARCEL_SOURCES_BYTES = 16 * 1024 * 1024, // all of them together
};

struct parcel { // sealed memory, kept for whoever comes
    int fd;     // -1: none
    uint64_t size_bytes;
};

/* All parts one behind the other. *fd is the caller's; *size_bytes their sum. */
enum error_kind parcel_pack(int *fd, uint64_t *size_bytes, const struct span *parts, size_t count,
                            struct error *error);

/* The same for all of a file, from its start; ERROR_LIMIT beyond limit_bytes. */
enum error_kind parcel_pack_file(int *fd, uint64_t *size_bytes, int file, uint64_t limit_bytes,
                                 struct error *error);

/* Maps what has just that size, and at most limit_bytes; the descriptor stays the caller's and
 * may be closed. ERROR_CORRUPT when it is not sealed or of another size, ERROR_LIMIT beyond the
 * limit. End with parcel_close(), which also takes SPAN_NONE. */
enum error_kind parcel_open(struct span *out, int fd, uint64_t size_bytes, uint64_t limit_bytes,
                            struct error *error);
void parcel_close(struct span *parcel);

/* Sources as a parcel: a count, then for each a header of two lengths, the name, the text.
 * Reading copies; end with config_sources_done(). ERROR_SYNTAX, ERROR_LIMIT. */
enum error_kind parcel_pack_sources(int *fd, uint64_t *size_bytes,
                                    const struct config_sources *sources, struct error *error);
enum error_kind parcel_read_sources(struct config_sources *out, struct span bytes,
                                    struct error *error);
/* The config in a parcel of sources. The descriptor stays the caller's. */
enum error_kind parcel_read_config(struct config **out, int fd, uint64_t size_bytes,
                                   struct error *error);

#endif
