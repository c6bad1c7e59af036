/*
 * visit.h - the token behind "go on anyway": proof that a block page was shown to this client for
 * this host, good once, for ten minutes, in any worker.
 *
 * A token is a time and a number signed with a secret that all processes of a service share, made
 * at its start. It says nothing by itself: host and client are part of what is signed. Whoever
 * honours it keeps the numbers that were used. Text of letters, digits, "-" and "_".
 */
#ifndef DEJUNK_PROXY_VISIT_H
#define DEJUNK_PROXY_VISIT_H

#include "base/bytes.h"

enum {
    VISIT_SECRET_BYTES = 32,
    VISIT_TOKEN_BYTES = 48, // of its text, with the NUL
    VISIT_GOOD_MS = 10 * 60 * 1000,
};

/* now_ms: since 1970. `host` in lower case; `client` an address as text. Returns `to`. */
const char *visit_token(char to[VISIT_TOKEN_BYTES], const unsigned char *secret, struct span host,
                        struct span client, uint64_t now_ms);

/* True: it was made for these, and its time is not over. *number is what may be used once. */
bool visit_check(struct span token, const unsigned char *secret, struct span host,
                 struct span client, uint64_t now_ms, uint64_t *number);

#endif
