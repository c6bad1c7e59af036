#include "base/url.h"

#include <idn2.h>

#include "base/inline.h"
#include "base/utf8.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { CLASS_ALNUM = 1, CLASS_SCHEME = 2, CLASS_AUTHORITY_END = 4 };
enum { SCHEME_LIMIT = 32 }; // bytes; no scheme in use has half of it

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

/* ---- folding, 64 bytes at a time ---- */

struct bits {       // of 64 bytes
    uint64_t runs;  // letters and digits
    uint64_t plain; // these, '-' and '.': what most hosts are made of
    uint64_t dots;
};

/* Folds 32 bytes from `from` into `to`, and 32 from `second` (at most 32) on. */
typedef void fold_64(struct bits *bits, char *to, const char *from, size_t second);

#if defined(__x86_64__)
/* What the vectors are compared with. "Is it one of the n bytes from f on" is one addition of
 * 0x80 - f - n and one signed comparison with 0x7f - n. */
#define TIMES_32(n)                                                                                \
    {                                                                                              \
        n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n,  \
            n, n                                                                                   \
    }
static const struct {
    _Alignas(32) int8_t upper[32];
    int8_t lower[32], letters[32], digit[32], digits[32], dot[32], dash[32], bit[32];
} constants = {
    .upper = TIMES_32(0x80 - 'A' - 26),
    .lower = TIMES_32(0x80 - 'a' - 26),
    .letters = TIMES_32(0x7f - 26),
    .digit = TIMES_32(0x80 - '0' - 10),
    .digits = TIMES_32(0x7f - 10),
    .dot = TIMES_32('.'),
    .dash = TIMES_32('-'),
    .bit = TIMES_32(0x20),
};

struct bits_32 { // of 32 bytes
    uint32_t runs, plain, dots;
};

ALWAYS_INLINE __attribute__((target("avx2"))) struct bits_32 fold_32_avx2(char *to,
                                                                          const char *from)
{
#define CONSTANT(name) (*(const __m256i *)(const void *)at->name)
    // The compiler would make each of these with three instructions; this hides what they are.
    __typeof__(&constants) at = &constants;
    __asm__("" : "+r"(at));

    __m256i in = _mm256_loadu_si256((const __m256i *)(const void *)from);
    __m256i upper = _mm256_cmpgt_epi8(_mm256_add_epi8(in, CONSTANT(upper)), CONSTANT(letters));
    __m256i low = _mm256_or_si256(in, _mm256_and_si256(upper, CONSTANT(bit)));
    __m256i letter = _mm256_cmpgt_epi8(_mm256_add_epi8(low, CONSTANT(lower)), CONSTANT(letters));
    __m256i digit = _mm256_cmpgt_epi8(_mm256_add_epi8(low, CONSTANT(digit)), CONSTANT(digits));
    __m256i run = _mm256_or_si256(letter, digit);
    __m256i dot = _mm256_cmpeq_epi8(low, CONSTANT(dot));
    __m256i dash = _mm256_cmpeq_epi8(low, CONSTANT(dash));
    __m256i plain = _mm256_or_si256(run, _mm256_or_si256(dot, dash));

    _mm256_storeu_si256((__m256i *)(void *)to, low);
    return (struct bits_32){ .runs = (uint32_t)_mm256_movemask_epi8(run),
                             .plain = (uint32_t)_mm256_movemask_epi8(plain),
                             .dots = (uint32_t)_mm256_movemask_epi8(dot) };
#undef CONSTANT
}

ALWAYS_INLINE __attribute__((target("avx2"))) void fold_64_avx2(struct bits *bits, char *to,
                                                                const char *from, size_t second)
{
    struct bits_32 low = fold_32_avx2(to, from), high = fold_32_avx2(to + second, from + second);

    bits->runs = low.runs | (uint64_t)high.runs << second;
    bits->plain = low.plain | (uint64_t)high.plain << second;
    bits->dots = low.dots | (uint64_t)high.dots << second;
}

ALWAYS_INLINE void fold_16_sse2(char *to, const char *from, unsigned shift, struct bits *bits)
{
#define IN_RANGE(bytes, first, n)                                                                  \
    _mm_cmpgt_epi8(_mm_add_epi8(bytes, _mm_set1_epi8((char)(0x80 - (first) - (n)))),               \
                   _mm_set1_epi8((char)(0x7f - (n))))
    __m128i in = _mm_loadu_si128((const __m128i *)(const void *)from);
    __m128i upper = IN_RANGE(in, 'A', 26);
    __m128i low = _mm_or_si128(in, _mm_and_si128(upper, _mm_set1_epi8(0x20)));
    __m128i run = _mm_or_si128(IN_RANGE(low, 'a', 26), IN_RANGE(low, '0', 10));
    __m128i dot = _mm_cmpeq_epi8(low, _mm_set1_epi8('.'));
    __m128i dash = _mm_cmpeq_epi8(low, _mm_set1_epi8('-'));
    __m128i plain = _mm_or_si128(run, _mm_or_si128(dot, dash));

    _mm_storeu_si128((__m128i *)(void *)to, low);
    bits->runs |= (uint64_t)(unsigned)_mm_movemask_epi8(run) << shift;
    bits->plain |= (uint64_t)(unsigned)_mm_movemask_epi8(plain) << shift;
    bits->dots |= (uint64_t)(unsigned)_mm_movemask_epi8(dot) << shift;
#undef IN_RANGE
}

