#include "base/url.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { CLASS_ALNUM = 1, CLASS_SCHEME = 2, CLASS_AUTHORITY_END = 4, CLASS_HEX = 8 };

static uint8_t class_of(char c)
{
    uint8_t class = 0;
    char low = ascii_lower(c);

    if ((low >= 'a' && low <= 'z') || (c >= '0' && c <= '9'))
        class |= CLASS_ALNUM | CLASS_SCHEME;
    if (c == '+' || c == '-' || c == '.')
        class |= CLASS_SCHEME;
    if (c == '/' || c == '?' || c == '#' || c == '\\')
        class |= CLASS_AUTHORITY_END;
    return class;
}

#if defined(__SSE2__)
/* Sixteen bytes: folded into `to`; the bits of letters and digits come back. */
static inline unsigned fold_16(char *to, const char *from)
{
    __m128i in = _mm_loadu_si128((const __m128i *)(const void *)from);
    __m128i upper = _mm_and_si128(_mm_cmpgt_epi8(in, _mm_set1_epi8('A' - 1)),
                                  _mm_cmplt_epi8(in, _mm_set1_epi8('Z' + 1)));
    __m128i low = _mm_or_si128(in, _mm_and_si128(upper, _mm_set1_epi8(0x20)));
    __m128i letter = _mm_and_si128(_mm_cmpgt_epi8(low, _mm_set1_epi8('a' - 1)),
                                   _mm_cmplt_epi8(low, _mm_set1_epi8('z' + 1)));
    __m128i digit = _mm_and_si128(_mm_cmpgt_epi8(low, _mm_set1_epi8('0' - 1)),
                                  _mm_cmplt_epi8(low, _mm_set1_epi8('9' + 1)));

    _mm_storeu_si128((__m128i *)(void *)to, low);
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(letter, digit));
}
#else
static inline unsigned fold_16(char *to, const char *from)
{
    unsigned bits = 0;

    for (unsigned i = 0; i < 16; i++) {
        to[i] = ascii_lower(from[i]);
        bits |= (unsigned)(class_of(to[i]) & CLASS_ALNUM) << i;
    }
    return bits;
}
#endif

/* Folds `size` bytes and marks where runs of letters and digits start. What stands behind them is
 * zeroed, in the text and in the mask, for as far as a word or vector load can reach. */
static void fold(struct url_text *room, const char *from, size_t size)
{
    char *to = room->bytes + URL_BEFORE;
    uint64_t before = 0; // was the byte in front a letter or digit?
    size_t done = 0;

    for (; done + 64 <= size; done += 64) {
        uint64_t bits = fold_16(to + done, from + done);
        bits |= (uint64_t)fold_16(to + done + 16, from + done + 16) << 16;
        bits |= (uint64_t)fold_16(to + done + 32, from + done + 32) << 32;
        bits |= (uint64_t)fold_16(to + done + 48, from + done + 48) << 48;
        room->starts[done / 64] = bits & ~(bits << 1 | before);
        before = bits >> 63;
    }
    {
        uint64_t bits = 0;
        size_t left = size - done;
        char *tail = to + done;

        memset(tail + left, 0, URL_BEHIND);
        memcpy(tail, from + done, left);
        for (size_t i = 0; i < left; i += 16)
            bits |= (uint64_t)fold_16(tail + i, tail + i) << i;
        room->starts[done / 64] = bits & ~(bits << 1 | before);
        room->starts[done / 64 + 1] = 0;
    }
}

/* The offset behind "scheme://", or 0. */
static uint32_t scheme_end(const char *at, size_t size)
{
    size_t i = 0;

    if (size > 8 && memcmp(at, "https://", 8) == 0)
        return 8;
    if (size > 7 && memcmp(at, "http://", 7) == 0)
        return 7;
    while (i < size && i < 64 && (class_of(at[i]) & CLASS_SCHEME))
        i++;
    if (i == 0 || size - i < 4 || memcmp(at + i, "://", 3) != 0)
        return 0;
    return (uint32_t)i + 3;
}

