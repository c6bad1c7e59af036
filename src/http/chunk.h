/*
 * chunk.h - the line before a chunk: its size, and extensions that are checked and dropped.
 *
 * Knows nothing of how lines are found (RFC 9112 section 7.1).
 */
#ifndef DEJUNK_HTTP_CHUNK_H
#define DEJUNK_HTTP_CHUNK_H

#include "base/bytes.h"
#include "http/refusal.h"

struct chunk_line {
    uint64_t size;
    bool has_blanks; // behind the size, and nothing else: servers that fill up their columns
};

/* `line` is without its CRLF. False: *why says what is wrong. */
bool chunk_line_parse(struct chunk_line *out, struct span line, struct refusal *why);

#endif