ALWAYS_INLINE void fold_64_plain(struct bits *bits, char *to, const char *from, size_t second)
{
    struct bits high = { 0 };

    *bits = (struct bits){ 0 };
    fold_16_sse2(to, from, 0, bits);
    fold_16_sse2(to + 16, from + 16, 16, bits);
    fold_16_sse2(to + second, from + second, 0, &high);
    fold_16_sse2(to + second + 16, from + second + 16, 16, &high);
    bits->runs |= high.runs << second;
    bits->plain |= high.plain << second;
    bits->dots |= high.dots << second;
}
#else
static inline void fold_64_plain(struct bits *bits, char *to, const char *from, size_t second)
{
    *bits = (struct bits){ 0 };
    for (unsigned i = 0; i < 32 + second; i++) {
        char low = ascii_lower(from[i]);
        bool is_run = class_of(low) & CLASS_ALNUM;

        to[i] = low;
        bits->runs |= (uint64_t)is_run << i;
        bits->plain |= (uint64_t)(is_run || low == '.' || low == '-') << i;
        bits->dots |= (uint64_t)(low == '.') << i;
    }
}
#endif

ALWAYS_INLINE unsigned first_bit(uint64_t bits)
{
    return (unsigned)__builtin_ctzll(bits);
}

ALWAYS_INLINE uint64_t low_bits(size_t count) // 0 to 63
{
    return ((uint64_t)1 << count) - 1;
}

/* The offset behind "scheme://" in folded text with NULs behind it, or 0. */
static uint32_t odd_scheme(const char *at, size_t size)
{
    size_t i = 0;

    while (i < size && i < SCHEME_LIMIT && (class_of(at[i]) & CLASS_SCHEME))
        i++;
    if (i == 0 || size - i < 4 || memcmp(at + i, "://", 3) != 0)
        return 0;
    return (uint32_t)i + 3;
}

ALWAYS_INLINE uint32_t scheme_end(const char *at, size_t size)
{
    if (memcmp(at, "https://", 8) == 0)
        return 8;
    if (memcmp(at, "http://", 7) == 0)
        return 7;
    return odd_scheme(at, size);
}

struct authority {
    size_t host, host_end, end; // `host` is behind user information
};

/* Of a text that begins with an authority. */
static struct authority find_authority(struct span text, size_t at)
{
    struct authority found = { .host = at, .end = at };

    for (; found.end < text.size && !(class_of(text.at[found.end]) & CLASS_AUTHORITY_END);
         found.end++)
        if (text.at[found.end] == '@')
            found.host = found.end + 1;
    found.host_end = found.end;
    if (found.host < found.end && text.at[found.host] == '[') {
        while (found.host_end > found.host && text.at[found.host_end - 1] != ']')
            found.host_end--;
    } else {
        for (size_t i = found.host; i < found.host_end; i++)
            if (text.at[i] == ':')
                found.host_end = i;
    }
    return found;
}

static uint64_t find_dots(const char *at, size_t size)
{
    uint64_t dots = 0;

    for (size_t i = 0; i < size && i < 64; i++)
        dots |= (uint64_t)(at[i] == '.') << i;
    return dots;
}

static void mark_starts(struct url_text *room, size_t size)
{
    const char *at = room->bytes + URL_BEFORE;

    memset(room->starts, 0, (size / 64 + 1) * sizeof room->starts[0]);
    for (size_t i = 0; i < size; i++)
        if (class_of(at[i]) & CLASS_ALNUM && (i == 0 || !(class_of(at[i - 1]) & CLASS_ALNUM)))
            room->starts[i / 64] |= (uint64_t)1 << i % 64;
}

/* Without a port, user information or an odd byte. */
ALWAYS_INLINE bool ends_host(char c)
{
    const uint64_t ends = (uint64_t)1 << '/' | (uint64_t)1 << '?' | (uint64_t)1 << '#' | 1;

    return (uint8_t)c < 64 && ends >> c & 1;
}

static bool is_ascii(struct span text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((uint8_t)text.at[i] > 127)
            return false;
    return true;
}

