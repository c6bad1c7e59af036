/*
 * octets.h - which bytes HTTP's grammar allows where: tokens, field values, targets, hosts.
 *
 * Knows nothing of messages; plain questions about runs of bytes, answered fast, because every
 * byte of every head passes here once.
 */
#ifndef DEJUNK_HTTP_OCTETS_H
#define DEJUNK_HTTP_OCTETS_H

#include "base/bytes.h"

enum octet_class {
    OCTET_TOKEN = 1 << 0,  // tchar, RFC 9110 section 5.6.2
    OCTET_TEXT = 1 << 1,   // in field values and reason phrases: HTAB, SP, VCHAR, obs-text
    OCTET_TARGET = 1 << 2, // in request targets: VCHAR, and raw UTF-8 as users' old links have it
    OCTET_HOST = 1 << 3,   // in registered names as the DNS has them: letters, digits, - _ .
    OCTET_HEX = 1 << 4,
    OCTET_DIGIT = 1 << 5,
    OCTET_ALPHA = 1 << 6,
    OCTET_BLANK = 1 << 7, // SP, HTAB
};

extern const uint8_t octet_classes[256];

static inline bool octet_is(char c, enum octet_class class)
{
    return octet_classes[(unsigned char)c] & class;
}

/* How many bytes at the front are all of this class. */
static inline size_t octets_run(struct span span, enum octet_class class)
{
    size_t i = 0;

    while (i < span.size && octet_is(span.at[i], class))
        i++;
    return i;
}

/* At least one byte, and all of them of this class. */
bool octets_are(struct span span, enum octet_class class);
/* As octets_are(span, OCTET_TEXT), but true for none, and fast for long ones. */
bool octets_are_text(struct span span);

#endif
