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

/* What '^' stands for: anything but a letter, a digit, or one of _ - . % ; NUL, too. */
static inline bool pattern_is_separator(char c)
{
    return !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
             c == '_' || c == '-' || c == '.' || c == '%');
}

enum pattern_result {
    PATTERN_NO,        // not from here
    PATTERN_NOWHERE,   // not from here and from no place behind it either
    PATTERN_YES
};

/* Does the pattern match the text from `at` on (floats: from there or anywhere behind it) and, if
 * `to_end`, up to its end? */
enum pattern_result pattern_match(struct span pattern, struct span text, size_t at, bool floats,
                                  bool to_end);

#endif
