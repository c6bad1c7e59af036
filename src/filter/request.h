/*
 * request.h - the words that rules and requests have in common: types, directives, page flags.
 *
 * Plain numbers, so that a rule's text and the question of a matcher mean the same by them. Their
 * order is part of the database format.
 */
#ifndef DEJUNK_FILTER_REQUEST_H
#define DEJUNK_FILTER_REQUEST_H

#include "base/bytes.h"

enum request_type {
    TYPE_DOCUMENT, // a page visit
    TYPE_SUBDOCUMENT,
    TYPE_SCRIPT,
    TYPE_STYLESHEET,
    TYPE_IMAGE,
    TYPE_FONT,
    TYPE_MEDIA,
    TYPE_OBJECT,
    TYPE_XHR, // XMLHttpRequest and fetch()
    TYPE_WEBSOCKET,
    TYPE_PING, // beacons too
    TYPE_OTHER,
    REQUEST_TYPES
};

#define TYPE_BIT(type) (1u << (type))
#define TYPES_ALL ((1u << REQUEST_TYPES) - 1)

/* "document" ... "other", as filter lists call them; NULL behind the last. */
const char *request_type_name(enum request_type type);
/* The type that a name or one of its aliases ("doc", "frame", "xhr", "css" ...) stands for. */
bool request_type_of(struct span name, enum request_type *type);

/* What rules change in a request that passes, or in its response. */
enum directive_kind {
    DIRECTIVE_REMOVEPARAM,    // value: as written: name, /regex/flags, ~either, or empty (all)
    DIRECTIVE_URLSKIP,        // value: steps; trusted lists only, as are the next two
    DIRECTIVE_URITRANSFORM,   // value: /regex/replacement/flags
    DIRECTIVE_REPLACE,        // value: /regex/replacement/flags
    DIRECTIVE_CSP,            // value: policy to add
    DIRECTIVE_PERMISSIONS,    // value: Permissions-Policy to add
    DIRECTIVE_REFERRERPOLICY, // value: Referrer-Policy to set
    DIRECTIVE_REMOVEHEADER,   // value: name, "request:name", or with a regex for the value
    DIRECTIVE_COOKIE,         // value: name or /regex/, then ;maxAge= ;sameSite=; or empty (all)
    DIRECTIVE_JSONPRUNE,      // value: expression; trusted lists only
    DIRECTIVE_XMLPRUNE,       // value: expression; trusted lists only
    DIRECTIVE_INLINE_SCRIPT,  // no value: forbid inline scripts
    DIRECTIVE_INLINE_FONT,    // no value: forbid inline fonts
    DIRECTIVES
};

/* What exceptions say about a page as a whole. */
enum page_flag {
    PAGE_ALL = 1,           // `document`: no rule applies to the page or what it loads
    PAGE_ELEMHIDE = 2,      // no element hiding at all
    PAGE_GENERICHIDE = 4,   // no generic element hiding
    PAGE_SPECIFICHIDE = 8,  // no specific element hiding
    PAGE_GENERICBLOCK = 16, // no blocking by rules without domain=
    PAGE_URLBLOCK = 32,     // no blocking of what the page loads
    PAGE_JSINJECT = 64,     // no scripts put into the page
};

#endif
