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

#ifdef __SSE2__
/* A bit for each of sixteen bytes that stands for something else. */
static inline unsigned special_mask(const char *at)
{
    __m128i bytes = _mm_loadu_si128((const void *)at);
    __m128i found = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('&')),
                                 _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\r')),
                                              _mm_cmpeq_epi8(bytes, _mm_setzero_si128())));
    return (unsigned)_mm_movemask_epi8(found);
}
#endif

/* The first byte that stands for something else, or `end`. */
static const char *find_special(const char *at, const char *end)
{
#ifdef __SSE2__
    size_t size = (size_t)(end - at);

    // The last sixteen bytes are looked at together, those before them twice if need be.
    for (size_t i = 0; size >= 16; i = i + 32 > size ? size - 16 : i + 16) {
        unsigned mask = special_mask(at + i);
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

bool references_needed_inside(struct span raw)
{
#ifdef __SSE2__
    if (raw.size <= 16)
        return special_mask(raw.at + raw.size - 16) >> (16 - raw.size);
#endif
    return references_needed(raw);
}

/* Nearly always there is room: references_decode() has seen to it. */
static inline bool append(struct buffer *to, const char *at, size_t size)
{
    if (size > to->capacity - to->size)
        return buffer_append(to, span_of(at, size));
    memcpy(to->at + to->size, at, size);
    to->size += size;
    return true;
}

/* As UTF-8; returns how many bytes, four at most. */
static inline size_t write_point(char *bytes, uint32_t point)
{
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
    return size;
}

enum { POINT_BYTES = 4 }; // at most

static __attribute__((noinline)) bool append_point_growing(struct buffer *to, uint32_t point)
{
    char bytes[POINT_BYTES];
    return buffer_append(to, span_of(bytes, write_point(bytes, point)));
}

static inline bool append_point(struct buffer *to, uint32_t point)
{
    if (__builtin_expect(to->capacity - to->size < POINT_BYTES, 0))
        return append_point_growing(to, point);
    to->size += write_point(to->at + to->size, point);
    return true;
}

static inline uint32_t numeric_point(uint32_t point)
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

/* One more than their values; 0: none. */
static const uint8_t digits[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
    ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

/* The digits from `i` on; returns where they end. A number past all code points stays so. */
ALWAYS_INLINE size_t read_digits(struct span raw, size_t i, uint32_t base, uint32_t *number)
{
    for (*number = 0; i < raw.size; i++) {
        uint32_t digit = digits[(unsigned char)raw.at[i]] - 1U;

        if (digit >= base)
            break;
        if (*number <= 0x10ffff)
            *number = *number * base + digit;
    }
    return i;
}

/* "&#...": how many bytes it is, 0 when it is none. */
static inline size_t read_numeric(struct span raw, uint32_t *point)
{
    bool hexadecimal = raw.size > 2 && (raw.at[2] == 'x' || raw.at[2] == 'X');
    size_t first = hexadecimal ? 3 : 2, i;
    uint32_t number;

    i = hexadecimal ? read_digits(raw, first, 16, &number) : read_digits(raw, first, 10, &number);
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

/* By far the most common ones, the first of them most of all: how many bytes, 0 for none. */
static inline size_t read_common(struct span raw, char *stands_for)
{
    static const struct {
        struct span written;
        char stands_for;
    } common[] = {
        { { "&quot;", 6 }, '"' }, { { "&amp;", 5 }, '&' }, { { "&apos;", 6 }, '\'' },
        { { "&lt;", 4 }, '<' },   { { "&gt;", 4 }, '>' },
    };
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        if (raw.at[1] == common[i].written.at[1] && span_starts(raw, common[i].written)) {
            *stands_for = common[i].stands_for;
            return common[i].written.size;
        }
    return 0;
}

/* What stands at raw's first byte, a '&'. Returns how many bytes of raw are done. */
static inline size_t decode_reference(struct buffer *to, struct span raw,
                                      enum references_where where, bool *fits)
{
    const struct reference *row = NULL;
    char stands_for;
    uint32_t point;
    size_t size = 0;

    if (raw.size > 1 && raw.at[1] == '#') {
        size = read_numeric(raw, &point);
        if (size) {
            *fits = append_point(to, point);
            return size;
        }
    } else if (raw.size > 1) {
        size = read_common(raw, &stands_for);
        if (size) {
            *fits = append(to, &stands_for, 1);
            return size;
        }
        size = read_named(raw, where, &row);
        if (size) {
            *fits = append_point(to, row->point) && (!row->second || append_point(to, row->second));
            return size;
        }
    }
    *fits = append(to, raw.at, 1);
    return 1;
}

bool references_decode(struct buffer *to, struct span raw, enum references_where where)
{
    bool fits = true;

    // Hardly a value is longer than it is written. Past the limit the pieces find out.
    (void)buffer_reserve(to, raw.size);
    while (raw.size && fits) {
        if (raw.at[0] == '&') { // they often follow one another
            raw = span_from(raw, decode_reference(to, raw, where, &fits));
        } else if (raw.at[0] == '\r') {
            raw = span_from(raw, raw.size > 1 && raw.at[1] == '\n' ? 2 : 1);
            fits = append(to, "\n", 1);
        } else if (raw.at[0] == '\0') {
            fits = where == REFERENCES_IN_ATTRIBUTE ? append_point(to, 0xfffd) : append(to, "", 1);
            raw = span_from(raw, 1);
        } else {
            size_t plain = (size_t)(find_special(raw.at, raw.at + raw.size) - raw.at);
            fits = append(to, raw.at, plain);
            raw = span_from(raw, plain);
        }
    }
    return fits;
}
