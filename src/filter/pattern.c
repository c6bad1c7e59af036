#include "filter/pattern.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* The library's search is made for long texts; here both are short. */
size_t pattern_find(struct span text, struct span needle)
{
    size_t at = 0, last = needle.size - 1;

    if (text.size < needle.size || needle.size > 32) // long ones: its worst case is linear
        return span_find(text, needle);
#if defined(__SSE2__)
    {
        size_t second = last / 2; // of three bytes, all are compared
        __m128i first = _mm_set1_epi8(needle.at[0]), middle = _mm_set1_epi8(needle.at[second]);
        __m128i third = _mm_set1_epi8(needle.at[last]);

#define EQUALS(offset, want)                                                                       \
    _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)(here + (offset))), want)
        for (; at + last + 16 <= text.size; at += 16) {
            const char *here = text.at + at;
            unsigned hits = (unsigned)_mm_movemask_epi8(_mm_and_si128(
                EQUALS(0, first), _mm_and_si128(EQUALS(second, middle), EQUALS(last, third))));

            for (; hits; hits &= hits - 1) {
                unsigned hit = (unsigned)__builtin_ctz(hits);
                if (memcmp(here + hit, needle.at, needle.size) == 0)
                    return at + hit;
            }
        }
#undef EQUALS
    }
#endif
    for (; at + needle.size <= text.size; at++)
        if (text.at[at] == needle.at[0] && memcmp(text.at + at, needle.at, needle.size) == 0)
            return at;
    return text.size;
}

/* Does the piece (no '*' in it) stand at text.at[at]? The end is a separator, too. */
static bool piece_at(struct span piece, struct span text, size_t at)
{
    if (piece.size <= text.size - at && memcmp(text.at + at, piece.at, piece.size) == 0)
        return true;
    for (size_t i = 0; i < piece.size; i++) {
        if (at + i >= text.size) {
            if (piece.at[i] != '^' || at + i > text.size)
                return false;
            for (; i < piece.size; i++)
                if (piece.at[i] != '^')
                    return false;
            return true;
        }
        if (piece.at[i] != text.at[at + i] &&
            !(piece.at[i] == '^' && pattern_is_separator(text.at[at + i])))
            return false;
    }
    return true;
}

static size_t end_of(struct span piece, struct span text, size_t at)
{
    return at + piece.size > text.size ? text.size : at + piece.size;
}

/* The first place from `at` on where the piece stands; SIZE_MAX: nowhere. Looks for its longest
 * part without '^' first. */
static size_t find_piece(struct span piece, struct span text, size_t at)
{
    struct span core = SPAN_NONE;
    size_t core_at = 0;

    for (size_t i = 0; i < piece.size;) {
        size_t size = span_find_byte(span_from(piece, i), '^');
        if (size > core.size) {
            core = span_slice(piece, i, size);
            core_at = i;
        }
        i += size + 1;
    }
    if (core.size == 0) { // nothing but separators
        for (; at <= text.size; at++)
            if (piece_at(piece, text, at))
                return at;
        return SIZE_MAX;
    }
    for (;;) {
        size_t from = at + core_at, found;
        if (from > text.size)
            return SIZE_MAX;
        found = pattern_find(span_from(text, from), core);
        if (found == text.size - from)
            return SIZE_MAX;
        at = from + found - core_at;
        if (core.size == piece.size || piece_at(piece, text, at))
            return at;
        at++;
    }
}

/* Does the piece stand so that the text ends with it, not before `at`? */
static bool ends_with(struct span piece, struct span text, size_t at)
{
    size_t after = 0; // separators at the end of the piece may stand for the end of the text

    for (;;) {
        if (piece.size - after <= text.size && text.size - (piece.size - after) >= at &&
            piece_at(span_slice(piece, 0, piece.size - after), text,
                     text.size - (piece.size - after)))
            return true;
        if (after == piece.size || piece.at[piece.size - 1 - after] != '^')
            return false;
        after++;
    }
}

enum pattern_result pattern_match(struct span pattern, struct span text, size_t at, bool floats,
                                  bool to_end)
{
    bool is_first = true;

    for (;;) {
        size_t star = span_find_byte(pattern, '*');
        struct span piece = span_slice(pattern, 0, star);
        bool is_last = star == pattern.size;

        if (is_last && to_end && (floats || !is_first)) {
            if (ends_with(piece, text, at))
                return PATTERN_YES;
            return PATTERN_NOWHERE;
        }
        if (is_first && !floats) {
            if (!piece_at(piece, text, at))
                return PATTERN_NO;
            if (is_last && to_end && end_of(piece, text, at) != text.size)
                return PATTERN_NO;
        } else {
            at = find_piece(piece, text, at);
            if (at == SIZE_MAX)
                return PATTERN_NOWHERE;
        }
        if (is_last)
            return PATTERN_YES;
        at = end_of(piece, text, at);
        is_first = false;
        pattern = span_from(pattern, star + 1);
    }
}