/* Puts a host's A-labels in its place, if it has letters beyond ASCII. */
static void name_in_ascii(struct url *url, struct url_text *room)
{
    char *at = room->bytes + URL_BEFORE, ascii[URL_HOST_LIMIT];
    struct span host = span_of(at + url->host_at, url->host_end - url->host_at);
    uint32_t size = is_ascii(host) ? 0 : (uint32_t)url_host_to_ascii(host, ascii, sizeof ascii);
    uint32_t end = url->host_at + size, tail = url->size - url->host_end;

    if (size == 0)
        return;
    if (tail > URL_LIMIT - end)
        tail = URL_LIMIT - end;
    memmove(at + end, at + url->host_end, tail);
    memcpy(at + url->host_at, ascii, size);
    url->left_out += (int32_t)host.size - (int32_t)size;
    url->host_end = end;
    url->size = end + tail;
    memset(at + url->size, 0, URL_BEHIND);
    mark_starts(room, url->size);
}

/* Hosts with anything else than letters, digits, '-' and '.', or behind the first 64 bytes. */
static bool find_odd_host(struct url *url, struct url_text *room)
{
    char *at = room->bytes + URL_BEFORE;
    struct authority authority = find_authority(span_of(at, url->size), url->host_at);
    uint32_t left_out = (uint32_t)(authority.host - url->host_at);

    if (left_out) {
        memmove(at + url->host_at, at + authority.host, url->size - authority.host);
        url->size -= left_out;
        memset(at + url->size, 0, left_out);
        mark_starts(room, url->size);
    }
    url->left_out = (int32_t)left_out;
    url->host_end = (uint32_t)authority.host_end - left_out;
    name_in_ascii(url, room);
    url->dots = find_dots(at + url->host_at, url->host_end - url->host_at);
    return true;
}

/* Folds less than 64 bytes: two overlapping halves, or a copy with zeros behind it. */
ALWAYS_INLINE void fold_short(struct bits *bits, char *at, const char *from, size_t size,
                              fold_64 *fold)
{
    if (size >= 32) {
        fold(bits, at, from, size - 32);
        return;
    }
    memset(at, 0, 64);
    memcpy(at, from, size);
    fold(bits, at, at, 32);
}

/* All of url_parse(), for one way of folding. */
ALWAYS_INLINE bool parse_with(struct url *url, struct url_text *room, struct span text,
                              fold_64 *fold)
{
    char *at = room->bytes + URL_BEFORE;
    const char *from = text.at;
    uint32_t size = (uint32_t)(text.size > URL_LIMIT ? URL_LIMIT : text.size), done;
    uint64_t before; // was the last byte of the block in front a letter or digit?
    struct bits first;
    unsigned host_size;

    if (size < 4)
        return false;
    if (size < 64) {
        fold_short(&first, at, from, size, fold);
        room->starts[0] = first.runs & ~(first.runs << 1);
    } else {
        uint32_t last = size - 64; // the last block overlaps the one in front of it

        fold(&first, at, from, 32);
        room->starts[0] = first.runs & ~(first.runs << 1);
        before = first.runs >> 63;
        for (done = 64; done < size; done += 64) {
            uint32_t block = done < last ? done : last;
            struct bits bits;

            fold(&bits, at + block, from + block, 32);
            bits.runs >>= done - block;
            room->starts[done / 64] = bits.runs & ~(bits.runs << 1 | before);
            before = bits.runs >> 63;
        }
    }
    memset(at + size, 0, URL_BEHIND);

    url->at = at;
    url->starts = room->starts;
    url->size = size;
    url->host_at = scheme_end(at, size);
    if (url->host_at == 0)
        return false;
    url->left_out = 0;
    first.plain = ~first.plain >> url->host_at;
    host_size = first.plain ? first_bit(first.plain) : 64;
    if (host_size < 64 && ends_host(at[url->host_at + host_size])) {
        url->host_end = url->host_at + host_size;
        url->dots = first.dots >> url->host_at & low_bits(host_size);
    } else {
        find_odd_host(url, room);
    }
    url->name_end = url->host_end;
    if (at[url->name_end - 1] == '.' && url->name_end > url->host_at) {
        url->name_end--;
        url->dots &= ~(
            url->name_end - url->host_at < 64 ? (uint64_t)1 << (url->name_end - url->host_at) : 0);
    }
    return url->name_end - url->host_at - 1 < URL_HOST_LIMIT;
}

ALWAYS_INLINE void parse_host_with(struct url_name *name, struct url_host_text *room,
                                   struct span text, fold_64 *fold)
{
    char *at = room->bytes + 32;
    struct bits bits;
    uint32_t start;
    unsigned size;

