/*
 * pattern.h - patterns of filter lists against a text: '*' for any run of bytes, '^' for one
 * separator or the end.
 *
 * Knows nothing of rules, URLs or hosts; both sides are compared byte by byte. Linear in the text
 * for each pattern.
 */
#ifndef DEJUNK_FILTER_PATTERN_H
#define DEJUNK_FILTER_PATTERN_H

#include "base/bytes.h"

/* What '^' stands for: ASCII signs but _ - . % and letters and digits; blanks and NUL, too. Bytes
 * above 126 and other control bytes, which no browser leaves in a URL, are no separators. */
static inline bool pattern_is_separator(char c)
{
    static const uint32_t bits[8] = {
        0x00000001, // NUL
        0xfc009fdf, // not % - . and digits
        0x78000001, // not letters and _
        0x78000001, // not letters and DEL
    };

    return bits[(uint8_t)c >> 5] >> (c & 31) & 1;
}

/* Offset of the first `needle` (not empty) in the text, or text.size. */
size_t pattern_find(struct span text, struct span needle);

enum pattern_result {
    PATTERN_NO,      // not from here
    PATTERN_NOWHERE, // not from here and from no place behind it either
    PATTERN_YES
};

/* Does the pattern match the text from `at` on (floats: from there or anywhere behind it) and, if
 * `to_end`, up to its end? */
enum pattern_result pattern_match(struct span pattern, struct span text, size_t at, bool floats,
                                  bool to_end);

#endif
