/*
 * arena.h - memory that dies together: bump allocation in chunks, all given back at once.
 *
 * One arena for each exchange; its headers, URLs and verdicts point into it. An arena has a
 * ceiling (limit_bytes) past which it answers NULL, so that what a peer sends cannot grow it
 * without end. arena_reset() keeps the first chunk, so that an arena in a free list costs no
 * malloc for its next life. Not for threads.
 */
#ifndef DEJUNK_BASE_ARENA_H
#define DEJUNK_BASE_ARENA_H

#include "base/bytes.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *first; // arena.c only, all of these
    struct arena_chunk *current;
    size_t used_bytes; // in all chunks
    size_t limit_bytes;
};

/* An empty arena; it allocates nothing until asked. */
void arena_init(struct arena *arena, size_t limit_bytes);
/* Gives everything back. The arena may be used again, as after arena_init(). */
void arena_done(struct arena *arena);
/* Forgets everything, keeps the first chunk. */
void arena_reset(struct arena *arena);

/* Aligned for any type, not zeroed. NULL past the limit. */
void *arena_alloc(struct arena *arena, size_t size);
/* Zeroed. */
void *arena_zalloc(struct arena *arena, size_t size);
/* A copy with a NUL behind it (not counted in the span). span.at is NULL past the limit. */
struct span arena_copy(struct arena *arena, struct span bytes);
/* Puts `more` behind `*span` (which may be SPAN_NONE): in place when *span is the arena's newest
 * allocation, else as a new copy of both. False past the limit; *span is then unchanged. */
bool arena_extend(struct arena *arena, struct span *span, struct span more);
struct span arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
