#include "html/references.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

struct reference {
    uint16_t at;
    uint8_t size;
    uint32_t point, second; // second: 0 but for the few that are two code points
};

#include "html/references_table.inc"

enum {
    LONGEST_NAME = 32,
    LONGEST_BARE_NAME = 6, // of those that need no semicolon: "frac12"
    ROWS = sizeof reference_rows / sizeof *reference_rows
};

/* The first byte that stands for something else, or `end`. */
static const char *find_special(const char *at, const char *end)
{
#ifdef __SSE2__
    const __m128i ampersand = _mm_set1_epi8('&'), carriage = _mm_set1_epi8('\r');
    size_t size = (size_t)(end - at);

    // The last sixteen bytes are looked at together, those before them twice if need be.
    for (size_t i = 0; size >= 16; i = i + 32 > size ? size - 16 : i + 16) {
        __m128i bytes = _mm_loadu_si128((const void *)(at + i));
        __m128i found = _mm_or_si128(_mm_cmpeq_epi8(bytes, ampersand),
                                     _mm_or_si128(_mm_cmpeq_epi8(bytes, carriage),
                                                  _mm_cmpeq_epi8(bytes, _mm_setzero_si128())));
        unsigned mask = (unsigned)_mm_movemask_epi8(found);
        if (mask)
            return at + i + __builtin_ctz(mask);
        if (i + 16 == size)
            return end;
    }
#endif
    while (at < end && *at != '&' && *at != '\r' && *at != '\0')
        at++;
    return at;
}

bool references_needed(struct span raw)
{
    return find_special(raw.at, raw.at + raw.size) < raw.at + raw.size;
}

static bool append_point(struct buffer *to, uint32_t point)
{
    char bytes[4];
    size_t size = 0;

    if (point < 0x80) {
        bytes[size++] = (char)point;
    } else if (point < 0x800) {
        bytes[size++] = (char)(0xc0 | point >> 6);
        bytes[size++] = (char)(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        bytes[size++] = (char)(0xe0 | point >> 12);
        bytes[size++] = (char)(0x80 | (point >> 6 & 0x3f));
        bytes[size++] = (char)(0x80 | (point & 0x3f));
    } else {
        bytes[size++] = (char)(0xf0 | point >> 18);
        bytes[size++] = (char)(0x80 | (point >> 12 & 0x3f));
        bytes[size++] = (char)(0x80 | (point >> 6 & 0x3f));
        bytes[size++] = (char)(0x80 | (point & 0x3f));
    }
    return buffer_append(to, span_of(bytes, size));
}

static uint32_t numeric_point(uint32_t point)
{
    static const uint16_t windows_1252[32] = {
        0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
        0x2039, 0x0152, 0,      0x017d, 0,      0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
        0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178,
    };
    if (point == 0 || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return 0xfffd;
    if (point >= 0x80 && point < 0xa0 && windows_1252[point - 0x80])
        return windows_1252[point - 0x80];
    return point;
}

static int digit_of(char c, bool hexadecimal)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return hexadecimal && c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "&#...": how many bytes it is, 0 when it is none. */
static size_t read_numeric(struct span raw, uint32_t *point)
{
    bool hexadecimal = raw.size > 2 && (raw.at[2] == 'x' || raw.at[2] == 'X');
    size_t first = hexadecimal ? 3 : 2, i = first;
    uint32_t number = 0;

    for (; i < raw.size; i++) {
        int digit = digit_of(raw.at[i], hexadecimal);
        if (digit < 0)
            break;
        if (number <= 0x10ffff)
            number = number * (hexadecimal ? 16 : 10) + (uint32_t)digit;
    }
    if (i == first)
        return 0;
    *point = numeric_point(number);
    return i < raw.size && raw.at[i] == ';' ? i + 1 : i;
}

static bool is_alphanumeric(char c)
{
    char low = ascii_lower(c);
    return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9');
}

static const struct reference *find_name(struct span name)
{
    size_t low = 0, high = ROWS;

    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct reference *row = &reference_rows[middle];
        size_t common = row->size < name.size ? row->size : name.size;
        int order = memcmp(reference_names + row->at, name.at, common);
        if (order == 0 && row->size == name.size)
            return row;
        if (order < 0 || (order == 0 && row->size < name.size))
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* "&name": the longest name that the bytes begin with; how many bytes, 0 for none. */
static size_t read_named(struct span raw, enum references_where where,
                         const struct reference **found)
{
    size_t size = 0;

    while (size < LONGEST_NAME && size + 1 < raw.size && is_alphanumeric(raw.at[size + 1]))
        size++;
    if (size + 1 < raw.size && raw.at[size + 1] == ';')
        size++;
    for (; size > 1; size--) {
        if (size > LONGEST_BARE_NAME && raw.at[size] != ';')
            size = LONGEST_BARE_NAME;
        *found = find_name(span_slice(raw, 1, size));
        if (!*found)
            continue;
        if (where == REFERENCES_IN_ATTRIBUTE && raw.at[size] != ';' && size + 1 < raw.size &&
            (raw.at[size + 1] == '=' || is_alphanumeric(raw.at[size + 1])))
            return 0;
        return size + 1;
    }
    return 0;
}

/* What stands at raw's first byte, a '&'. Returns how many bytes of raw are done. */
static size_t decode_reference(struct buffer *to, struct span raw, enum references_where where,
                               bool *fits)
{
    const struct reference *row = NULL;
    uint32_t point;
    size_t size;

    if (raw.size > 1 && raw.at[1] == '#') {
        size = read_numeric(raw, &point);
        if (size) {
            *fits = append_point(to, point);
            return size;
        }
    } else if (span_starts(raw, SPAN("&amp;"))) { // by far the most common
        *fits = buffer_append(to, SPAN("&"));
        return 5;
    } else {
        size = read_named(raw, where, &row);
        if (size) {
            *fits = append_point(to, row->point) && (!row->second || append_point(to, row->second));
            return size;
        }
    }
    *fits = buffer_append(to, span_slice(raw, 0, 1));
    return 1;
}

bool references_decode(struct buffer *to, struct span raw, enum references_where where)
{
    bool fits = true;

    while (raw.size && fits) {
        size_t plain = (size_t)(find_special(raw.at, raw.at + raw.size) - raw.at);
        if (!buffer_append(to, span_slice(raw, 0, plain)))
            return false;
        raw = span_from(raw, plain);
        if (raw.size == 0)
            break;
        if (raw.at[0] == '&') {
            raw = span_from(raw, decode_reference(to, raw, where, &fits));
        } else if (raw.at[0] == '\r') {
            raw = span_from(raw, raw.size > 1 && raw.at[1] == '\n' ? 2 : 1);
            fits = buffer_append(to, SPAN("\n"));
        } else {
            fits = where == REFERENCES_IN_ATTRIBUTE ? append_point(to, 0xfffd)
                                                    : buffer_append(to, span_of("", 1));
            raw = span_from(raw, 1);
        }
    }
    return fits;
}
