#include "state/config_value.h"

#include <arpa/inet.h>
#include <crypt.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

enum { LOGIN_BYTES = 255 };

bool config_read_switch(struct span text, bool *out)
{
    static const struct {
        struct span word;
        bool means;
    } words[] = {
        { SPAN("yes"), true }, { SPAN("true"), true },   { SPAN("on"), true },
        { SPAN("no"), false }, { SPAN("false"), false }, { SPAN("off"), false },
    };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (span_equal_nocase(text, words[i].word)) {
            *out = words[i].means;
            return true;
        }
    }
    return false;
}

static const struct {
    struct span name;
    uint64_t ms;
} units[] = {
    // largest first
    { SPAN("d"), 86400000 }, { SPAN("h"), 3600000 }, { SPAN("m"), 60000 },
    { SPAN("s"), 1000 },     { SPAN("ms"), 1 },
};
enum { UNITS = sizeof units / sizeof *units };

bool config_read_duration(struct span text, uint64_t *out_ms)
{
    size_t digits = 0;
    uint64_t number;
    struct span unit;

    while (digits < text.size && text.at[digits] >= '0' && text.at[digits] <= '9')
        digits++;
    if (!span_to_u64(span_slice(text, 0, digits), &number))
        return false;
    unit = span_trim(span_from(text, digits));
    if (digits == text.size)
        unit = SPAN("s");
    for (size_t i = 0; i < UNITS; i++) {
        if (span_equal(unit, units[i].name)) {
            if (number > UINT64_MAX / units[i].ms)
                return false;
            *out_ms = number * units[i].ms;
            return true;
        }
    }
    return false;
}

const char *config_write_duration(uint64_t ms, char *to)
{
    size_t i = ms == 0 ? 3 : 0; // 0s

    while (ms % units[i].ms != 0)
        i++;
    snprintf(to, CONFIG_DURATION_BYTES, "%" PRIu64 "%.*s", ms / units[i].ms,
             SPAN_PRINT(units[i].name));
    return to;
}

static bool is_number_up_to(struct span text, uint64_t most, uint64_t *out)
{
    uint64_t number;

    if (text.size > 5 || !span_to_u64(text, &number) || number > most)
        return false;
    *out = number;
    return true;
}

static bool is_port(struct span text)
{
    uint64_t port;

    return is_number_up_to(text, 65535, &port) && port > 0;
}

bool config_is_ports(struct span text)
{
    size_t dash = span_find_byte(text, '-');
    uint64_t first, last;

    if (dash == text.size)
        return is_port(text);
    return is_number_up_to(span_slice(text, 0, dash), 65535, &first) && first > 0 &&
           is_number_up_to(span_from(text, dash + 1), 65535, &last) && first <= last;
}

/* An address of one family, in the strict form of inet_pton(). */
static bool is_address(struct span text, int family, unsigned char bytes[16])
{
    char copy[INET6_ADDRSTRLEN];

    if (text.size >= sizeof copy || memchr(text.at, '\0', text.size))
        return false;
    memcpy(copy, text.at, text.size);
    copy[text.size] = '\0';
    return inet_pton(family, copy, bytes) == 1;
}

bool config_is_listener(struct span text, bool *is_loopback)
{
    static const unsigned char v6_loopback[16] = { [15] = 1 };
    unsigned char bytes[16];
    size_t colon = text.size;
    uint64_t port;

    while (colon > 0 && text.at[colon - 1] != ':')
        colon--;
    if (colon == 0 || !is_number_up_to(span_from(text, colon), 65535, &port))
        return false;
    text = span_slice(text, 0, colon - 1);
    if (text.size > 2 && text.at[0] == '[' && text.at[text.size - 1] == ']') {
        if (!is_address(span_slice(text, 1, text.size - 2), AF_INET6, bytes))
            return false;
        *is_loopback = memcmp(bytes, v6_loopback, sizeof v6_loopback) == 0;
        return true;
    }
    if (!is_address(text, AF_INET, bytes))
        return false;
    *is_loopback = bytes[0] == 127;
    return true;
}

/* ADDRESS or ADDRESS/BITS, where ADDRESS is of one family. */
static bool is_block_of(struct span text, int family, bool in_brackets)
{
    size_t slash = span_find_byte(text, '/');
    unsigned char bytes[16];
    struct span address = span_slice(text, 0, slash);
    uint64_t bits;

    if (slash < text.size &&
        !is_number_up_to(span_from(text, slash + 1), family == AF_INET ? 32 : 128, &bits))
        return false;
    if (in_brackets) {
        if (address.size < 2 || address.at[0] != '[' || address.at[address.size - 1] != ']')
            return false;
        address = span_slice(address, 1, address.size - 2);
    }
    return is_address(address, family, bytes);
}

