/*
 * bytes.h - runs of bytes: the borrowed span and the growing buffer with a ceiling.
 *
 * Knows nothing of what the bytes mean. A span is a view: it is good until its lender moves on
 * (a callback returns, an arena is reset). A buffer owns its memory and gives it back with
 * buffer_release(), after which it may be used anew; a zeroed buffer with a limit is a good empty
 * one.
 */
#ifndef DEJUNK_BASE_BYTES_H
#define DEJUNK_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/inline.h"

struct span {
    const char *at;
    size_t size;
};

#define SPAN(literal) ((struct span){ (literal), sizeof(literal) - 1 })
#define SPAN_NONE ((struct span){ NULL, 0 })
/* For printf's "%.*s". Cuts at INT_MAX. */
#define SPAN_PRINT(span) (int)((span).size > 0x7fffffff ? 0x7fffffff : (span).size), (span).at

ALWAYS_INLINE struct span span_of(const char *at, size_t size)
{
    return (struct span){ at, size };
}

static inline struct span span_text(const char *text)
{
    return (struct span){ text, text ? strlen(text) : 0 };
}

/* What is left from `offset` (at most span.size). Nothing may be added to NULL, not even 0; to the
 * machine it is one addition all the same, as in the next. */
static inline struct span span_from(struct span span, size_t offset)
{
    return (struct span){ offset ? span.at + offset : span.at, span.size - offset };
}

static inline struct span span_slice(struct span span, size_t offset, size_t size)
{
    return (struct span){ offset ? span.at + offset : span.at, size };
}

/* Copies the bytes to where there is room for them; the end of the copy. */
static inline char *span_put(char *to, struct span bytes)
{
    if (bytes.size > 0)
        memcpy(to, bytes.at, bytes.size);
    return to + bytes.size;
}

/* The same, for texts one behind the other; the copy. *at moves on behind it. */
static inline struct span span_keep(char **at, struct span bytes)
{
    struct span copy = { *at, bytes.size };

    *at = span_put(*at, bytes);
    return copy;
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.at, b.at, a.size) == 0);
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* ASCII letters are compared without case; all other bytes exactly. */
bool span_equal_nocase(struct span a, struct span b);
bool span_starts(struct span span, struct span prefix);
bool span_starts_nocase(struct span span, struct span prefix);
bool span_ends(struct span span, struct span suffix);
bool span_ends_nocase(struct span span, struct span suffix);
/* Offset of the first `byte`, or span.size. */
size_t span_find_byte(struct span span, char byte);
/* Offset of the first `needle`, or span.size. */
size_t span_find(struct span span, struct span needle);
/* Without the spaces and tabs at both ends (RFC 9110 section 5.6.3, OWS). */
struct span span_trim(struct span span);
/* Cuts the next element off a comma-separated list (RFC 9110 section 5.6.1), trimmed; false at
 * the end. Quoted strings are kept whole. Empty elements are passed over. */
bool span_next_element(struct span *list, struct span *element);
/* All of the span as decimal digits, at least one; false when not, or above UINT64_MAX. */
bool span_to_u64(struct span span, uint64_t *number);
/* Shell wildcard match without case: `*` any run, `?` one byte. Linear in pattern times text. */
bool span_matches_wildcard(struct span text, struct span pattern);

struct buffer {
    char *at;
    size_t size;        // bytes in use
    size_t capacity;    // bytes allocated
    size_t limit_bytes; // it never holds more; 0: no bytes at all
};

/* Makes room for `more` bytes behind those in use. False, and unchanged, when that would pass
 * the limit. */
bool buffer_reserve(struct buffer *buffer, size_t more);
/* All or nothing. */
bool buffer_append(struct buffer *buffer, struct span bytes);
bool buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Drops `size` bytes at the front. */
void buffer_consume(struct buffer *buffer, size_t size);
/* Gives the memory back; the limit stays, so that it can be used again. */
void buffer_release(struct buffer *buffer);

static inline struct span buffer_span(const struct buffer *buffer)
{
    return (struct span){ buffer->at, buffer->size };
}

#endif
