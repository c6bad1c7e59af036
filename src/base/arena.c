#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct arena_chunk {
    struct arena_chunk *next;
    size_t size, used;
    alignas(max_align_t) char bytes[];
};

enum { FIRST_CHUNK_BYTES = 4096 - sizeof(struct arena_chunk), CHUNK_BYTES = 16384 };

void arena_init(struct arena *arena, size_t limit_bytes)
{
    *arena = (struct arena){ .limit_bytes = limit_bytes };
}

static void free_chunks(struct arena_chunk *chunk)
{
    while (chunk) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void arena_done(struct arena *arena)
{
    free_chunks(arena->first);
    arena->first = arena->current = NULL;
    arena->used_bytes = 0;
}

void arena_reset(struct arena *arena)
{
    if (!arena->first)
        return;
    free_chunks(arena->first->next);
    arena->first->next = NULL;
    arena->first->used = 0;
    arena->current = arena->first;
    arena->used_bytes = 0;
}

static bool add_chunk(struct arena *arena, size_t size)
{
    size_t wanted = arena->first ? CHUNK_BYTES : FIRST_CHUNK_BYTES;
    struct arena_chunk *chunk;

    if (wanted < size)
        wanted = size * 2; // room to grow in place, so that many small steps stay linear
    chunk = malloc(sizeof *chunk + wanted);
    if (!chunk)
        abort(); // out of memory ends the worker; the master starts another
    chunk->next = NULL;
    chunk->size = wanted;
    chunk->used = 0;
    if (arena->current)
        arena->current->next = chunk;
    else
        arena->first = chunk;
    arena->current = chunk;
    return true;
}

static void *take(struct arena *arena, size_t size, size_t align)
{
    struct arena_chunk *chunk = arena->current;
    size_t start;

    if (size > arena->limit_bytes || arena->used_bytes > arena->limit_bytes - size)
        return NULL;
    if (chunk) {
        start = (chunk->used + align - 1) & ~(align - 1);
        if (start <= chunk->size && size <= chunk->size - start) {
            chunk->used = start + size;
            arena->used_bytes += size;
            return chunk->bytes + start;
        }
    }
    if (!add_chunk(arena, size))
        return NULL;
    chunk = arena->current;
    chunk->used = size;
    arena->used_bytes += size;
    return chunk->bytes;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    return take(arena, size, alignof(max_align_t));
}

void *arena_zalloc(struct arena *arena, size_t size)
{
    void *at = arena_alloc(arena, size);
    return at ? memset(at, 0, size) : NULL;
}

struct span arena_copy(struct arena *arena, struct span bytes)
{
    char *at = bytes.size == SIZE_MAX ? NULL : take(arena, bytes.size + 1, 1);

    if (!at)
        return SPAN_NONE;
    if (bytes.size)
        memcpy(at, bytes.at, bytes.size);
    at[bytes.size] = '\0';
    return span_of(at, bytes.size);
}

bool arena_extend(struct arena *arena, struct span *span, struct span more)
{
    struct arena_chunk *chunk = arena->current;
    struct span joined;
    char *at;

    if (more.size == 0 && span->at)
        return true;
    // In place: the span and its NUL are the last thing in the current chunk.
    if (chunk && span->at && span->at + span->size + 1 == chunk->bytes + chunk->used &&
        more.size <= chunk->size - chunk->used &&
        more.size <= arena->limit_bytes - arena->used_bytes) {
        at = chunk->bytes + chunk->used - 1;
        memcpy(at, more.at, more.size);
        at[more.size] = '\0';
        chunk->used += more.size;
        arena->used_bytes += more.size;
        span->size += more.size;
        return true;
    }
    if (more.size > arena->limit_bytes || span->size >= arena->limit_bytes - more.size)
        return false;
    // A copy of both; the chunk it lands in has room, so that the next step is in place again.
    at = take(arena, span->size + more.size + 1, 1);
    if (!at)
        return false;
    if (span->size)
        memcpy(at, span->at, span->size);
    if (more.size)
        memcpy(at + span->size, more.at, more.size);
    joined = span_of(at, span->size + more.size);
    at[joined.size] = '\0';
    *span = joined;
    return true;
}

struct span arena_printf(struct arena *arena, const char *format, ...)
{
    va_list arguments;
    int wanted;
    char *at;

    va_start(arguments, format);
    wanted = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (wanted < 0)
        return SPAN_NONE;
    at = take(arena, (size_t)wanted + 1, 1);
    if (!at)
        return SPAN_NONE;
    va_start(arguments, format);
    vsnprintf(at, (size_t)wanted + 1, format, arguments);
    va_end(arguments);
    return span_of(at, (size_t)wanted);
}
