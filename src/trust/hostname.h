/*
 * hostname.h - the names that certificates carry: hosts, addresses, wildcards.
 *
 * Pure functions over bytes. Names that come out are lower case ASCII (A-labels) without a last
 * dot; whatever holds NULs, controls, spaces or other odd bytes is no name.
 */
#ifndef DEJUNK_TRUST_HOSTNAME_H
#define DEJUNK_TRUST_HOSTNAME_H

#include "base/bytes.h"

enum {
    HOSTNAME_BYTES = 254, // the longest name and its NUL
    HOSTNAME_LABEL_BYTES = 63,
    ADDRESS_BYTES = 16,
};

enum hostname_kind { HOSTNAME_NONE, HOSTNAME_NAME, HOSTNAME_ADDRESS };

/* What was asked for: a name (UTF-8 becomes A-labels, RFC 5891), or an address, in brackets or
 * not. Writes its text to `to` (HOSTNAME_BYTES), NUL-ended; HOSTNAME_NONE writes nothing. */
enum hostname_kind hostname_read(char *to, struct span host);

/* The 4 or 16 bytes of an address in text; 0 when it is none. */
size_t hostname_address(unsigned char *to, const char *text);

/* Letters, digits, hyphens, underscores and dots, lower case; no empty or overlong label. */
bool hostname_is_good(struct span name);

/* As hostname_is_good(), or "*." before such a name of at least two labels that is not a public
 * suffix: what a browser takes in a certificate. */
bool hostname_is_good_in_certificate(struct span name);

/* Does the name in a certificate (not NUL-ended, any bytes) cover this host? A wildcard stands for
 * exactly one whole label, the leftmost, under the same rule. */
bool hostname_covers(struct span name, struct span host);

#endif