bool config_is_block(struct span text)
{
    return is_block_of(text, AF_INET, false) || is_block_of(text, AF_INET6, false);
}

bool config_is_destination(struct span text)
{
    size_t colon = text.size;

    if (config_is_block(text) || is_block_of(text, AF_INET6, true))
        return true;
    while (colon > 0 && text.at[colon - 1] != ':')
        colon--;
    if (colon == 0 || !config_is_ports(span_from(text, colon)))
        return false;
    text = span_slice(text, 0, colon - 1);
    return is_block_of(text, AF_INET, false) || is_block_of(text, AF_INET6, true);
}

static bool is_printable(struct span text, const char *but)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] < 0x20 || text.at[i] > 0x7e || strchr(but, text.at[i]))
            return false;
    }
    return true;
}

bool config_is_wildcard(struct span text)
{
    return text.size > 0 && text.size <= CONFIG_TEXT_BYTES && is_printable(text, " /\"'\\@");
}

static bool is_host(struct span text)
{
    unsigned char bytes[16];

    if (text.size > 2 && text.at[0] == '[' && text.at[text.size - 1] == ']')
        return is_address(span_slice(text, 1, text.size - 2), AF_INET6, bytes);
    return text.size > 0 && text.size <= 253 && is_printable(text, " :/?#[]@*\"'\\<>^`{|}%");
}

/* USER:PASSWORD, percent-encoded (RFC 3986 section 2.1), at most 255 bytes each (RFC 1929). */
static bool is_login(struct span text)
{
    size_t sizes[2] = { 0, 0 }, part = 0;

    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] == ':' && part == 0) {
            part = 1;
            continue;
        }
        if (text.at[i] == '%') {
            if (i + 2 >= text.size || !isxdigit((unsigned char)text.at[i + 1]) ||
                !isxdigit((unsigned char)text.at[i + 2]) ||
                (text.at[i + 1] == '0' && text.at[i + 2] == '0'))
                return false;
            i += 2;
        }
        sizes[part]++;
    }
    return part == 1 && sizes[0] > 0 && sizes[0] <= LOGIN_BYTES && sizes[1] <= LOGIN_BYTES &&
           is_printable(text, " /?#\"\\");
}

bool config_is_parent(struct span text)
{
    static const struct span schemes[] = { SPAN("http://"), SPAN("socks5://") };
    struct span rest = SPAN_NONE;
    size_t at, colon;

    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (span_starts_nocase(text, schemes[i]))
            rest = span_from(text, schemes[i].size);
    }
    if (rest.size == 0)
        return false;
    if (rest.at[rest.size - 1] == '/') // of an empty path
        rest.size--;
    at = span_find_byte(rest, '@');
    if (at < rest.size) {
        struct span login = span_slice(rest, 0, at);

        if (!is_login(login))
            return false;
        rest = span_from(rest, at + 1);
    }
    for (colon = rest.size; colon > 0 && rest.at[colon - 1] != ':';)
        colon--;
    return colon > 0 && is_port(span_from(rest, colon)) && is_host(span_slice(rest, 0, colon - 1));
}

bool config_is_path(struct span text)
{
    return text.size > 0 && text.size <= CONFIG_PATH_BYTES && text.at[0] == '/' &&
           !memchr(text.at, '\0', text.size);
}

bool config_is_plain_text(struct span text)
{
    return text.size > 0 && text.size <= CONFIG_TEXT_BYTES && is_printable(text, "\"\\");
}

bool config_is_user_name(struct span text)
{
    if (text.size == 0 || text.size > CONFIG_TEXT_BYTES)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if ((unsigned char)text.at[i] < 0x20 || text.at[i] == 0x7f || text.at[i] == ':')
            return false;
    }
    return true;
}

bool config_is_password_hash(struct span text)
{
    // crypt_checksalt() looks at the method and its setting alone. A whole hash has at least
    // three '$', and at least 31 characters behind the last (bcrypt: 53, with the salt).
    enum { HASH_BYTES = 31, DOLLARS = 3 };
    char copy[CRYPT_OUTPUT_SIZE];
    size_t last = 0, dollars = 0;
    int verdict;

    if (text.size == 0 || text.size >= sizeof copy || text.at[0] != '$' ||
        !is_printable(text, " :;*!\\"))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.at[i] == '$') {
            dollars++;
            last = i + 1;
        }
    }
    if (dollars < DOLLARS || text.size - last < HASH_BYTES)
        return false;
    memcpy(copy, text.at, text.size);
    copy[text.size] = '\0';
    verdict = crypt_checksalt(copy);
    return verdict == CRYPT_SALT_OK || verdict == CRYPT_SALT_TOO_CHEAP;
}