bool url_host_is_address(struct span host)
{
    size_t dots = 0;

    if (host.size == 0)
        return false;
    if (host.at[0] == '[')
        return host.at[host.size - 1] == ']';
    if (host.at[host.size - 1] < '0' || host.at[host.size - 1] > '9' || host.size > 15)
        return false;
    for (size_t i = 0; i < host.size; i++) {
        if (host.at[i] == '.')
            dots++;
        else if (host.at[i] < '0' || host.at[i] > '9')
            return false;
    }
    return dots == 3;
}

bool url_parse(struct url *url, struct url_text *room, struct span text)
{
    const char *at = room->bytes + URL_BEFORE;
    uint32_t size = (uint32_t)(text.size > URL_LIMIT ? URL_LIMIT : text.size);
    uint32_t host, end, i;

    if (size < 4)
        return false;
    fold(room, text.at, size);
    host = scheme_end(at, size);
    if (host == 0)
        return false;
    for (i = host; i < size && !(class_of(at[i]) & CLASS_AUTHORITY_END); i++)
        if (at[i] == '@')
            host = i + 1;
    url->path_at = i;
    end = i;
    if (host < end && at[host] == '[') {
        while (end > host && at[end - 1] != ']')
            end--;
    } else {
        for (i = host; i < end; i++)
            if (at[i] == ':')
                end = i;
    }
    url->at = at;
    url->starts = room->starts;
    url->size = size;
    url->host_at = host;
    url->host_end = end;
    url->name_end = end - (end > host && at[end - 1] == '.');
    url->is_address = url_host_is_address(url_host(url));
    return url->name_end > host && url->name_end - host <= URL_HOST_LIMIT;
}

struct span url_find_host(struct span text)
{
    size_t start = 0, end, i = 0;

    while (i < text.size && i < 64 && (class_of(text.at[i]) & CLASS_SCHEME))
        i++;
    if (i > 0 && text.size - i >= 3 && memcmp(text.at + i, "://", 3) == 0)
        start = i + 3;
    for (end = start; end < text.size && !(class_of(text.at[end]) & CLASS_AUTHORITY_END); end++)
        if (text.at[end] == '@')
            start = end + 1;
    if (start < end && text.at[start] == '[') {
        while (end > start && text.at[end - 1] != ']')
            end--;
    } else {
        for (i = start; i < end; i++)
            if (text.at[i] == ':')
                end = i;
    }
    if (end > start && text.at[end - 1] == '.')
        end--;
    if (end - start > URL_HOST_LIMIT)
        return SPAN_NONE;
    return span_of(text.at + start, end - start);
}

uint16_t url_port(const struct url *url)
{
    uint64_t port;
    struct span written = span_of(url->at + url->host_end, url->path_at - url->host_end);

    if (written.size > 1 && span_to_u64(span_from(written, 1), &port))
        return port <= 65535 ? (uint16_t)port : 0;
    if (memcmp(url->at, "http:", 5) == 0 || memcmp(url->at, "ws:", 3) == 0)
        return 80;
    if (memcmp(url->at, "https:", 6) == 0 || memcmp(url->at, "wss:", 4) == 0)
        return 443;
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t url_decode(struct span text, char *to)
{
    size_t size = 0;

    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] == '%' && text.size - i > 2 && hex_digit(text.at[i + 1]) >= 0 &&
            hex_digit(text.at[i + 2]) >= 0) {
            to[size++] = (char)(hex_digit(text.at[i + 1]) * 16 + hex_digit(text.at[i + 2]));
            i += 2;
        } else {
            to[size++] = text.at[i];
        }
    }
    return size;
}

/* RFC 3492, with its parameters for IDNA. */
enum { PUNY_BASE = 36, PUNY_TMIN = 1, PUNY_TMAX = 26, PUNY_SKEW = 38, PUNY_DAMP = 700 };