    if (text.size == 0) {
        name->size = 0;
        return;
    }
    if (text.size >= 64) {
        fold(&bits, at, text.at, 32);
    } else {
        memset(at + text.size, 0, 64);
        fold_short(&bits, at, text.at, text.size, fold);
    }
    start = scheme_end(at, text.size < 64 ? text.size : 64);
    bits.plain = start < 64 ? ~bits.plain >> start : 0;
    size = bits.plain ? first_bit(bits.plain) : 64;
    if (size - 1 > 62 || !ends_host(at[start + size]) ||
        bits.dots >> (start + size - 1) & 1) {  // a dot at the end
        struct span host = url_find_host(text); // the long way
        char ascii[URL_HOST_LIMIT];

        for (size_t i = 0; i < host.size; i++)
            at[i] = ascii_lower(host.at[i]);
        if (!is_ascii(host)) {
            size_t made = url_host_to_ascii(span_of(at, host.size), ascii, sizeof ascii);
            if (made) {
                memcpy(at, ascii, made);
                host.size = made;
            }
        }
        memset(at + host.size, 0, 16);
        name->at = at;
        name->size = (uint32_t)host.size;
        name->dots = find_dots(at, host.size);
        return;
    }
    name->at = at + start;
    name->size = size;
    name->dots = bits.dots >> start & low_bits(size);
}

static bool parse_plain(struct url *url, struct url_text *room, struct span text)
{
    return parse_with(url, room, text, fold_64_plain);
}

static void parse_host_plain(struct url_name *name, struct url_host_text *room, struct span text)
{
    parse_host_with(name, room, text, fold_64_plain);
}

#if defined(__x86_64__)
static __attribute__((target("avx2,bmi,bmi2,lzcnt,tune=znver2"))) bool parse_avx2(
    struct url *url, struct url_text *room, struct span text)
{
    return parse_with(url, room, text, fold_64_avx2);
}

static __attribute__((target("avx2,bmi,bmi2,lzcnt,tune=znver2"))) void parse_host_avx2(
    struct url_name *name, struct url_host_text *room, struct span text)
{
    parse_host_with(name, room, text, fold_64_avx2);
}
#endif

struct url_parsers url_best_parsers(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("bmi2")) // and lzcnt, which clang cannot ask for: it comes with BMI2
        return (struct url_parsers){ parse_avx2, parse_host_avx2 };
#endif
    return (struct url_parsers){ parse_plain, parse_host_plain };
}

bool url_parse(struct url *url, struct url_text *room, struct span text)
{
    return url_best_parsers().parse(url, room, text);
}

void url_parse_host(struct url_name *name, struct url_host_text *room, struct span text)
{
    url_best_parsers().parse_host(name, room, text);
}

/* ---- the rest, once in a while ---- */

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

struct span url_find_host(struct span text)
{
    size_t start = 0, i = 0;
    struct authority authority;

    while (i < text.size && i < SCHEME_LIMIT && (class_of(text.at[i]) & CLASS_SCHEME))
        i++;
    if (i > 0 && text.size - i >= 3 && memcmp(text.at + i, "://", 3) == 0)
        start = i + 3;
    authority = find_authority(text, start);
    if (authority.host_end > authority.host && text.at[authority.host_end - 1] == '.')
        authority.host_end--;
    if (authority.host_end - authority.host > URL_HOST_LIMIT)
        return SPAN_NONE;
    return span_of(text.at + authority.host, authority.host_end - authority.host);
}

uint32_t url_path_at(const struct url *url)
{
    uint32_t at = url->host_end;

    while (at < url->size && !(class_of(url->at[at]) & CLASS_AUTHORITY_END))
        at++;
    return at;
}

uint16_t url_port(const struct url *url)
{
    uint64_t port;
    struct span written = span_of(url->at + url->host_end, url_path_at(url) - url->host_end);

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

    for (; label.size; count++) {
        size_t size = count < 63 ? utf8_take(label, &points[count]) : 0;

        if (size == 0)
            return 0;
        label = span_from(label, size);
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

/* By the rules of IDNA. */
static size_t name_by_idna(struct span host, char *to, size_t limit)
{
    char text[URL_HOST_LIMIT + 1], *ascii = NULL;
    size_t size = 0;

    if (host.size > URL_HOST_LIMIT || span_find_byte(host, '\0') < host.size)
        return 0;
    memcpy(text, host.at, host.size);
    text[host.size] = '\0';
    if (idn2_to_ascii_8z(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK) {
        size = strlen(ascii);
        size = size <= limit ? size : 0;
        memcpy(to, ascii, size);
    }
    idn2_free(ascii);
    return size;
}

size_t url_host_to_ascii(struct span host, char *to, size_t limit)
{
    size_t at = 0, size = is_ascii(host) ? 0 : name_by_idna(host, to, limit);

    if (size)
        return size;
    while (at <= host.size) {
        struct span rest = span_from(host, at), label;
        size_t added;

        label = span_slice(host, at, span_find_byte(rest, '.'));
        if (is_ascii(label)) {
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
