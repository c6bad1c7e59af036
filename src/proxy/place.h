/*
 * place.h - where a fetch goes: a URL as people and Location fields write it, made absolute, split.
 *
 * Relative references are resolved (RFC 3986 section 5.2), bytes that no request line may have are
 * percent-encoded as browsers do it, a host in other letters becomes its A-labels. What two
 * programs could read differently is refused by http/target.h. Knows nothing of which places are
 * allowed. All spans point into the arena.
 */
#ifndef DEJUNK_PROXY_PLACE_H
#define DEJUNK_PROXY_PLACE_H

#include "http/target.h"

enum { PLACE_URL_BYTES = 16000 }; // of a URL as it is given, and as it is sent

struct place {
    struct target target;
    struct span url;           // absolute, without user information and fragment
    struct span authorization; // "Basic ..." of the user information; .at is NULL: there was none
};

/* `base` NULL: a URL that somebody gave, where "example.com/x" means http and user information may
 * stand before the host; else a reference out of an answer from `base`, where it may not.
 * ERROR_SYNTAX, ERROR_UNSUPPORTED (neither http nor https), ERROR_LIMIT (PLACE_URL_BYTES, or the
 * arena is full); *out is unchanged then. */
enum error_kind place_read(struct place *out, struct arena *arena, struct span text,
                           const struct place *base, struct error *error);

/* Scheme, host and port are the same (RFC 6454 section 5). */
bool place_same_origin(const struct place *a, const struct place *b);

#endif
