#include "base/bytes.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool span_equal_nocase(struct span a, struct span b)
{
    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++)
        if (ascii_lower(a.at[i]) != ascii_lower(b.at[i]))
            return false;
    return true;
}

bool span_starts(struct span span, struct span prefix)
{
    return span.size >= prefix.size && span_equal(span_slice(span, 0, prefix.size), prefix);
}

bool span_starts_nocase(struct span span, struct span prefix)
{
    return span.size >= prefix.size && span_equal_nocase(span_slice(span, 0, prefix.size), prefix);
}

bool span_ends(struct span span, struct span suffix)
{
    return span.size >= suffix.size && span_equal(span_from(span, span.size - suffix.size), suffix);
}

bool span_ends_nocase(struct span span, struct span suffix)
{
    return span.size >= suffix.size &&
           span_equal_nocase(span_from(span, span.size - suffix.size), suffix);
}

size_t span_find_byte(struct span span, char byte)
{
    const char *found = span.size ? memchr(span.at, byte, span.size) : NULL;
    return found ? (size_t)(found - span.at) : span.size;
}

size_t span_find(struct span span, struct span needle)
{
    const char *found;

    if (needle.size == 0)
        return 0;
    if (span.size < needle.size)
        return span.size;
    found = memmem(span.at, span.size, needle.at, needle.size);
    return found ? (size_t)(found - span.at) : span.size;
}

struct span span_trim(struct span span)
{
    while (span.size && (span.at[0] == ' ' || span.at[0] == '\t'))
        span = span_from(span, 1);
    while (span.size && (span.at[span.size - 1] == ' ' || span.at[span.size - 1] == '\t'))
        span.size--;
    return span;
}

bool span_next_element(struct span *list, struct span *element)
{
    while (list->size) {
        bool quoted = false;
        size_t end = 0;

        for (; end < list->size; end++) {
            char c = list->at[end];
            if (quoted && c == '\\' && end + 1 < list->size)
                end++;
            else if (c == '"')
                quoted = !quoted;
            else if (c == ',' && !quoted)
                break;
        }
        *element = span_trim(span_slice(*list, 0, end));
        *list = span_from(*list, end < list->size ? end + 1 : end);
        if (element->size)
            return true;
    }
    return false;
}

bool span_to_u64(struct span span, uint64_t *number)
{
    uint64_t value = 0;

    if (span.size == 0)
        return false;
    for (size_t i = 0; i < span.size; i++) {
        unsigned digit = (unsigned)(unsigned char)span.at[i] - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    return true;
}

bool span_matches_wildcard(struct span text, struct span pattern)
{
    size_t t = 0, p = 0, star = SIZE_MAX, resume = 0;

    while (t < text.size) {
        if (p < pattern.size && pattern.at[p] == '*') {
            star = p++;
            resume = t;
        } else if (p < pattern.size && (pattern.at[p] == '?' ||
                                        ascii_lower(pattern.at[p]) == ascii_lower(text.at[t]))) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.at[p] == '*')
        p++;
    return p == pattern.size;
}

bool buffer_reserve(struct buffer *buffer, size_t more)
{
    size_t needed, capacity;
    char *at;

    if (more > buffer->limit_bytes || buffer->size > buffer->limit_bytes - more)
        return false;
    needed = buffer->size + more;
    if (needed <= buffer->capacity)
        return true;
    capacity = buffer->capacity ? buffer->capacity : 256;
    while (capacity < needed)
        capacity *= 2;
    if (capacity > buffer->limit_bytes)
        capacity = buffer->limit_bytes;
    at = realloc(buffer->at, capacity);
    if (!at)
        abort(); // out of memory ends the worker; the master starts another
    buffer->at = at;
    buffer->capacity = capacity;
    return true;
}

bool buffer_append(struct buffer *buffer, struct span bytes)
{
    if (bytes.size == 0)
        return true;
    if (!buffer_reserve(buffer, bytes.size))
        return false;
    memcpy(buffer->at + buffer->size, bytes.at, bytes.size);
    buffer->size += bytes.size;
    return true;
}

bool buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    int wanted;

    va_start(arguments, format);
    wanted = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (wanted < 0 || !buffer_reserve(buffer, (size_t)wanted + 1))
        return false;
    va_start(arguments, format);
    vsnprintf(buffer->at + buffer->size, (size_t)wanted + 1, format, arguments);
    va_end(arguments);
    buffer->size += (size_t)wanted;
    return true;
}

void buffer_consume(struct buffer *buffer, size_t size)
{
    assert(size <= buffer->size);
    buffer->size -= size;
    if (buffer->size && size)
        memmove(buffer->at, buffer->at + size, buffer->size);
}

void buffer_release(struct buffer *buffer)
{
    free(buffer->at);
    buffer->at = NULL;
    buffer->size = buffer->capacity = 0;
}