static unsigned puny_adapt(unsigned delta, unsigned points, bool first)
{
    unsigned k = 0;

    delta = first ? delta / PUNY_DAMP : delta / 2;
    delta += delta / points;
    for (; delta > (PUNY_BASE - PUNY_TMIN) * PUNY_TMAX / 2; k += PUNY_BASE)
        delta /= PUNY_BASE - PUNY_TMIN;
    return k + (PUNY_BASE - PUNY_TMIN + 1) * delta / (delta + PUNY_SKEW);
}

/* The code points of a label of UTF-8; zero when it is none or has too many. */
static size_t label_points(struct span label, uint32_t *points)
{
    size_t count = 0;

    for (size_t i = 0; i < label.size; count++) {
        uint8_t byte = (uint8_t)label.at[i];
        size_t more = byte < 0x80 ? 0 : byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
        uint32_t point = byte < 0x80 ? byte : byte & (0x3fu >> more);

        if ((byte >= 0x80 && byte < 0xc2) || byte > 0xf4 || label.size - i <= more || count >= 63)
            return 0;
        for (size_t k = 1; k <= more; k++) {
            uint8_t next = (uint8_t)label.at[i + k];
            if ((next & 0xc0) != 0x80)
                return 0;
            point = point << 6 | (next & 0x3f);
        }
        points[count] = point;
        i += more + 1;
    }
    return count;
}

static size_t label_to_ascii(struct span label, char *to, size_t limit)
{
    uint32_t points[64], n = 128;
    unsigned bias = 72, delta = 0;
    size_t count = label_points(label, points), size = 4, basic = 0, done;

    if (count == 0 || limit < 4 + 63)
        return 0;
    memcpy(to, "xn--", 4);
    for (size_t i = 0; i < count; i++)
        if (points[i] < 128)
            to[size++] = (char)points[i];
    basic = done = size - 4;
    if (basic > 0)
        to[size++] = '-';
    while (done < count) {
        uint32_t next = UINT32_MAX;

        for (size_t i = 0; i < count; i++)
            if (points[i] >= n && points[i] < next)
                next = points[i];
        delta += (next - n) * (unsigned)(done + 1); // < 64 * 0x110000: no overflow
        n = next;
        for (size_t i = 0; i < count; i++) {
            if (points[i] < n)
                delta++;
            if (points[i] != n)
                continue;
            unsigned q = delta;
            for (unsigned k = PUNY_BASE;; k += PUNY_BASE) {
                unsigned t = k <= bias ? PUNY_TMIN : k >= bias + PUNY_TMAX ? PUNY_TMAX : k - bias;
                unsigned digit = q < t ? q : t + (q - t) % (PUNY_BASE - t);
                if (size >= 63)
                    return 0;
                to[size++] = (char)(digit < 26 ? 'a' + digit : '0' + digit - 26);
                if (q < t)
                    break;
                q = (q - t) / (PUNY_BASE - t);
            }
            bias = puny_adapt(delta, (unsigned)(done + 1), done == basic);
            delta = 0;
            done++;
        }
        delta++;
        n++;
    }
    return size;
}

size_t url_host_to_ascii(struct span host, char *to, size_t limit)
{
    size_t size = 0, at = 0;

    while (at <= host.size) {
        struct span rest = span_from(host, at), label;
        bool is_ascii = true;
        size_t added;

        label = span_slice(host, at, span_find_byte(rest, '.'));
        for (size_t i = 0; i < label.size; i++)
            is_ascii = is_ascii && (uint8_t)label.at[i] < 128;
        if (is_ascii) {
            if (label.size + 1 > limit - size)
                return 0;
            memcpy(to + size, label.at, label.size);
            added = label.size;
        } else {
            added = label_to_ascii(label, to + size, limit - size);
            if (added == 0)
                return 0;
        }
        size += added;
        at += label.size + 1;
        if (at <= host.size) {
            if (size >= limit)
                return 0;
            to[size++] = '.';
        }
    }
    return size;
}
