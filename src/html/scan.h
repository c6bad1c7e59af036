/*
 * scan.h - finds the next byte that matters, 16 to 64 at a time where the CPU can.
 *
 * The few byte classes of HTML's tokenizer and the loops that skip what is in none of them.
 * SSE2 is part of every x86-64; elsewhere the table decides byte by byte. All functions look at
 * [at, end) only and return `end` when nothing is found.
 */
#ifndef DEJUNK_HTML_SCAN_H
#define DEJUNK_HTML_SCAN_H

#include "base/bytes.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum scan_class {
    SCAN_SPACE = 1,        // tab, line feed, form feed, carriage return, space
    SCAN_TAG_NAME_END = 2, // space, '/', '>'
    SCAN_NAME_END = 4,     // space, '/', '>', '='
    SCAN_VALUE_END = 8,    // space, '>'
    SCAN_LETTER = 16
};

extern const uint8_t scan_classes[256];

static inline bool scan_is(char c, int classes)
{
    return scan_classes[(unsigned char)c] & classes;
}

static inline const char *scan_spaces(const char *at, const char *end)
{
    while (at < end && scan_is(*at, SCAN_SPACE))
        at++;
    return at;
}

static inline const char *scan_to_space(const char *at, const char *end)
{
#ifdef __SSE2__
    while (end - at >= 16) {
        __m128i bytes = _mm_loadu_si128((const void *)at);
        __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x20)), bytes);
        unsigned mask;

        for (mask = (unsigned)_mm_movemask_epi8(low); mask; mask &= mask - 1) {
            const char *found = at + __builtin_ctz(mask);
            if (__builtin_expect(scan_is(*found, SCAN_SPACE), 1))
                return found;
        }
        at += 16;
    }
#endif
    while (at < end && !scan_is(*at, SCAN_SPACE))
        at++;
    return at;
}

#ifdef __SSE2__
/* A bit for each of sixteen bytes that may be in the class: SCAN_TAG_NAME_END, SCAN_NAME_END or
 * SCAN_VALUE_END. A cheap test that lets a few others through (controls, '<', '?'). */
static inline unsigned scan_class_mask(const char *at, int class)
{
    __m128i bytes = _mm_loadu_si128((const void *)at);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x20)), bytes);
    __m128i angle = _mm_cmpeq_epi8(_mm_or_si128(bytes, _mm_set1_epi8(3)), _mm_set1_epi8(0x3f));
    __m128i stop = _mm_or_si128(low, angle);

    if (class != SCAN_VALUE_END)
        stop = _mm_or_si128(stop, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('/')));
    return (unsigned)_mm_movemask_epi8(stop);
}
#endif

/* A byte of one of those three classes. */
static inline const char *scan_to_class(const char *at, const char *end, int class)
{
#ifdef __SSE2__
    while (end - at >= 16) {
        for (unsigned mask = scan_class_mask(at, class); mask; mask &= mask - 1) {
            const char *found = at + __builtin_ctz(mask);
            if (__builtin_expect(scan_is(*found, class), 1)) // the table has the word
                return found;
        }
        at += 16;
    }
#endif
    while (at < end && !scan_is(*at, class))
        at++;
    return at;
}

#ifdef __SSE2__
/* A bit for each of sixty-four bytes. */
static inline uint64_t scan_mask(const char *at, __m128i wanted)
{
    uint64_t mask = 0;
    for (int i = 0; i < 64; i += 16) {
        __m128i same = _mm_cmpeq_epi8(_mm_loadu_si128((const void *)(at + i)), wanted);
        mask |= (uint64_t)(unsigned)_mm_movemask_epi8(same) << i;
    }
    return mask;
}
#endif

static inline const char *scan_to_byte(const char *at, const char *end, char byte)
{
#ifdef __SSE2__
    const __m128i wanted = _mm_set1_epi8(byte);

    // Most runs are short; for the long ones the C library knows wider registers.
    for (int i = 0; i < 2 && end - at >= 64; i++, at += 64) {
        uint64_t mask = scan_mask(at, wanted);
        if (mask)
            return at + __builtin_ctzll(mask);
    }
#endif
    if (end - at >= 16) {
        const char *found = memchr(at, byte, (size_t)(end - at));
        return found ? found : end;
    }
    while (at < end && *at != byte)
        at++;
    return at;
}

static inline const char *scan_to_either(const char *at, const char *end, char one, char other)
{
#ifdef __SSE2__
    const __m128i first = _mm_set1_epi8(one), second = _mm_set1_epi8(other);

    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const void *)at);
        __m128i same = _mm_or_si128(_mm_cmpeq_epi8(bytes, first), _mm_cmpeq_epi8(bytes, second));
        unsigned mask = (unsigned)_mm_movemask_epi8(same);
        if (mask)
            return at + __builtin_ctz(mask);
    }
#endif
    while (at < end && *at != one && *at != other)
        at++;
    return at;
}

#endif
