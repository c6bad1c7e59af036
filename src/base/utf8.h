/* utf8.h - characters as bytes, and back (RFC 3629). */
#ifndef DEJUNK_BASE_UTF8_H
#define DEJUNK_BASE_UTF8_H

#include "base/bytes.h"

/* Into `to` (4 bytes); returns how many. `code` is below 0x110000. */
static inline size_t utf8_put(char *to, uint32_t code)
{
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (char)(0xc0 | code >> 6);
        to[1] = (char)(0x80 | (code & 63));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (char)(0xe0 | code >> 12);
        to[1] = (char)(0x80 | (code >> 6 & 63));
        to[2] = (char)(0x80 | (code & 63));
        return 3;
    }
    to[0] = (char)(0xf0 | code >> 18);
    to[1] = (char)(0x80 | (code >> 12 & 63));
    to[2] = (char)(0x80 | (code >> 6 & 63));
    to[3] = (char)(0x80 | (code & 63));
    return 4;
}

/* The well-formed character at the start of `text`, which is not empty, into *code; returns how
 * many bytes it has. 0: there is none, and *code says nothing. */
static inline size_t utf8_take(struct span text, uint32_t *code)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    unsigned char first = (unsigned char)text.at[0];
    size_t size = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (size == 0 || size > text.size)
        return 0;
    *code = size > 1 ? first & (0x7fu >> size) : first;
    for (size_t i = 1; i < size; i++) {
        unsigned char next = (unsigned char)text.at[i];
        if ((next & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (next & 63);
    }
    if (*code < least[size] || (*code >= 0xd800 && *code < 0xe000) || *code > 0x10ffff)
        return 0;
    return size;
}

#endif
