#include "trust/hostname.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <libpsl.h>

static bool is_host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

bool hostname_is_good(struct span name)
{
    size_t label = 0;

    if (name.size == 0 || name.size >= HOSTNAME_BYTES)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        if (!is_host_byte(name.at[i]))
            return false;
        if (name.at[i] != '.') {
            if (++label > HOSTNAME_LABEL_BYTES)
                return false;
        } else {
            if (label == 0)
                return false;
            label = 0;
        }
    }
    return label > 0;
}

/* What a wildcard may stand above. */
static bool may_have_wildcard(struct span name)
{
    char text[HOSTNAME_BYTES];

    if (!hostname_is_good(name) || span_find_byte(name, '.') == name.size)
        return false;
    memcpy(text, name.at, name.size);
    text[name.size] = '\0';
    return !psl_is_public_suffix2(psl_builtin(), text, PSL_TYPE_ICANN);
}

bool hostname_is_good_in_certificate(struct span name)
{
    if (span_starts(name, SPAN("*.")))
        return name.size < HOSTNAME_BYTES && may_have_wildcard(span_from(name, 2));
    return hostname_is_good(name);
}

bool hostname_covers(struct span name, struct span host)
{
    char lower[HOSTNAME_BYTES];
    struct span above;

    if (name.size == 0 || name.size >= sizeof lower)
        return false;
    if (name.at[0] != '*')
        return span_equal_nocase(name, host);
    for (size_t i = 0; i < name.size; i++)
        lower[i] = ascii_lower(name.at[i]);
    // Something in the place of the wildcard, and the same behind it.
    above = span_from(host, span_find_byte(host, '.'));
    return above.size < host.size && span_equal_nocase(span_from(name, 1), above) &&
           hostname_is_good_in_certificate(span_of(lower, name.size));
}

size_t hostname_address(unsigned char *to, const char *text)
{
    if (inet_pton(AF_INET, text, to) == 1)
        return 4;
    return inet_pton(AF_INET6, text, to) == 1 ? 16 : 0;
}

/* False where some byte is not ASCII and no A-label can be made of it. */
static bool to_ascii(char *to, struct span host)
{
    char text[4 * HOSTNAME_BYTES];
    char *ascii = NULL;
    bool plain = true, good = false;

    if (host.size == 0 || host.size >= sizeof text || memchr(host.at, '\0', host.size))
        return false;
    for (size_t i = 0; i < host.size; i++) {
        text[i] = ascii_lower(host.at[i]);
        plain = plain && (unsigned char)host.at[i] < 0x80;
    }
    text[host.size] = '\0';
    if (plain) {
        good = host.size < HOSTNAME_BYTES;
        if (good)
            memcpy(to, text, host.size + 1);
        return good;
    }
    if (idn2_to_ascii_8z(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK &&
        strlen(ascii) < HOSTNAME_BYTES) {
        memcpy(to, ascii, strlen(ascii) + 1);
        good = true;
    }
    idn2_free(ascii);
    return good;
}

enum hostname_kind hostname_read(char *to, struct span host)
{
    unsigned char address[ADDRESS_BYTES];
    char text[HOSTNAME_BYTES];
    enum hostname_kind kind = HOSTNAME_NONE;

    if (host.size > 2 && host.at[0] == '[' && host.at[host.size - 1] == ']')
        host = span_slice(host, 1, host.size - 2);
    else if (host.size && host.at[host.size - 1] == '.')
        host.size--;
    if (!to_ascii(text, host))
        return HOSTNAME_NONE;
    if (hostname_address(address, text))
        kind = HOSTNAME_ADDRESS;
    else if (hostname_is_good(span_text(text)))
        kind = HOSTNAME_NAME;
    if (kind != HOSTNAME_NONE)
        memcpy(to, text, strlen(text) + 1);
    return kind;
}
